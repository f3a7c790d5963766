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
        raise ValueError(_unknown(name, sorted(files.registry)))
    for folder in (_shipped(), _own_folder()):
        if (folder / name).is_file():
            return _verified(folder / name, expected)
    cached = files.abspath / name
    # A damaged copy in the cache is no error: it is simply downloaded again.
    if cached.is_file() and pooch.hashes.hash_matches(str(cached), expected):
        return cached
    if name not in files.urls:
        remedy = "install the package again, or set RVAE_STEM_DATA to a folder that holds the file"
        raise FileNotFoundError(f"{name} is shipped, but not in {_shipped()}: {remedy}")
    return _download(cached, expected, files.urls[name])


def _shipped() -> Path:
    """The folder of shipped files: inside an installed wheel, or ``data`` in a checkout."""
    installed = _CHECKOUT / "helpers" / "data"
    return installed if (installed / "registry.txt").is_file() else _CHECKOUT / "data"


def _registry() -> pooch.Pooch:
    """The cache, with name, checksum and, for files that are not shipped, address of each file."""
    files = pooch.create(pooch.os_cache("rvae-stem-book"), base_url="", env="RVAE_STEM_CACHE")
    files.load_registry(_shipped() / "registry.txt")
    return files


def _own_folder() -> Path:
    """The folder that RVAE_STEM_DATA names; that of the shipped files if it names none."""
    own = Path(os.environ.get("RVAE_STEM_DATA") or _shipped()).expanduser()
    return own if own.is_dir() else _CHECKOUT / own


def _verified(path: Path, expected: str) -> Path:
    found = f"sha256:{pooch.file_hash(str(path))}"
    if found != expected:
        remedy = "restore the file, or remove it, or unset RVAE_STEM_DATA if it lies there"
        raise ValueError(f"{path} has the checksum {found}, registered is {expected}: {remedy}")
    return path


def _download(target: Path, expected: str, url: str) -> Path:
    now = os.environ.get("RVAE_STEM_DATA") or "not set"
    own_folder = f"a folder, and set RVAE_STEM_DATA to that folder (now: {now})"
    by_hand = f"download {url} by hand as {target.name} into {own_folder}"
    pooch.get_logger().setLevel("WARNING")  # its notice would put this computer's path on a page
    try:
        if os.environ.get("RVAE_STEM_OFFLINE", "0") not in ("", "0"):
            raise ConnectionError("RVAE_STEM_OFFLINE is set")
        return Path(pooch.retrieve(url, expected, fname=target.name, path=target.parent))
    except ValueError as error:  # pooch has removed what came
        wrong = f"what {url} sent is not the registered {target.name}"
        raise ValueError(f"{wrong}: {error}; try again, or {by_hand}") from error
    except OSError as error:  # requests' errors are OSErrors: no network, 404, no room on the disk
        failure = f"{target.name} could not be downloaded ({error})"
        raise FileNotFoundError(f"{failure}: mend that, or {by_hand}") from error


def _unknown(name, known: list[str]) -> str:
    lower = {key.lower(): key for key in known}
    near = [lower[key] for key in difflib.get_close_matches(str(name).lower(), lower, cutoff=0.5)]
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"{name!r} is not the bare name of a registered file; {hint}Known: {', '.join(known)}"
