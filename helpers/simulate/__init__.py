"""Images whose truth is known: specimens, the scan that records them, the truth of each column."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
