"""The report shows what a file says, and does nothing that a file says."""

import io
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template

import matplotlib.pyplot as plt
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_site import browser  # noqa: F401

from helpers.command.report import FRAME, WIDGET, write_report

SCRIPT = "<script>window.ran = 1; fetch('http://elsewhere.invalid/script')</script>"
HOSTILE = [
    SCRIPT,
    "<img src=x onerror='window.ran = 2'>",
    "<img src='http://elsewhere.invalid/picture.png'>",
    "![picture](http://elsewhere.invalid/markdown.png)",
    "[link](javascript:window.ran=3) <a href='javascript:window.ran=3' id='go'>go</a>",
    "<svg onload='window.ran = 4'><script>window.ran = 4</script></svg>",
    "<iframe src='http://elsewhere.invalid/frame'></iframe>",
    "<object data='http://elsewhere.invalid/object'></object>",
    "<meta http-equiv='refresh' content='0; url=http://elsewhere.invalid/refresh'>",
    "<link rel='stylesheet' href='http://elsewhere.invalid/sheet.css'>",
    "<style>@import url(http://elsewhere.invalid/style.css); h1 { background: url(x) }</style>",
    "<p style='background: url(http://elsewhere.invalid/background.png)' onclick='window.ran=5'>p",
    "<form action='http://elsewhere.invalid/form'><button id='send'>send</button></form>",
    "<base href='http://elsewhere.invalid/'>",
    "</pre></div></body><script>window.ran = 6</script>",
    "`` ` ``<script>window.ran = 7</script>",
    "$x$ \\(<script>window.ran = 8</script>\\)",
    "\x1b[31m<script>window.ran = 9</script>\x1b[0m",
    "&lt;script&gt; <scr<script>ipt>window.ran = 10</scr</script>ipt>",
]
NAME = "<img src=x onerror='window.ran = 11'>$body<script>window.ran = 12</script>.dm3"


def picture():
    """A small PNG."""
    figure = plt.figure(figsize=(1, 1))
    file = io.BytesIO()
    figure.savefig(file)
    return b64encode(file.getvalue()).decode()


def shown(**data):
    names = {name.replace("_", "/", 1): value for name, value in data.items()}
    return new_output("display_data", data=names)


def figure_cell(*outputs, alt="Dots.", caption="A *map*."):
    about = {"image": {"alt": alt}, "figure": {"caption": caption, "name": "fig-own-angle"}}
    return new_code_cell("", outputs=list(outputs), metadata={"tags": ["report"], "mystnb": about})


def report_of(folder, *cells, name="mine.dm3"):
    folder.mkdir(exist_ok=True)
    write_report(folder, new_notebook(cells=list(cells)), name)
    return folder / "report.html"


def printed(text):
    output = new_output("stream", name="stdout", text=text)
    return new_code_cell("", outputs=[output], metadata={"tags": ["report"]})


def test_the_tagged_cells_and_their_figures_are_shown_and_nothing_else(tmp_path):
    widget = new_output("display_data", data={WIDGET: {}, "text/plain": "a dead bar"})
    path = report_of(
        tmp_path,
        new_markdown_cell("## Angle", metadata={"tags": ["report"]}),
        new_markdown_cell("Not tagged."),
        printed("order 4: x < y & z"),
        figure_cell(widget, shown(image_png=picture(), text_plain="<Figure size>")),
    )
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert page.h1.text == "Local symmetry of mine.dm3" and page.h2.text == "Angle¶"
    assert page.pre.text.strip() == "order 4: x < y & z"
    assert page.img["alt"] == "Dots." and page.img["src"].startswith("data:image/png;base64,")
    assert page.p.text == "A map."
    for left_out in ("Not tagged", "a dead bar", "Figure size"):
        assert left_out not in page.text
    assert (tmp_path / "figures" / "own-angle.png").read_bytes()[1:4] == b"PNG"


def hostile_cells():
    """The words of a file, wherever they may come from."""
    cells = [printed(text) for text in HOSTILE]
    for text in HOSTILE:
        outputs = [shown(text_markdown=text), shown(text_plain=text), shown(text_html=text)]
        outputs += [new_output("error", ename="ValueError", evalue=text, traceback=[text])]
        cells.append(new_code_cell("", outputs=outputs, metadata={"tags": ["report"]}))
        cells.append(new_markdown_cell(text, metadata={"tags": ["report"]}))
    svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran = 13'/>"
    more = [shown(image_svg=svg), shown(application_javascript="window.ran = 14")]
    cells.append(new_code_cell("", outputs=more, metadata={"tags": ["report"]}))
    figure = shown(image_png=picture(), text_html=SCRIPT)
    cells.append(figure_cell(figure, alt="'\"><script>window.ran = 15</script>", caption=SCRIPT))
    return cells


def look(browser, path):  # noqa: F811
    """What a page has run, and the addresses that it asked for, in a browser."""
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    ran = page.evaluate("window.ran")
    for name in ("go", "send"):
        for element in page.query_selector_all(f"#{name}"):
            element.evaluate("element => element.click()")
    page.wait_for_timeout(300)
    ran = ran or page.evaluate("window.ran")
    page.close()
    return ran, [url for url in asked if not url.startswith(("data:", path.as_uri()))]


def test_nothing_that_a_file_says_is_run_or_fetched(tmp_path, browser):  # noqa: F811
    path = report_of(tmp_path, *hostile_cells(), name=NAME)
    assert look(browser, path) == (None, [])
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert page.h1.text == f"Local symmetry of {NAME}" and SCRIPT in page.pre.text
    assert not page.find_all(["script", "iframe", "object", "svg", "form", "base", "link"])
    assert len(page.find_all("meta")) == 3 and len(page.find_all("style")) == 1
    allowed = {"class", "id", "alt", "src", "href"}
    for element in page.body.find_all() if page.body else page.h1.find_all_next():
        assert set(element.attrs) <= allowed, element
        assert element.get("href", "#").startswith("#"), element
        assert element.get("src", "data:image/png").startswith("data:image/png"), element


@pytest.fixture
def elsewhere():
    """The address of a server, and what it was asked for."""
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.parametrize("told", [True, False])
def test_the_browser_is_told_to_run_and_fetch_nothing(told, tmp_path, browser, elsewhere):  # noqa: F811
    """Should anything get by the gate; were the browser not told, it would."""
    address, asked = elsewhere
    body = "\n".join(text for text in HOSTILE if "refresh" not in text and "<base" not in text)
    frame = FRAME.read_text(encoding="utf-8").replace("$title", "")
    frame = frame if told else frame.replace("Content-Security-Policy", "X-Nothing")
    path = tmp_path / "report.html"
    page = Template(frame).substitute(body=body.replace("elsewhere.invalid", address))
    path.write_text(page, encoding="utf-8")
    ran, _ = look(browser, path)
    assert (ran, asked) == (None, []) if told else (ran and len(asked) > 5)


def test_a_name_that_is_no_unicode_is_shown(tmp_path):
    path = report_of(tmp_path, name="\udce9.dm3")
    assert "Local symmetry of \\udce9.dm3" in path.read_text(encoding="utf-8")


def test_warnings_name_the_options_of_the_command(tmp_path):
    path = report_of(tmp_path, printed("- no unit: give pixel_size_nm= if you know it"))
    assert "give --pixel-size-nm if you know it" in path.read_text(encoding="utf-8")
