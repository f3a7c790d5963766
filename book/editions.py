"""Three editions of the book for a class: slides, notebooks to fill in, and a bundle to carry.

``make slides``, ``make student`` and ``make bundle`` run this file, and ``make book`` makes the
slides as its last step. All are made from the pages, so that none has to be kept up by hand.
"""

import base64
import copy
import html
import io
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import nbformat
import yaml
from alone import build_wheel
from jupyter_cache import get_cache
from markdown_it import MarkdownIt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
BUILD = ROOT / "_build"
FRAMES = BOOK / "_editions"  # what stands around slides and texts
SOLUTION = re.compile(r"^.*\]\(solutions/.*\n?", re.MULTILINE)
FOR_TEACHERS = {"teaching.md"}
FOR_READERS = ("*.ipynb", "solutions/*.ipynb", "*.md", "_assets/*.svg")
SLIDE = """
<section class="slide" id="{number}" tabindex="-1" aria-labelledby="head{number}">
<p class="part">{title} <a href="{page}.html#{figure}">on its page</a></p>
<h2 id="head{number}">{headline}</h2>
<figure><div class="box"><img src="data:image/webp;base64,{webp}" alt="{alt}"></div>
<figcaption>{caption}</figcaption></figure>
<div class="questions">{question}</div>
<div class="notes">{notes}</div>
</section>"""


def version() -> str:
    """The version of the package, which is that of the book."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return settings["project"]["version"]


def text_of(name: str) -> str:
    """A text of ``book/_editions`` with the version filled in."""
    return (FRAMES / name).read_text(encoding="utf-8").replace("{version}", version())


def sources() -> list[Path]:
    """The files of the book that readers open: pages, solutions, texts and drawings."""
    return sorted(path for pattern in FOR_READERS for path in BOOK.glob(pattern))


# Slides


def plain_figures(cell: dict) -> list[str]:
    """The PNG pictures, as base64, that the executed `cell` shows; a player has none."""
    data = [output.get("data", {}) for output in cell.get("outputs", [])]
    return [one["image/png"] for one in data if "image/png" in one and "text/html" not in one]


def figures_of_pages() -> dict[str, dict[str, str] | None]:
    """Page, picture, alt text and caption of every plain figure of the last build, by its name.

    None stands for a figure that its page did not come to, since it failed before.
    """
    cache = get_cache(BUILD / ".jupyter_cache")
    figures = {}
    for path in sorted(BOOK.glob("*.ipynb")):
        try:
            pk, page = cache.merge_match_into_notebook(nbformat.read(path, as_version=4))
        except KeyError:  # changed since the build: its figures are missed by name, if wanted
            continue
        failed = "failed" in cache.get_cache_record(pk).data  # as the build notes
        for cell in page.cells:
            settings = cell.metadata.get("mystnb", {})
            pictures = plain_figures(cell)
            if "figure" in settings and pictures:
                about = {"page": path.stem, "png": pictures[0]}
                about |= {"alt": settings["image"]["alt"], "caption": settings["figure"]["caption"]}
                figures[settings["figure"]["name"]] = about
            elif "figure" in settings and failed:
                figures[settings["figure"]["name"]] = None
    return figures


def as_webp(png: str) -> str:
    """The same picture, in base64, at a fraction of the size."""
    written = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png))).save(written, "WEBP", quality=90)
    return base64.b64encode(written.getvalue()).decode()


def slide(number: int, entry: dict[str, str], figures: dict) -> str:
    """The HTML of one slide; ValueError if its figure is not there."""
    if entry["figure"] not in figures:
        raise ValueError(
            f"slide {number} wants {entry['figure']}, which is no plain figure of a page as last "
            "built; run make book, or name another figure in book/slides.yml"
        )
    about = figures[entry["figure"]]
    markdown = MarkdownIt("commonmark", {"html": False})
    inline = {"headline": entry["headline"], "caption": entry.get("caption", about["caption"])}
    parts = {name: markdown.renderInline(text) for name, text in inline.items()}
    parts |= {name: markdown.render(entry[name]) for name in ("question", "notes")}
    parts |= {
        name: html.escape(text) for name, text in (("alt", about["alt"]), ("title", entry["title"]))
    }
    parts["webp"] = as_webp(about["png"])
    return SLIDE.format(**{**entry, **about, **parts}, number=number)


def make_slides(path: Path = BUILD / "html" / "slides.html") -> Path:
    """Write the deck of ``book/slides.yml`` as one page that needs nothing from elsewhere.

    Where a page failed, the slides that show what it did not come to are left out.
    """
    deck = yaml.safe_load((BOOK / "slides.yml").read_text(encoding="utf-8"))
    figures = figures_of_pages()
    entries = [entry for entry in deck["slides"] if figures.get(entry["figure"], "unknown")]
    slides = [slide(n, entry, figures) for n, entry in enumerate(entries, start=1)]
    page = text_of("slides.html").replace("{title}", html.escape(deck["title"]))
    path.write_text(page.replace("{slides}", "".join(slides)), encoding="utf-8")
    return path


# Notebooks for students


def room_to_answer(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that take the place of `cell`: where a line led to a solution, two empty ones."""
    texts = SOLUTION.split(cell.source) if cell.cell_type == "markdown" else [cell.source]
    if len(texts) == 1:
        return [cell]
    cells = []
    for n, text in enumerate(texts):
        if n:
            words = nbformat.v4.new_markdown_cell("**Your answer:**", id=f"{cell.id}-words-{n}")
            cells += [words, nbformat.v4.new_code_cell(id=f"{cell.id}-code-{n}")]
        if text.strip():
            part = copy.deepcopy(cell)
            part.id, part.source = f"{cell.id}-part-{n}", text.strip("\n")
            cells.append(part)
    return cells


