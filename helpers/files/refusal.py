"""Why a file is not read, with a way out that exists in Python and on the command line alike."""

from pathlib import Path

# What the two commands call the same thing: load_image(path, signal=…), rvae-stem.
PIXEL_SIZE_OPTION = "pixel_size_nm= (on the command line --pixel-size-nm)"
SIGNAL_OPTION = "signal= (on the command line --signal)"

EXPORT = "export a .tif from the program that wrote it"


class Refused(ValueError):
    """A file that is not handed to its reader, or of which nothing is made."""

    def __init__(self, path: Path, reason: str, way_out: str = EXPORT):
        super().__init__(f"{path} is not read: {reason}. Way out: {way_out}")


def as_one_line(text) -> str:
    """A message of a library as one line of at most 300 letters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else line[:299] + "…"
