"""Which signal of a file a word of the command line names."""

from contextlib import suppress

from ..files.load import load_image


def index_or_title(path, text: str) -> int | str:
    """What `load_image` takes as `signal`: the index, or where there is none such the title.

    Parameters
    ----------
    path : str or pathlib.Path
    text : str
        Digits alone. Every signal has an index, so that comes first.
    """
    for wanted in (int(text), text):
        with suppress(ValueError):
            load_image(path, signal=wanted, lazy=True, pixel_size_nm=1.0)  # any: nothing to warn of
            return wanted
    return int(text)
