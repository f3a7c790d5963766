"""Local symmetry in atomic-resolution STEM images.

One folder is one step of the way from a microscope file to maps, and takes what it needs from the
folders before it::

    files -> columns -> subimages -> results -> rvae -> stack -> figures

`simulate` makes images whose truth is known, `compare` holds what the rVAE is compared with, and
the modules beside the folders (`images`, `device`, `timing`) are for all of them. The public names
stand in ``__init__.pyi``; a module, and torch with it, is loaded when one of its names is first
used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
