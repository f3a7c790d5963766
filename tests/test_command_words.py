"""Whoever types the command reads of its options, not of arguments of Python."""

import ast
import re
from pathlib import Path

import pytest

from helpers.command.words import FLAGS, OPTIONS, error_of_the_command, in_words_of_the_command

ROOT = Path(__file__).resolve().parents[1] / "helpers"
SAID = [
    ("give pixel_size_nm= if you know it", "give --pixel-size-nm if you know it"),
    ("not an image: give signal=, or use as_signal2D", "give --signal, or use as_signal2D"),
    ("leave it out, or pass skip_damaged=True", "leave it out, or pass --skip-damaged"),
    ("the header is wrong; give load_image(path, pixel_size_nm=...)", "give --pixel-size-nm"),
    ("their distance: segment(image, spacing_px=...)", "their distance: --spacing-px"),
    ("try load_image(..., untrusted=True).", "try --untrusted."),
    ("choose another name, or pass overwrite=True", "or pass --overwrite"),
    ("signal=None names several signals", "without --signal this means several signals"),
    ("give signal= (on the command line --signal), or", "give --signal, or"),
    ("(BF or ABF?): segment(-image)", "(BF or ABF?): invert it, in HyperSpy by s.data = "),
]
LEFT = [
    "latent_dim=2, seed=1, pixel_size_nm=None",  # what was set, not what to do
    "the title is signal, the window_px large",
    "resignal=True and my_seed=",
]


@pytest.mark.parametrize(("python", "words"), SAID)
def test_a_remedy_names_the_option(python, words):
    assert words in in_words_of_the_command(python)
    assert words in error_of_the_command(python)


@pytest.mark.parametrize("text", LEFT)
def test_what_is_no_remedy_stays_as_it_is(text):
    assert in_words_of_the_command(text) == text


def test_an_error_names_the_option_that_was_given():
    said = error_of_the_command("window_px=9000 leaves none of 12 columns; use 97 or less")
    assert said.startswith("--window-px=9000 leaves none")
    assert error_of_the_command("sizes_px=[9] keep no column") == "sizes_px=[9] keep no column"


# ------------------------------------------------------------ all that can be said on the way

ON_THE_WAY = ["images.py", "files", "columns", "subimages", "results/maps.py", "rvae", "stack"]
# What the page never asks for, since it hands on what the cell before has made.
NOT_ON_THE_PAGE = {"sizes_px", "normalization", "device"}
REMEDY = re.compile(r"(?:\b(?:give|pass|use|try|set)\b[^;.]*?|\(.*?)\b(\w+)=|\b(\w+)=True")


def messages():
    """The texts of each module, docstrings left out, and where they stand."""
    for place in ON_THE_WAY:
        path = ROOT / place
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            tree = ast.parse(module.read_text(encoding="utf-8"))
            docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text and " " in node.value and id(node) not in docstrings:
                    yield f"{module.name}:{node.lineno}", node.value


def test_every_remedy_on_the_way_is_an_option_of_the_command():
    remedies = 0
    for place, text in messages():
        remedies += bool(REMEDY.search(text))
        for found in REMEDY.finditer(in_words_of_the_command(text)):
            name = found[1] or found[2]
            assert name in NOT_ON_THE_PAGE, f"{place}: {name}= is no option: {text}"
    assert remedies > 5


def test_options_and_words_fit(capsys):
    from helpers.command.line import _parser

    with pytest.raises(SystemExit):
        _parser().parse_args(["analyse", "--help"])
    listed = set(re.findall(r"--([a-z-]+)", capsys.readouterr().out)) - {"help", "folder"}
    assert listed == {name.replace("_", "-") for name in OPTIONS + FLAGS}
