"""From a file, or its registered name, to an image in nanometres; and folders written whole."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
