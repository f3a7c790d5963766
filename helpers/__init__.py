"""Local symmetry in atomic-resolution STEM images.

One module is one step of the way from a microscope file to maps::

    io -> drift -> segmentation -> columns -> subimages -> rvae -> angles -> maps

Every public name below is importable from here; its module (and torch with it) is loaded when the
name is first used.
"""

from importlib import import_module

_MODULE_OF = {
    "fetch": "data",
    "load_image": "io",
    "align_stack": "drift",
    "segment": "segmentation",
    "segment_species": "segmentation",
    "Columns": "columns",
    "locate_columns": "columns",
    "locate_in_frames": "precision",
    "identify_columns": "identify",
    "check_quality": "quality",
    "cut_subimages": "subimages",
    "WindowReport": "window",
    "window_report": "window",
    "RVAE": "rvae",
    "Encoding": "encoding",
    "CoordinateVAE": "baselines",
    "PlainVAE": "baselines",
    "principal_components": "baselines",
    "align_gauge": "angles",
    "fold_angles": "angles",
    "lattice_direction": "angles",
    "posterior_order": "angles",
    "rotational_order": "angles",
    "symmetry_scores": "angles",
    "angle_map": "maps",
    "latent_map": "maps",
    "save_results": "maps",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'helpers' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
