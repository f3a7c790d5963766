"""Errors and warnings of the package, which speak of Python, in the words of the command."""

import re

OPTIONS = ("signal", "pixel_size_nm", "spacing_px", "lattice_nm", "window_px", "latent_dim", "seed")
FLAGS = ("skip_damaged", "untrusted", "overwrite")  # options without a value

# What would not become a sentence, or what the command has no option for.
OTHERWISE = {
    "signal=None names": "without --signal this means",
    "segment(-image)": "invert it, in HyperSpy by s.data = s.data.max() - s.data",
    "compare smaller windows": "take a larger part of the image",
}

_HINT = re.compile(r" \(on the command line --[a-z-]+\)")  # for whoever reads of Python first
_NAME = rf"\b(?P<name>{'|'.join(OPTIONS + FLAGS)})"
_CALL = re.compile(rf"\b\w+\((?:[^()]*,)? *{_NAME}=[^()]*\)")  # load_image(path, signal=...)
_REMEDY = re.compile(rf"{_NAME}=(?:True\b|(?=[\s,;:.)]|$))")  # give signal=, or pass overwrite=True
_VALUE = re.compile(rf"{_NAME}=(?=\S)")


def in_words_of_the_command(text: str) -> str:
    """Name the options where the text names arguments of Python: ``--signal`` for ``signal=``."""
    text = _HINT.sub("", text)
    for python, words in OTHERWISE.items():
        text = text.replace(python, words)
    return _REMEDY.sub(_option, _CALL.sub(_option, text))


def error_of_the_command(text: str) -> str:
    """The same for an error, which quotes values that were given: ``--window-px=9000``."""
    text = in_words_of_the_command(text)
    return _VALUE.sub(lambda found: f"{_option(found)}=", text)


def _option(found: re.Match) -> str:
    return "--" + found["name"].replace("_", "-")
