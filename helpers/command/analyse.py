"""From a microscope file to a folder with maps, figures and a report."""

import os
from pathlib import Path

from ..files.folder import new_folder
from .page import execute_page
from .report import write_report
from .stop import Stop


def analyse(
    image,
    folder=None,
    *,
    overwrite: bool = False,
    stop: Stop | None = None,
    **parameters,
) -> Path:
    """Execute the page "Analyse your own image" for one file.

    Parameters
    ----------
    image, folder : str or pathlib.Path
        A leading ``~`` is the home folder. Without a folder ``IMAGE_symmetry`` is made in the
        current one.
    overwrite : bool
        Replace a folder that was written here, unless something was added to it since.
    stop : Stop, optional
        Ends the work from another thread.
    parameters : signal, pixel_size_nm, spacing_px, lattice_nm, window_px, latent_dim, seed, \
skip_damaged, untrusted
        Names in the first cell of the page; those left out are as they are there.

    Returns
    -------
    pathlib.Path of the folder, which appears only when it is whole.

    Raises
    ------
    ValueError
        If there is such a folder, unless it may be replaced; or the page refuses the file.
    FileNotFoundError
        If there is no such file.
    """
    image = Path(os.path.expanduser(image))
    folder = Path(os.path.expanduser(folder or f"{image.stem}_symmetry"))
    stop = stop or Stop()
    _refuse_early(image, folder)
    with new_folder(folder, overwrite=overwrite) as new:
        parameters["image"] = str(image.absolute())
        parameters["folder"] = str(new / "results")
        notebook = execute_page(parameters, stop)
        write_report(new, notebook, image.name)
        stop.check()
    return folder


def _refuse_early(image: Path, folder: Path) -> None:
    """An error for what can be seen to be wrong before any work."""
    if not image.exists():
        raise FileNotFoundError(f"there is no file {image}; the current folder is {Path.cwd()}")
    if image.is_dir() and image.suffix.lower() != ".zspy":
        raise ValueError(f"{image} is a folder: name one file in it")
    if not os.access(image, os.R_OK):
        raise ValueError(f"you may not read {image}: change its permissions, or copy it")
    if folder.is_dir() and image.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder} holds the image {image.name}: choose another name")