def make_student(folder: Path = BUILD / "student") -> Path:
    """Write the notebooks without solutions, and the texts that they link to, into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in sources():
        target = folder / path.relative_to(BOOK)
        if path.name in FOR_TEACHERS or path.parent.name == "solutions":
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            notebook.cells = [new for cell in notebook.cells for new in room_to_answer(cell)]
            nbformat.write(notebook, target)
    (folder / "README.md").write_text(text_of("student.md"), encoding="utf-8")
    return folder


# Bundle


def package_list() -> str:
    """The versions of all packages of this environment, in a form that holds on any system."""
    freeze = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    lines = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.splitlines()
    return "".join(f"{line.split('+')[0]}\n" for line in lines if "==" in line)


def files_under(folder: Path, inside: str, paths: list[Path] | None = None) -> dict[str, bytes]:
    """The content of the files of `folder` (or of some `paths`), by their names in the bundle."""
    paths = paths or [path for path in folder.rglob("*") if path.is_file()]
    return {f"{inside}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def bundle_files() -> dict[str, bytes]:
    """All that the bundle holds, by name."""
    files = files_under(BUILD / "html", "site") | files_under(BOOK, "notebooks", sources())
    with tempfile.TemporaryDirectory() as place:
        files |= files_under(make_student(Path(place) / "student"), "student")
        wheel = build_wheel(ROOT, Path(place))
        files[wheel.name] = wheel.read_bytes()
    for name in ("LICENSE", "LICENSE-text"):
        files[name] = (ROOT / name).read_bytes()
    files["packages.txt"] = package_list().encode()
    files["README.txt"] = text_of("bundle.txt").encode()
    return files


def make_bundle(folder: Path = BUILD) -> Path:
    """Write everything into one zip file; order and dates are the same each time."""
    if not (BUILD / "html" / "slides.html").exists():
        raise ValueError(f"no slides in {BUILD / 'html'}: the book is not built; run make book")
    name = f"rvae-stem-book-{version()}"
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for inside, data in sorted(bundle_files().items()):
            entry = zipfile.ZipInfo(f"{name}/{inside}")  # dated 1980
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def main(arguments: list[str]) -> int:
    editions = {"slides": make_slides, "student": make_student, "bundle": make_bundle}
    if len(arguments) != 1 or arguments[0] not in editions:
        print(f"usage: editions.py {'|'.join(editions)}", file=sys.stderr)
        return 2
    try:
        path = editions[arguments[0]]()
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.is_file() else ""
    print(f"{path}{size}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
