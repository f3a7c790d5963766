from .agreement import Agreement as Agreement, compare_encodings as compare_encodings
from .encoding import Encoding as Encoding
from .kinds import Kinds as Kinds, find_kinds as find_kinds
from .model import RVAE as RVAE
