"""What a page claims is compared with what it printed when it was run.

``claims.py`` lists the claims and their bounds. The prose states numbers too: a result stands in
the text as ``<span data-printed="right: (.*)%">98 %</span>``: the attribute finds the number in
the output of the page. Any other number with a unit must be a setting, which stands in the code of
the page or of its solutions, or a fact known without running anything.
"""

import re
from functools import cache

import pytest
from bs4 import BeautifulSoup
from claims import CLAIMS, Claim, N, Order, Words, alike, near
from test_book import PAGES, SOLUTIONS, cells_of, page
from test_site import SITE

from helpers.rvae.chains import LEAST_SHARE

STATED = re.compile(r'<span data-printed="([^"]+)"(?: data-within="([^"]+)")?>([^<]+)</span>')
SAID = re.compile(r"(?<![\w.#/–-])[-+−±]?(\d+(?:\.\d+)?)\s?(%|°|nm|pm|px|s|GiB|counts|nats)(?!\w)")
NO_PROSE = re.compile(r"<span.*?</span>|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", re.DOTALL)
STAND_IN = re.compile(r"was not found\. Shown: SIMULATED|no file\. SIMULATED")

FACTS = {
    *(f"{turn} °" for turn in (0, 45, 60, 90, 120, 180, 360)),
    *("0.385 nm", "2.015 nm"),  # Sr3Fe2O7: a and c
    *("50 px", "13 px"),  # c/2 and the nearest neighbours, at 0.02 nm a pixel
    *("9.5 px", "16.4 px", "27.4 px"),  # graphene at 0.015 and MoS2 at 0.02 nm a pixel
    "179 °",  # one side of the seam
    "104 °",  # standard deviation of an angle that may be any
    f"{100 * LEAST_SHARE:g} %",  # of the sub-images: the fewest that are a kind
    *("0.416 nm", "0.3905 nm", "0.142 nm", "0.316 nm"),  # PbZrO3, SrTiO3, graphene (C-C), MoS2
}


def sources_of(name: str, kind: str) -> list[str]:
    return [cell.source for cell in cells_of(name, kind)]


@cache
def printed_by(name: str) -> str:
    soup = BeautifulSoup((SITE / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
    return "\n".join(output.get_text() for output in soup.select("div.cell_output"))


def number_in(text: str) -> float:
    return float(re.search(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", text)[0].replace("−", "-"))


@page
def test_results_in_the_text_are_those_of_the_run(name):
    output = printed_by(name)
    if STAND_IN.search(output):
        pytest.skip("real file absent")
    for pattern, within, said in STATED.findall("\n".join(sources_of(name, "markdown"))):
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
    stated = sum(len(STATED.findall("\n".join(sources_of(name, "markdown")))) for name in PAGES)
    assert stated >= 25


def numbers(pattern: str, output: str) -> list[float]:
    """All numbers that the groups of a pattern find."""
    found = [match.groups() for match in re.finditer(pattern, output)]
    return [number_in(group) for groups in found for group in groups]


def against(claim: Claim | Order | Words, output: str) -> str:
    """What speaks against a claim: what was found, and the bound; nothing if it holds."""
    if isinstance(claim, Words):
        return "" if re.search(claim.pattern, output) else f"{claim.pattern!r} is not printed"
    if isinstance(claim, Claim):
        found = numbers(claim.pattern, output)
        if len(found) != claim.count:
            return f"{claim.pattern!r} finds {found}, not {claim.count} number(s)"
        good = all(claim.low < number < claim.high for number in found)
        bound = f"between {claim.low} and {claim.high}"
        return "" if good else f"{claim.pattern!r} finds {found}, not {bound}"
    larger, smaller = (numbers(pattern, output) for pattern in (claim.larger, claim.smaller))
    if not len(larger) == len(smaller) == 1:
        return f"{claim.larger!r} finds {larger}, {claim.smaller!r} finds {smaller}: not one each"
    bound = claim.factor * smaller[0] + claim.margin
    found = f"{claim.larger!r} finds {larger[0]}, not over {bound:g}"
    of = f"{claim.factor:g} times {smaller[0]}, of {claim.smaller!r}, plus {claim.margin:g}"
    return "" if larger[0] > bound else f"{found}: {of}"


ALL = [
    pytest.param(name, claim, id=f"{name}-{n}")
    for name, claims in CLAIMS.items()
    for n, claim in enumerate(claims)
]


@pytest.mark.parametrize(("name", "claim"), ALL)
def test_what_a_page_claims_is_what_it_printed(name, claim):
    output = printed_by(name)
    if STAND_IN.search(output):
        pytest.skip("real file absent")
    reason = against(claim, output).replace(repr(N)[1:-1], "N")
    assert not reason, f"{name}: {reason}. {claim.why}"


def test_claims_are_of_pages_that_exist():
    assert not set(CLAIMS) - set(PAGES) - set(SOLUTIONS)


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (Claim(r"right: (\S+)%", 97), True),
        (Claim(r"right: (\S+)%", 98.2), False),  # a bound is not reached
        (Claim(r"right: (\S+)%", high=98.2), False),
        (Claim(r"right: (\S+)%", 97, count=2), False),
        (Claim(r"wrong: (\S+)%", 0), False),  # not printed
        (Claim(r"[ab] = (\S+) nm", -1, 1, count=2), True),
        (Order(r"a = (\S+) nm", r"b = (\S+) nm"), True),
        (Order(r"b = (\S+) nm", r"a = (\S+) nm"), False),
        (Order(r"a = (\S+) nm", r"right: (\S+)%", 0.01), False),
        (Order(r"a = (\S+) nm", r"b = (\S+) nm", margin=0.6), False),
        (Order(r"[ab] = (\S+) nm", r"b = (\S+) nm"), False),  # two numbers
        (Words(r"order \[1, 2\]"), True),
        (Words(r"order \[1, 3\]"), False),
    ],
)
def test_a_claim_that_does_not_hold_is_found(claim, holds):
    output = "right: 98.2% of them\na = 0.25 nm, b = −0.25 nm; order [1, 2]\n"
    assert (against(claim, output) == "") == holds


def test_relations_bound_on_both_sides():
    output = "a: 1.00, b: 1.10"
    for within, holds in ((0.2, True), (0.05, False)):
        both = near("a: (.*),", "b: (.*)", within), near("b: (.*)", "a: (.*),", within)
        assert all((not any(against(c, output) for c in pair)) == holds for pair in both)
    for bounds, holds in (((0.9, 1.2), True), ((0.9, 1.05), False), ((1.15, 1.2), False)):
        assert (not any(against(c, output) for c in alike("b: (.*)", "a: (.*),", *bounds))) == holds
