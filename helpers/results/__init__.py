"""Angles that are folded, averaged and compared; maps and tables that others open."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
