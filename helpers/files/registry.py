"""Find a registered file: shipped with the package, in a folder of yours, cached or downloaded."""

import difflib
import os
from pathlib import Path

import pooch

_CHECKOUT = Path(__file__).resolve().parents[2]


def fetch(name: str) -> Path:
    """Return the path of a registered data file, once its checksum has been verified.

    Looked for in this order: among the files shipped with the package; in the folder named by the
    environment variable ``RVAE_STEM_DATA`` (a relative path is taken from the current folder, or
    else from the top of the checkout); in the cache (``RVAE_STEM_CACHE``, by default the user's
    cache folder); on the internet, unless ``RVAE_STEM_OFFLINE`` is set to 1.

    Parameters
    ----------
    name : str
        A file name of the registry, ``data/registry.txt``, for example ``"PZO.dm3"``.

    Returns
    -------
    pathlib.Path
        Path of the file. Treat the file as read-only: a changed one no longer passes the check.

    Raises
    ------
    ValueError
        If `name` is not registered, or a file found has another checksum than the registered one.
    FileNotFoundError
        If the file is nowhere and cannot be downloaded.
    """
    files = _registry()
    expected = files.registry.get(name)
    if expected is None:
        known = sorted(files.registry)
        raise ValueError(_unknown(name, known))
    shipped = _shipped()
    for folder in (shipped, _own_folder()):
        path = folder / name
        if path.is_file():
            return _verified(path, expected)
    cached = files.abspath / name
    # A damaged copy in the cache is no error: it is simply downloaded again.
    if cached.is_file() and pooch.hashes.hash_matches(str(cached), expected):
        return cached
    if name not in files.urls:
        message = (
            f"{name} is shipped, but not in {shipped}: "
            f"install the package again, or set RVAE_STEM_DATA to a folder that holds the file"
        )
        raise FileNotFoundError(message)
    return _download(cached, expected, files.urls[name])


def _shipped() -> Path:
    """The folder of shipped files: inside an installed wheel, or ``data`` in a checkout."""
    installed = _CHECKOUT / "helpers" / "data"
    is_installed = (installed / "registry.txt").is_file()
    return installed if is_installed else _CHECKOUT / "data"


def _registry() -> pooch.Pooch:
    """The cache, with name, checksum and, for files that are not shipped, address of each file."""
    cache = pooch.os_cache("rvae-stem-book")
    files = pooch.create(cache, base_url="", env="RVAE_STEM_CACHE")
    files.load_registry(_shipped() / "registry.txt")
    return files


def _own_folder() -> Path:
    """The folder that RVAE_STEM_DATA names; that of the shipped files if it names none."""
    named = os.environ.get("RVAE_STEM_DATA")
    if not named:
        return _shipped()
    own = Path(named).expanduser()
    return own if own.is_dir() else _CHECKOUT / own


def _verified(path: Path, expected: str) -> Path:
    checksum = pooch.file_hash(str(path))
    found = f"sha256:{checksum}"
    if found != expected:
        message = (
            f"{path} has the checksum {found}, registered is {expected}: "
            f"restore the file, or remove it, or unset RVAE_STEM_DATA if it lies there"
        )
        raise ValueError(message)
    return path


def _download(target: Path, expected: str, url: str) -> Path:
    name = target.name
    now = os.environ.get("RVAE_STEM_DATA") or "not set"
    logger = pooch.get_logger()
    logger.setLevel("WARNING")  # its notice would put this computer's path on a page
    try:
        return _retrieve(target, expected, url)
    except ValueError as error:  # pooch has removed what came
        message = (
            f"what {url} sent is not the registered {name}: {error}; try again, "
            f"or download {url} by hand as {name} "
            f"into a folder, and set RVAE_STEM_DATA to that folder (now: {now})"
        )
        raise ValueError(message) from error
    except OSError as error:  # requests' errors are OSErrors: no network, 404, no room on the disk
        message = (
            f"{name} could not be downloaded ({error}): mend that, "
            f"or download {url} by hand as {name} "
            f"into a folder, and set RVAE_STEM_DATA to that folder (now: {now})"
        )
        raise FileNotFoundError(message) from error


def _retrieve(target: Path, expected: str, url: str) -> Path:
    offline = os.environ.get("RVAE_STEM_OFFLINE", "0")
    if offline not in ("", "0"):
        raise ConnectionError("RVAE_STEM_OFFLINE is set")
    path = pooch.retrieve(url, expected, fname=target.name, path=target.parent)
    return Path(path)


def _unknown(name, known: list[str]) -> str:
    """The message that `name` is not registered, with the names nearest to it."""
    in_lower_case = {key.lower(): key for key in known}
    wanted = str(name).lower()
    near = difflib.get_close_matches(wanted, in_lower_case, cutoff=0.5)
    suggested = ", ".join(in_lower_case[key] for key in near)
    hint = f"did you mean {suggested}? " if near else ""
    listed = ", ".join(known)
    return f"{name!r} is not the bare name of a registered file; {hint}Known: {listed}"
