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
    options = vars(_parser().parse_args(arguments))
    options["folder"] = options["folder"] or Path(f"{options['image'].stem}_symmetry")
    try:
        analyse(**options)
    except (ValueError, OSError) as error:  # both name the remedy
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m helpers", description="Local symmetry in images.")
    command = parser.add_subparsers(required=True).add_parser("analyse", help="maps and a report")
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
    from papermill import PapermillExecutionError, execute_notebook

    from .files.folder import new_folder
    from .kernel import QuietKernelManager

    started = time.monotonic()
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this environment
    os.environ.pop("MPLBACKEND", None)  # whose figures would not come back
    kernel = {"kernel_name": "python3", "kernel_manager_class": QuietKernelManager}
    with new_folder(folder, overwrite=overwrite) as new:
        parameters |= {"image": str(image.absolute()), "folder": str(new / "results")}
        try:
            notebook = execute_notebook(_page(), None, parameters, **kernel)
        except PapermillExecutionError as error:
            kind = "" if error.ename in ("ValueError", "FileNotFoundError") else f"{error.ename}: "
            raise ValueError(kind + error.evalue) from None
        _write_report(new, notebook, f"Local symmetry of {image.name}")
    print(f"{folder / 'report.html'}: written in {time.monotonic() - started:.0f} s")
    return folder


def _page() -> Path:
    """Where the page lies: in a checkout, or where the wheel has put it."""
    checkout = Path(__file__).resolve().parents[1] / "book" / PAGE
    installed = (file.locate() for file in files("rvae-stem-book") or () if file.name == PAGE)
    return checkout if checkout.is_file() else Path(next(installed))


def _write_report(folder: Path, notebook, title: str) -> None:
    """The tagged cells as one page, which needs nothing from elsewhere, and their figures."""
    from nbconvert import HTMLExporter
    from nbformat.v4 import new_markdown_cell

    cells = []
    (folder / "figures").mkdir()
    for cell in [c for c in notebook.cells if "report" in c.metadata.get("tags", ())]:
        cells.append(cell)
        cell.outputs = [o for o in cell.get("outputs", ()) if WIDGET not in o.get("data", ())]
        if settings := cell.metadata.get("mystnb"):
            cell.metadata["alt"] = settings["image"]["alt"]
            cells.append(new_markdown_cell(f"*{settings['figure']['caption']}*"))
            shown = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", ())]
            path = folder / "figures" / f"{settings['figure']['name'][4:]}.png"
            path.write_bytes(b64decode(shown[0]))
    notebook.cells = cells
    notebook.metadata = {}
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    page = Template(FRAME.read_text(encoding="utf-8")).substitute(title=escape(title), body=body)
    (folder / "report.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
