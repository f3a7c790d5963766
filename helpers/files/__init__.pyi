from .folder import new_folder as new_folder
from .load import load_image as load_image
from .registry import fetch as fetch
