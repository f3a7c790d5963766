"""``python -m helpers analyse IMAGE``: from a microscope file to a folder with maps and a report.

The page "Analyse your own image" is the program: its parameters are set, it is executed from top to
bottom, and the cells tagged ``report`` become ``report.html``.
"""

import argparse
import os
import sys
import time
from base64 import b64decode
from html import escape
from importlib.metadata import files
from pathlib import Path
from string import Template

PAGE = "21_analyse_image.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"  # progress bars: dead in a report
FRAME = Path(__file__).with_name("report.html")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line: 0 if all went well, 2 with one line that says why not."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    if options["folder"] is None:
        options["folder"] = Path(f"{options['image'].stem}_symmetry")
    try:
        analyse(**options)
    except (ValueError, OSError) as error:  # both name the remedy
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m helpers", description="Local symmetry in images.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("analyse", help="maps and a report")
    command.add_argument("image", type=Path, help="any file that HyperSpy reads: image or stack")
    command.add_argument("--folder", type=Path, help="to be made; by default IMAGE_symmetry, here")
    command.add_argument("--signal", help="index or title, where the file holds several")
    command.add_argument("--pixel-size-nm", type=float, help="in place of what the file says")
    command.add_argument("--lattice-nm", type=float, help="a known lattice distance, as a check")
    command.add_argument("--window-px", type=int, help="in place of the recommended size")
    command.add_argument("--latent-dim", type=int, default=2, help="numbers besides the angle")
    command.add_argument("--seed", type=int, default=0, help="of the training, 0 by default")
    command.add_argument("--overwrite", action="store_true", help="replace a folder of that name")
    return parser


def analyse(image: Path, folder: Path, *, overwrite: bool = False, **parameters) -> Path:
    """Execute the page for one file; return the folder, which appears only when it is whole.

    Parameters
    ----------
    image, folder : pathlib.Path
    overwrite : bool
    parameters : signal, pixel_size_nm, lattice_nm, window_px, latent_dim, seed

    Raises
    ------
    ValueError
        If the folder exists and `overwrite` is False, or the page refuses the file.
    """
    from .files.folder import new_folder

    started_s = time.monotonic()
    with new_folder(folder, overwrite=overwrite) as new:
        parameters["image"] = str(image.absolute())
        parameters["folder"] = str(new / "results")
        notebook = _execute_page(parameters)
        _write_report(new, notebook, f"Local symmetry of {image.name}")
    duration_s = time.monotonic() - started_s
    print(f"{folder / 'report.html'}: written in {duration_s:.0f} s")
    return folder


def _execute_page(parameters: dict):
    """The executed page; an error that it ends with becomes a ValueError of the same words."""
    from papermill import PapermillExecutionError, execute_notebook

    from .kernel import QuietKernelManager

    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment
    os.environ.pop("MPLBACKEND", None)  # whose figures would not come back
    try:
        return execute_notebook(
            _page(),
            None,
            parameters,
            kernel_name="python3",
            kernel_manager_class=QuietKernelManager,
        )
    except PapermillExecutionError as error:
        if error.ename in ("ValueError", "FileNotFoundError"):
            message = error.evalue
        else:
            message = f"{error.ename}: {error.evalue}"
        raise ValueError(message) from None


def _page() -> Path:
    """Where the page lies: in a checkout, or where the wheel has put it."""
    top = Path(__file__).resolve().parents[1]
    in_checkout = top / "book" / PAGE
    if in_checkout.is_file():
        return in_checkout
    installed = files("rvae-stem-book") or ()
    page = next(file for file in installed if file.name == PAGE)
    return Path(page.locate())


def _write_report(folder: Path, notebook, title: str) -> None:
    """The tagged cells as one page, which needs nothing from elsewhere, and their figures."""
    figures = folder / "figures"
    figures.mkdir()
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "report" in tags:
            cells += _report_cells(cell, figures)
    notebook.cells = cells
    notebook.metadata = {}
    body = _as_html(notebook)
    frame = Template(FRAME.read_text(encoding="utf-8"))
    page = frame.substitute(title=escape(title), body=body)
    (folder / "report.html").write_text(page, encoding="utf-8")


def _report_cells(cell, figures: Path) -> list:
    """The cell as it stands in the report; one with a figure, which is saved, has its caption."""
    from nbformat.v4 import new_markdown_cell

    outputs = cell.get("outputs", ())
    cell.outputs = [output for output in outputs if WIDGET not in output.get("data", ())]
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

    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    return body


if __name__ == "__main__":
    sys.exit(main())
