"""A folder that is written whole or not at all, and takes the place of none but its own kind."""

import json
import os
import re
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

MARK = ".rvae-stem"  # the file that lists what was written here
ABOUT = "asked to overwrite, rvae-stem-book replaces this folder if nothing else lies in it"
LEFT_BY_FILE_MANAGERS = {".DS_Store", "Thumbs.db", "desktop.ini"}

# Version 0.1.0 left no mark: its folders are known by what it wrote.
UNMARKED = re.compile(
    r"(results/)?(angle\.hspy|latent_\d+\.hspy|columns\.csv|model\.safetensors)"
    r"|report\.html|figures/own-[a-z]+\.png|results|figures"
)
ALWAYS_UNMARKED = {"angle.hspy", "columns.csv"}


@contextmanager
def new_folder(path, *, overwrite: bool = False):
    """A folder to write into, which takes the name `path` only when all went well.

    Until then it lies beside `path`, under another name. If anything fails, nothing is left.

    Parameters
    ----------
    path : str or pathlib.Path
    overwrite : bool
        Replace a folder that was written here, unless something was added to it since. Nothing
        else is ever replaced.

    Raises
    ------
    ValueError
        If the name is taken by what is not to be replaced, or the folder cannot be made. If the
        name is taken only in the meantime, what was written is kept, and the message says where.
    """
    path = Path(os.path.abspath(path))
    _refuse_what_is_there(path, overwrite)
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        with _or_refuse(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = TemporaryDirectory(dir=path.parent, prefix=f"{MARK}-")
        with scratch:
            new = Path(scratch.name) / path.name
            with _or_refuse(path):
                new.mkdir()
            yield new
            _write_mark(new)
            _put_in_place(new, path, overwrite)
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # somebody else uses it
                folder.rmdir()
        raise


@contextmanager
def _or_refuse(path: Path):
    """An error of the system, while `path` is begun, becomes one that names the way out."""
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be made ({error.strerror}): choose another name or place"
        raise ValueError(message) from error


# ------------------------------------------------------------ what may be replaced


def _refuse_what_is_there(path: Path, overwrite: bool) -> None:
    """A ValueError if the name is taken, unless by what may be, and shall be, replaced."""
    if not os.path.lexists(path):
        return
    reason = _why_it_stays(path)
    if reason and overwrite:
        raise ValueError(f"{path} is not replaced: {reason}; choose another name, or move it away")
    if reason:
        message = (
            f"{path} exists already: choose another name; "
            f"even overwrite=True would not replace it, as {reason}"
        )
        raise ValueError(message)
    if not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or pass overwrite=True")


def _why_it_stays(path: Path) -> str:
    """Why what lies at `path` is not to be replaced; empty if it may be."""
    if path.is_symlink():
        return "it is a link"
    if not path.is_dir():
        return "it is a file"
    if os.path.ismount(path):
        return "it is a disk of its own"
    for name, place in {"current": os.getcwd(), "home": os.path.expanduser("~")}.items():
        if Path(place).resolve().is_relative_to(path.resolve()):
            return f"it holds the {name} folder"
    found = _all_in(path)
    written = _read_mark(path) if MARK in found else _unmarked(found)
    if not written:
        return "it was not written here"
    added = sorted(found - written - {MARK})
    return f"it holds {added[0]}, which was not written here" if added else ""


def _all_in(folder: Path) -> set[str]:
    """Names of all files, links and folders in a folder and below it, as ``maps/angle.hspy``."""
    found = [path for path in folder.rglob("*") if path.name not in LEFT_BY_FILE_MANAGERS]
    return {path.relative_to(folder).as_posix() for path in found}


def _write_mark(folder: Path) -> None:
    """List all that lies in the folder, in a file of it."""
    mark = {"about": ABOUT, "written": sorted(_all_in(folder))}
    (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")


def _read_mark(folder: Path) -> set[str]:
    """The names that the mark lists; none if it cannot be read."""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        return set(mark["written"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _unmarked(found: set[str]) -> set[str]:
    """Those of the names that version 0.1.0 wrote; none if the folder is not of that version."""
    names = {name.removeprefix("results/") for name in found}
    if not names >= ALWAYS_UNMARKED:
        return set()
    return {name for name in found if UNMARKED.fullmatch(name)}


# ------------------------------------------------------------ taking the name


def _put_in_place(new: Path, path: Path, overwrite: bool) -> None:
    """Give the finished folder its name, or another one and a ValueError that says so."""
    try:
        _refuse_what_is_there(path, overwrite)  # once more: the work took its time
        _exchange(new, path)
    except (ValueError, OSError) as error:
        kept = _keep_beside(new, path)
        raise ValueError(f"{error}; what was written lies in {kept}") from error


def _exchange(new: Path, path: Path) -> None:
    """Move what lies at `path` aside, where it ends with the scratch, and the new in."""
    old = new.with_name(f"{MARK}.old")
    is_taken = os.path.lexists(path)
    if is_taken:
        path.rename(old)
    try:
        _take_name(new, path)
    except BaseException:
        if is_taken and not os.path.lexists(path):
            old.rename(path)
        raise


def _take_name(new: Path, path: Path) -> None:
    """Rename, but replace nothing; an OSError if there is anything of that name."""
    if os.name == "nt":  # where a rename replaces nothing
        new.rename(path)
        return
    path.mkdir()  # the name is ours, or was taken; then a rename replaces this empty folder alone
    try:
        new.rename(path)
    except BaseException:
        with suppress(OSError):
            path.rmdir()
        raise


def _keep_beside(new: Path, path: Path) -> Path:
    """Give the folder the first free name of the kind ``maps_2``."""
    for number in count(2):
        beside = path.with_name(f"{path.name}_{number}")
        with suppress(FileExistsError):
            _take_name(new, beside)
            return beside
