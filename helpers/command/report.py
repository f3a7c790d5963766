"""The report: cells of the executed page, as one page of HTML that needs nothing from elsewhere.

The words of a file (units, titles, its name) and of warnings stand in it. They pass one gate, which
lets through what a text is made of; and should anything get by, the page itself tells the browser
to run no script and to fetch nothing.
"""

from base64 import b64decode
from html import escape
from pathlib import Path
from string import Template

import bleach

from .words import in_words_of_the_command

WIDGET = "application/vnd.jupyter.widget-view+json"  # progress bars: dead in a report
SHOWN = ["image/png", "text/markdown", "text/plain"]  # of an output, the first that it has
FRAME = Path(__file__).with_name("report.html")

TAGS = set("a blockquote br code div em h1 h2 h3 h4 hr img li ol p pre span strong".split())
TAGS |= set("table tbody td th thead tr ul".split())
PICTURE = "data:image/png;base64,"


def write_report(folder: Path, notebook, name: str) -> None:
    """Write the cells tagged ``report`` of an executed page, and the figures of these.

    Parameters
    ----------
    folder : pathlib.Path
        Gets ``report.html`` and the folder ``figures``.
    notebook : nbformat.NotebookNode
        Is changed.
    name : str
        Of the image.
    """
    figures = folder / "figures"
    figures.mkdir()
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "report" in tags:
            cells += _report_cells(cell, figures)
    notebook.cells = cells
    notebook.metadata = {}
    frame = Template(FRAME.read_text(encoding="utf-8"))
    title = escape(f"Local symmetry of {name}")
    page = frame.substitute(title=title, body=_as_html(notebook))
    (folder / "report.html").write_text(page, encoding="utf-8", errors="backslashreplace")


def _report_cells(cell, figures: Path) -> list:
    """The cell as it stands in the report; one with a figure, which is saved, has its caption."""
    from nbformat.v4 import new_markdown_cell

    outputs = cell.get("outputs", ())
    cell.outputs = [output for output in outputs if WIDGET not in output.get("data", ())]
    for output in cell.outputs:
        if "text" in output:  # printed
            output.text = in_words_of_the_command(output.text)
    settings = cell.metadata.get("mystnb")
    if not settings:
        return [cell]
    cell.metadata["alt"] = settings["image"]["alt"]
    figure = settings["figure"]
    caption = new_markdown_cell(f"*{figure['caption']}*")
    name = figure["name"][4:]  # without "fig-"
    path = figures / f"{name}.png"
    path.write_bytes(_first_picture(cell))
    return [cell, caption]


def _first_picture(cell) -> bytes:
    outputs = [output for output in cell.outputs if "image/png" in output.get("data", ())]
    first = outputs[0]
    return b64decode(first.data["image/png"])


def _as_html(notebook) -> str:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN}}),
    )
    body, _ = exporter.from_notebook_node(notebook)
    return bleach.clean(body, TAGS, _may_stay, protocols={"data"}, strip=True)


def _may_stay(tag: str, name: str, value: str) -> bool:
    """Whether an element keeps an attribute: pictures lie in the page, and so does what is linked.

    The attributes of a style sheet are harmless; all others may run code or fetch something.
    """
    if name == "href":
        return tag == "a" and value.startswith("#")
    if name == "src":
        return tag == "img" and value.startswith(PICTURE)
    return name in {"alt", "class", "id"}
