"""Where the atomic columns are: first to a pixel, by a network, then to a fraction, by a fit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
