from .drift import align_stack as align_stack
from .precision import FramePositions as FramePositions, locate_in_frames as locate_in_frames
from .process import process_stack as process_stack
from .store import FRAMES_A_PASS as FRAMES_A_PASS, FrameStore as FrameStore
