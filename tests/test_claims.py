"""Each number that the prose states is compared with what the page printed when it was run.

A result stands in the text as ``<span data-printed="right: (.*)%">98 %</span>``: the attribute
finds the number in the output of the page. Any other number with a unit must be a setting, which
stands in the code of the page or of its solutions, or a fact known without running anything.
"""

import re

import pytest
from bs4 import BeautifulSoup
from test_book import PAGES, cells_of, page
from test_site import SITE

CLAIM = re.compile(r'<span data-printed="([^"]+)"(?: data-within="([^"]+)")?>([^<]+)</span>')
SAID = re.compile(r"(?<![\w.#/–-])[-+−±]?(\d+(?:\.\d+)?)\s?(%|°|nm|pm|px|s|GiB|counts|nats)(?!\w)")
NO_PROSE = re.compile(r"<span.*?</span>|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", re.DOTALL)
STAND_IN = re.compile(r"was not found. Shown: SIMULATED")

FACTS = {
    *(f"{turn} °" for turn in (0, 45, 60, 90, 120, 180, 360)),
    *("0.385 nm", "2.015 nm"),  # Sr3Fe2O7: a and c
    *("50 px", "13 px"),  # c/2 and the nearest neighbours, at 0.02 nm a pixel
    *("9.5 px", "16.4 px", "27.4 px"),  # graphene at 0.015 and MoS2 at 0.02 nm a pixel
    "179 °",  # one side of the seam
    "104 °",  # standard deviation of an angle that may be any
    *("0.416 nm", "0.3905 nm", "0.142 nm", "0.316 nm"),  # PbZrO3, SrTiO3, graphene (C-C), MoS2
}


def sources_of(name: str, kind: str) -> list[str]:
    return [cell.source for cell in cells_of(name, kind)]


def printed_by(name: str) -> str:
    soup = BeautifulSoup((SITE / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    return "\n".join(output.get_text() for output in soup.select("div.cell_output"))


def number_in(text: str) -> float:
    return float(re.search(r"[-+−]?\d+(?:\.\d+)?", text)[0].replace("−", "-"))


@page
def test_results_in_the_text_are_those_of_the_run(name):
    output = printed_by(name)
    if STAND_IN.search(output):
        pytest.skip("real file absent")
    for pattern, within, said in CLAIM.findall("\n".join(sources_of(name, "markdown"))):
        found = re.search(pattern, output)
        assert found, f"{pattern!r} is not printed"
        digits = len((re.search(r"\.(\d+)", said) or [""])[0].lstrip("."))
        allowed = float(within) if within else 0.5 * 10**-digits
        assert abs(number_in(said) - number_in(found[1])) <= allowed * 1.001, (said, found[0])


@page
def test_other_numbers_are_settings_or_known(name):
    text, code = (sources_of(name, kind) for kind in ("markdown", "code"))
    code += sources_of(f"solutions/{name}", "code")
    in_code = set(re.findall(r"\d+(?:\.\d+)?", "\n".join(code)))
    for number, unit in SAID.findall(NO_PROSE.sub(" ", "\n".join(text))):
        fraction = {f"{float(number) / 100:g}"} if unit == "%" else set()
        known = {number} | fraction
        assert known & in_code or f"{number} {unit}" in FACTS, f"where is {number} {unit} from?"


def test_the_book_states_results():
    stated = sum(len(CLAIM.findall("\n".join(sources_of(name, "markdown")))) for name in PAGES)
    assert stated >= 25
