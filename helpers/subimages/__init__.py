"""What surrounds each column: sub-images, their disk harmonics, and the size to cut them at."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
