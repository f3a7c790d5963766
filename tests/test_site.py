"""The built pages in a browser: no error, nothing from outside, no broken link, fit for phones."""

import functools
import http.server
import json
import re
import shutil
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
BRANCH = CONFIG["repository"]["branch"]  # the tag of a release, or main
SITE = ROOT / "_build" / "html"
BOOK = ROOT / "book"
NOTEBOOKS = sorted(
    path.relative_to(BOOK).with_suffix("").as_posix()
    for path in [*BOOK.glob("*.ipynb"), *(BOOK / "solutions").glob("*.ipynb")]
)
PAGES = sorted([*NOTEBOOKS, *(path.stem for path in BOOK.glob("*.md"))])
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
YARDSTICK_S = 0.25  # of the computer for which budgets in seconds are meant: see book/execute.py
LONGEST_MS = 120_000  # a computer may be slow, and busy
# axe-core would fetch style sheets once more, from the wrong place, and list all that is well.
AS_IT_IS = {"preload": False, "resultTypes": ["violations"]}
OF_THE_THEME = {"label-content-name-mismatch", "region"}  # findings of axe-core that stay
LOOK = """() => ({
  title: [...document.querySelectorAll('article h1')].map(e => e.textContent.trim()),
  images: [...document.images].map(e => [e.getAttribute('src'), e.getAttribute('alt') || '']),
  links: [...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href')),
  ids: [...document.querySelectorAll('[id]')].map(e => e.id),
  costs: [...document.querySelectorAll('.page-cost')].map(e => [e.dataset.page, e.textContent]),
  plain: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container'))
    .map(e => e.textContent),
  broken: [...document.images].filter(e => e.complete && !e.naturalWidth).map(e => e.src),
})"""
# A word of code is as readable as the first of its kind: axe-core takes a look at each, and long.
ONE_OF_A_KIND = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll('div.highlight pre span')) {
    if (word.children.length) continue;
    const block = word.closest('div.cell_input, div.cell_output, div.highlight');
    const kind = `${word.className} in ${block.className}`;
    if (seen.has(kind)) word.replaceWith(word.textContent);
    seen.add(kind);
  }
}"""


def text_of(name: str) -> str:
    return (BOOK / f"{name}.ipynb").read_text(encoding="utf-8")


every_page = pytest.mark.parametrize("name", PAGES)
every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """The address of a server of the built pages, on this computer alone."""
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


def visit(browser, address, name):
    """What a browser sees of one page, on a desk and on a phone."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(LONGEST_MS)
    seen = {"errors": [], "outside": []}
    page.on("console", lambda m: m.type == "error" and seen["errors"].append(m.text))
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("requestfailed", lambda r: seen["errors"].append(f"{r.url}: {r.failure}"))

    def stay_inside(route):
        url = route.request.url
        inside = url.startswith((address, "data:", "blob:"))
        if not inside:
            seen["outside"].append(url)
        return route.continue_() if inside else route.abort()

    page.route("**/*", stay_inside)
    page.goto(f"{address}{name}.html", wait_until="networkidle")
    page.evaluate("document.querySelectorAll('img').forEach(e => e.loading = 'eager')")
    page.wait_for_function("[...document.images].every(e => e.complete)")
    page.evaluate("window.MathJax?.startup?.promise")
    seen |= page.evaluate(LOOK)
    page.evaluate(ONE_OF_A_KIND)
    for place, width in (("desk", 1280), ("phone", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(700)  # the theme waits before it looks anew for what scrolls
        seen[place] = page.evaluate("document.documentElement.scrollWidth")
        seen[f"{place} findings"] = Axe().run(page, options=AS_IT_IS).response["violations"]
    page.close()
    return seen


@pytest.fixture(scope="module")
def site(browser, address):
    """A function that visits a page once and remembers what it saw."""
    assert (SITE / "index.html").exists(), "the book is not built: run make book"
    return functools.cache(functools.partial(visit, browser, address))


@pytest.fixture(scope="module")
def costs():
    path = ROOT / "_build" / "costs.json"
    assert path.exists(), "the book is not built: run make book"
    return json.loads(path.read_text())


@every_page
def test_no_error_and_no_request_to_elsewhere(site, name):
    seen = site(name)
    assert not seen["outside"]
    assert not seen["errors"]
    assert not seen["broken"]


@every_page
def test_equations_are_typeset(site, name):
    assert not site(name)["plain"]


@every_page
@pytest.mark.parametrize("place", ["desk", "phone"])
def test_nobody_is_shut_out(site, name, place):
    found = {f["id"]: f["nodes"][0]["html"] for f in site(name)[f"{place} findings"]}
    assert found.keys() <= OF_THE_THEME, found


@every_page
def test_one_title(site, name):
    assert len(site(name)["title"]) == 1, site(name)["title"]


@every_page
def test_images_have_alt_text(site, name):
    for source, alt in site(name)["images"]:
        assert alt.strip() and not alt.endswith((".png", ".svg", ".webp")), source


@every_page
def test_no_sideways_scroll(site, name):
    assert site(name)["desk"] <= 1280
    assert site(name)["phone"] <= 390


PLAYED = [name for name in NOTEBOOKS if "Player(" in text_of(name) or "Picker(" in text_of(name)]


@pytest.mark.parametrize("name", PLAYED)
def test_players_play_without_a_kernel_from_the_file_itself(site, browser, name):
    page = browser.new_page()
    page.goto((SITE / f"{name}.html").as_uri())
    players = page.locator("div.player")
    assert players.count() >= 1
    for player in players.all():
        image, slider = player.locator("img"), player.get_by_role("slider")
        seen = {image.get_attribute("src")}
        for key in ("End", "ArrowLeft", "Home", "ArrowRight"):
            slider.press(key)
            seen.add(image.get_attribute("src"))
        assert len(seen) >= 4 and len(image.get_attribute("alt")) > 10
        box = slider.bounding_box()
        page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
        assert slider.input_value() == slider.get_attribute("max")
        assert image.get_attribute("src") in seen
    page.close()


@pytest.mark.parametrize("name", PLAYED)
def test_players_show_a_picture_without_scripts(site, browser, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / f"{name}.html").as_uri())
    for image in page.locator("div.player img").all():
        assert image.bounding_box()["height"] > 100 and len(image.get_attribute("alt")) > 10
    context.close()


@every_page
def test_links_inside_the_book(site, name):
    for link in site(name)["links"]:
        path, fragment = urldefrag(urljoin(f"/{name}.html", unquote(link)))
        if re.match(r"[a-z]+:", link) or link.startswith("//"):
            continue
        target = SITE / path.lstrip("/")
        assert target.is_file(), f"{link} leads nowhere"
        if fragment and target.suffix == ".html":
            other = target.relative_to(SITE).with_suffix("").as_posix()
            ids = site(other)["ids"]
            assert unquote(fragment) in ids, f"{link}: no such place"


@every_notebook
def test_launch_links_open_this_page(site, name):
    links = "\n".join(site(name)["links"])
    branch = re.escape(BRANCH)
    binder = rf"mybinder\.org/v2/gh/[^/]*/[^/]*/{branch}\?urlpath=lab/tree/"
    colab = rf"colab\.research\.google\.com/github/[^/]*/[^/]*/blob/{branch}/"
    for service in (binder, colab):
        [path] = re.findall(rf"https://{service}(.*)", links)
        assert path == f"book/{name}.ipynb" and (ROOT / path).is_file()


@every_page
def test_page_weighs_little(site, name):
    size = (SITE / f"{name}.html").stat().st_size
    sources = {source for source, _ in site(name)["images"] if not source.startswith("data:")}
    for source in sources:
        path = (SITE / f"{name}.html").parent / unquote(source)
        size += path.stat().st_size if path.is_file() else 0
    assert size <= 3 * 1024**2, f"{size / 1024**2:.1f} MiB"


@pytest.fixture(scope="module")
def slowness(costs):
    """How many times slower than the computer of the budgets this one was; at least 1."""
    return max(1.0, costs["yardstick_seconds"] / YARDSTICK_S)


@every_notebook
def test_page_keeps_to_its_budget(costs, slowness, name):
    assert costs["pages"][name]["seconds"] <= 90 * slowness
    assert costs["pages"][name]["gib"] <= 1.0


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if "/" not in name])
def test_page_shows_its_measured_cost(site, costs, name):
    cost = costs["pages"][name]
    text = f"{cost['seconds']} s and {cost['gib']:.2f} GiB"
    assert [name, text] in site(name)["costs"]
    assert [name, text] in site("intro")["costs"]


def test_whole_book_keeps_to_its_budget(costs, slowness):
    assert costs["build_seconds"] <= 600 * slowness
    seconds = sum(page["seconds"] for page in costs["pages"].values())
    assert seconds <= 2 * 600 * slowness  # two at a time
