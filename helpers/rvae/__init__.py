"""Which kinds of motifs there are, how each is turned, and in what else they differ."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
