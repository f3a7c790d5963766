"""Find a registered file: shipped with the package, in a folder of yours, cached or downloaded."""

from __future__ import annotations

import difflib
import os
from functools import cache
from pathlib import Path

import pooch

_HERE = Path(__file__).resolve().parent
_CHECKOUT = _HERE.parent


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
    registered = files.registry
    if name not in registered:
        raise ValueError(_unknown(name, list(registered)))
    for folder, remedy in _folders():
        path = folder / name
        if path.is_file():
            _verify(path, registered[name], remedy)
            return path
    return _cached_or_downloaded(name, registered[name], files.urls.get(name))


def _shipped() -> Path:
    """The folder of shipped files: inside an installed wheel, or ``data`` in a checkout."""
    installed = _HERE / "shipped"
    return installed if (installed / "registry.txt").is_file() else _CHECKOUT / "data"


@cache
def _registry() -> pooch.Pooch:
    """The registry: name, checksum and, for files that are not shipped, address of each file."""
    files = pooch.create(path=_shipped(), base_url="")
    files.load_registry(_shipped() / "registry.txt")
    return files


def _folders() -> list[tuple[Path, str]]:
    """Folders to look in, in order, each with what to do about a wrong file there."""
    folders = [(_shipped(), "restore the file, or install the package again")]
    own = os.environ.get("RVAE_STEM_DATA")
    if own:
        here = Path(own).expanduser()
        folder = here if here.is_dir() else _CHECKOUT / here
        folders.append((folder, "put the registered file there, or unset RVAE_STEM_DATA"))
    return folders


def _cache_folder() -> Path:
    own = os.environ.get("RVAE_STEM_CACHE")
    return Path(own).expanduser() if own else Path(pooch.os_cache("rvae-stem-book"))


def _verify(path: Path, expected: str, remedy: str) -> None:
    found = f"sha256:{pooch.file_hash(str(path), alg='sha256')}"
    if found != expected:
        raise ValueError(
            f"{path} is not the registered file: its checksum is {found}, but {expected} is "
            f"registered; {remedy}"
        )


def _cached_or_downloaded(name: str, expected: str, url: str | None) -> Path:
    cached = _cache_folder() / name
    # A damaged copy in the cache is no error: it is simply downloaded again.
    if cached.is_file() and pooch.hashes.hash_matches(str(cached), expected):
        return cached
    if url is None:
        raise FileNotFoundError(
            f"{name} should have come with the package, but is not in {_shipped()}: install the "
            "package again, or set RVAE_STEM_DATA to a folder that holds the file"
        )
    by_hand = (
        f"download {url} by hand, put it as {name} into a folder, and set the environment variable "
        f"RVAE_STEM_DATA to that folder (now: {os.environ.get('RVAE_STEM_DATA') or 'not set'})"
    )
    if os.environ.get("RVAE_STEM_OFFLINE", "0") not in ("", "0"):
        raise FileNotFoundError(
            f"{name} is not on this computer and RVAE_STEM_OFFLINE is set: unset it, or {by_hand}"
        )
    return _download(name, expected, url, by_hand)


def _download(name: str, expected: str, url: str, by_hand: str) -> Path:
    pooch.get_logger().setLevel("WARNING")  # its notice would put this computer's path on a page
    try:
        return Path(pooch.retrieve(url, expected, fname=name, path=_cache_folder()))
    except ValueError as error:  # pooch has removed what came
        raise ValueError(
            f"what {url} sent is not the registered {name}: {error}; try again, or {by_hand}"
        ) from error
    except OSError as error:  # requests' errors are OSErrors: no network, 404, no room on the disk
        raise FileNotFoundError(
            f"{name} is not on this computer and could not be downloaded ({error}): {by_hand}"
        ) from error


def _unknown(name, known: list[str]) -> str:
    if any(mark in str(name) for mark in ("/", "\\", "..")):
        return f"{name!r} is a path, but fetch takes the bare name of a registered file: {known}"
    lower = {key.lower(): key for key in known}
    near = [lower[key] for key in difflib.get_close_matches(str(name).lower(), lower, cutoff=0.5)]
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f"{name!r} is not a registered file; {hint}Registered are: {', '.join(sorted(known))}"
