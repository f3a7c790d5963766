"""Local symmetry in atomic-resolution STEM images.

One module is one step of the way from a microscope file to maps::

    io -> drift -> segmentation -> columns -> subimages -> kinds -> rvae -> angles -> maps

Every public name below is importable from here; its module (and torch with it) is loaded when the
name is first used.
"""

from importlib import import_module

_NAMES = {  # module: its public names
    "data": "fetch",
    "io": "load_image",
    "drift": "align_stack",
    "segmentation": "segment segment_species",
    "columns": "Columns locate_columns",
    "precision": "locate_in_frames",
    "identify": "identify_columns",
    "quality": "check_quality",
    "subimages": "cut_subimages",
    "window": "WindowReport window_report",
    "frames": "FrameStore process_stack",
    "kinds": "Kinds find_kinds",
    "rvae": "RVAE",
    "encoding": "Encoding",
    "agreement": "Agreement compare_encodings",
    "angles": "align_gauge fold_angles lattice_direction posterior_order rotational_order "
    "symmetry_scores",
    "maps": "angle_map latent_map save_results",
    "player": "Player",
    "picker": "WindowPicker",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
