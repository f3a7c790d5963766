"""``make book``: a failing page harms no other, nothing needless is said, nothing is stale.

And one Ctrl-C ends it.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import alone
import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    "pyproject.toml",
    "constraints.txt",
    "_config.yml",
    "README.md",
    "LICENSE",
    "LICENSE-text",
)
PROGRAMS = ("alone.py", "build.py", "editions.py", "execute.py", "stoppable.py")
PAGE_OF_COMMAND = "book/21_analyse_image.ipynb"  # which goes into the wheel, and is no page here
COST = "from helpers.timing import report_cost\n\nreport_cost()"
PLOT = "import matplotlib.pyplot as plt\n\nplt.plot([0, 1])\nplt.show()"
SLIDE = "  - {{title: T, headline: Headline {0}, figure: fig-{0}, question: Q, notes: N}}\n"


def figure(name):
    about = {"image": {"alt": "A rising line."}, "figure": {"caption": "A.", "name": f"fig-{name}"}}
    return new_code_cell(PLOT, metadata={"mystnb": about})


def write_page(book, name, *cells):
    """A page of the form that the build knows: title, place for its costs, cells, costs."""
    span = f'<span class="page-cost" data-page="{name}">what the last cell prints</span>'
    code = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(
        cells=[new_markdown_cell(f"# {name}\n\nIt takes {span}."), *code, new_code_cell(COST)],
        metadata={"kernelspec": kernel},
    )
    nbformat.write(notebook, book / f"{name}.ipynb")


def build(folder):
    command = [sys.executable, str(folder / "book" / "build.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def new_book(folder, *, pages, figures, intro):
    """A book of some pages, which are still to be written, with slides of their figures."""
    book = folder / "book"
    book.mkdir(parents=True)
    for name in (*COPIED, *(f"book/{program}" for program in PROGRAMS)):
        shutil.copy(ROOT / name, folder / name)
    for name in ("book/_editions", "book/_assets", "helpers", "data"):
        shutil.copytree(ROOT / name, folder / name)
    pyproject = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(pyproject.replace(PAGE_OF_COMMAND, "book/intro.md"))
    chapters = "".join(f"- file: {name}\n" for name in pages)
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: intro\nchapters:\n{chapters}")
    (book / "references.bib").touch()
    (book / "intro.md").write_text(f"# A small book\n\n{intro}\n")
    (book / "slides.yml").write_text("title: A\nslides:\n" + "".join(map(SLIDE.format, figures)))
    return book


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small book, whose second page wants a file and whose front page has a broken link."""
    folder = tmp_path_factory.mktemp("small")
    figures = ("sound", "early", "late", "other")
    book = new_book(
        folder,
        pages=("sound", "failing", "other"),
        figures=figures,
        intro="[Nothing](nothing.md)",
    )
    write_page(book, "sound", figure("sound"), "import os\n\nos.write(2, b'beside the cells');")
    wants = f"# What is there?\nprint(open({str(book / 'wanted.txt')!r}).read())"
    write_page(book, "failing", figure("early"), wants, figure("late"))
    write_page(book, "other", figure("other"))
    return folder


@pytest.fixture(scope="module")
def failed(small):
    """What the first build said, and the site it left (a copy: the next build changes it)."""
    done = build(small)
    shutil.copytree(small / "_build", small / "first")
    return done, small / "first"


def test_each_page_is_told_as_it_ends_and_nothing_else(failed):
    lines = failed[0].stdout.splitlines()
    told = [re.fullmatch(r"page (\d) of 3 · (\w+) · (failed after )?\d+\.\d min", x) for x in lines]
    assert all(told[:3]) and [line[1] for line in told[:3]] == ["1", "2", "3"], lines
    assert {line[2]: bool(line[3]) for line in told[:3]} == {
        "sound": False,
        "failing": True,
        "other": False,
    }
    assert lines[3] == "building the site"
    assert len(lines) == 5 and "reports" in lines[4] and "index.html" in lines[4]


def test_a_failing_page_is_named_in_one_line_with_cell_and_reason(failed):
    done, site = failed
    assert done.returncode == 1
    warning, failure = done.stderr.splitlines()  # no traceback, and nothing that kernels print
    assert "intro.md:3: WARNING" in warning and "nothing.md" in warning
    assert failure == (
        "book/failing.ipynb failed in code cell 2, `# What is there?`: "
        f"FileNotFoundError: [Errno 2] No such file or directory: '{site.parent}/book/wanted.txt'"
    )
    report = (site / "reports" / "failing.log").read_text()
    assert "Traceback" in report and "IPKernelApp" not in report  # the kernel had nothing to say
    assert [path.name for path in (site / "reports").iterdir()] == ["failing.log"]


def test_the_other_pages_keep_costs_launch_links_and_slides(failed):
    site = failed[1] / "html"
    assert set(json.loads((failed[1] / "costs.json").read_text())["pages"]) == {"sound", "other"}
    for name in ("sound", "other", "failing"):
        page = (site / f"{name}.html").read_text()
        assert "colab.research.google.com" in page and "data:image" not in page
        cost = re.search(rf'<span class="page-cost" data-page="{name}">(.*?)</span>', page)[1]
        assert re.fullmatch(r"–" if name == "failing" else r"\d+ s and \d\.\d\d GiB", cost)
    assert "FileNotFoundError" in (site / "failing.html").read_text()
    slides = re.findall(r"Headline (\w+)", (site / "slides.html").read_text())
    assert slides == ["sound", "early", "other"]


@pytest.fixture(scope="module")
def mended(small, failed):
    """The second build: what was missing is there, and one other page was edited."""
    (small / "book" / "wanted.txt").write_text("It is there.")
    (small / "book" / "intro.md").write_text("# A small book\n")
    write_page(small / "book", "other", "print('edited')", figure("other"))
    return build(small), small / "_build"


def test_only_the_failed_and_the_edited_page_are_executed_again(mended):
    done, site = mended
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    pages = [re.fullmatch(r"page \d of 2 · (\w+) · \d+\.\d min", line) for line in lines[:2]]
    assert {page[1] for page in pages} == {"failing", "other"}
    end = rf"The book: {site / 'html' / 'index.html'}, in \d+\.\d minutes"
    assert lines[2] == "building the site" and re.fullmatch(end, lines[3]) and len(lines) == 4


def test_the_mended_page_takes_the_place_of_the_failed_one(mended):
    site = mended[1]
    page = (site / "html" / "failing.html").read_text()
    assert "It is there." in page and "FileNotFoundError" not in page
    assert set(json.loads((site / "costs.json").read_text())["pages"]) == {
        "sound",
        "failing",
        "other",
    }
    assert not list((site / "reports").iterdir())
    assert (site / "html" / "slides.html").read_text().count("Headline") == 4


# The parts


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function that loads a program of ``book``, for a book in an empty folder."""
    for name in ("book", "helpers/part", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "constraints.txt").touch()

    def module(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "book" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "ROOT", tmp_path)
        monkeypatch.setattr(module, "BUILD", tmp_path / "_build")
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return module


@pytest.fixture
def execute(load, monkeypatch):
    """``book/execute.py``, which makes no environment for its pages."""
    module = load("execute")
    here = Path(sys.executable), dict(os.environ)
    monkeypatch.setattr(module, "environment_of_pages", lambda root, home: here)
    return module


@pytest.fixture
def building(load, execute):
    """``book/build.py``."""
    return load("build")


INPUTS = ["helpers/a.py", "helpers/a.js", "helpers/part/a.mplstyle", "helpers/a.html"]
INPUTS += ["data/a.safetensors", "data/registry.txt", "constraints.txt"]
OTHERS = ["helpers/__pycache__/a.pyc", "data/.ipynb_checkpoints/a.ipynb", "book/a.ipynb"]


@pytest.mark.parametrize("name", INPUTS + OTHERS)
def test_a_change_of_package_data_or_versions_makes_results_stale_and_no_other(name, execute):
    path = execute.ROOT / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("old")
    execute.forget_stale_results()
    result = execute.BUILD / "result"
    result.touch()
    execute.forget_stale_results()
    assert result.exists()
    path.write_text("new")
    execute.forget_stale_results()
    assert result.exists() == (name in OTHERS)
    path.rename(path.with_name("renamed"))
    if name != "constraints.txt":
        result.touch()
        execute.forget_stale_results()
        assert result.exists() == (name in OTHERS)


def test_a_cell_that_does_not_end_and_a_kernel_that_dies_are_failures_of_their_page(execute):
    execute.LONGEST_S = 2
    book = execute.ROOT / "book"
    write_page(book, "dies", "import os\n\nos._exit(1)")
    write_page(book, "hangs", "1", "", "import time\n\ntime.sleep(100)")
    (dies, hangs), _ = execute.execute_notebooks(0.0)
    assert dies.startswith("book/dies.ipynb failed in code cell 1, `import os`: DeadKernelError: ")
    assert hangs.startswith("book/hangs.ipynb failed in code cell 2, `import time`: TimeoutError: ")


def test_a_page_that_leaves_a_file_in_its_folder_has_failed(execute):
    write_page(execute.ROOT / "book", "leaves", "open('left.txt', 'w').close()")
    failures, _ = execute.execute_notebooks(0.0)
    assert failures == [
        "book/leaves.ipynb failed after its last cell: it left left.txt in its folder"
    ]


def test_a_page_is_executed_from_the_wheel_as_on_colab(small):
    """In an empty folder, without the checkout; what the Colab cell would install is there."""
    python, variables = alone.environment_of_pages(small, small / "elsewhere")
    ask = "import google.colab, helpers as h; print(h.__file__, h.fetch('species.safetensors'))"
    done = subprocess.run(
        [python, "-c", ask], cwd="/", env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for path in done.stdout.split():
        assert Path(path).is_relative_to(small / "elsewhere")


def test_what_is_no_notebook_is_named_before_anything_is_executed(building, capsys):
    (building.ROOT / "book" / "half.ipynb").write_text('{"cells": [')
    write_page(building.ROOT / "book", "whole", "1")
    assert building.make_book_here() == 1
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("error: book/half.ipynb is no notebook: ") and "git checkout" in line


def test_what_breaks_the_building_of_the_site_is_shown(building, capsys):
    (building.ROOT / "_config.yml").write_text("title: A\n")
    (building.ROOT / "book" / "_toc.yml").write_text("root: [\n")
    assert not building.build_site()
    assert "_toc.yml" in capsys.readouterr().err


# A build that is stopped

LAST_WORDS = "stopped; the pages executed so far are kept"
# In the test of a moment that comes later, the pages need not come from the wheel.
NO_ENVIRONMENT = """

def environment_of_pages(root, home):
    return Path(sys.executable), dict(os.environ)
"""
# A page that waits, and has children: its own, one that another has left behind, one apart.
WAITS = """import pathlib, subprocess, time

subprocess.Popen(["sleep", "600"])
subprocess.run(["sh", "-c", "sleep 600 &"])
subprocess.Popen(["sleep", "600"], start_new_session=True)
pathlib.Path({begun!r}).touch()
while not pathlib.Path({go!r}).exists():
    time.sleep(0.1)"""
MAKE_BOOK = ("make", "book")
BUILD_BOOK = (sys.executable, "book/build.py")
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh", *BUILD_BOOK)  # of a script


# Where the tests run in the background, a shell has Ctrl-C ignored by all that is started.
HEARING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
HEARING += "os.execvp(sys.argv[1], sys.argv[1:])"


def as_by_hand():
    """The variables of the environment, without those by which make knows that make called it."""
    ours = dict(os.environ)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
        ours.pop(name, None)
    return ours


class Build:
    """A build that runs, of a book whose one page waits; what it starts is known by a variable."""

    def __init__(self, folder, command):
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir(exist_ok=True)
        self.said = (folder / "said.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", HEARING, *command],
            cwd=folder,
            env=as_by_hand() | {"TMPDIR": str(self.temporary), "BUILD_OF": str(folder)},
            stdout=self.said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def processes(self):
        """All that the build has started and that still runs, and itself."""
        running = psutil.process_iter(["environ"])
        marked = str(self.folder)
        return [p for p in running if (p.info["environ"] or {}).get("BUILD_OF") == marked]

    def runs(self, program):
        """Whether it has come to where it runs this program."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if program in " ".join(process.cmdline()):
                    return True
        return False

    def wait_until(self, has_come):
        until = time.monotonic() + 120
        while not has_come():
            assert time.monotonic() < until and self.process.poll() is None, self.lines()
            time.sleep(0.05)

    def come_to(self, moment):
        comes = {
            "the imports": lambda: self.runs("--in-this-process"),
            "the environment": lambda: self.runs("pip"),
            "the pages": (self.folder / "begun").exists,
            "the site": lambda: self.runs("jupyter-book"),
        }
        self.wait_until(comes[moment])
        time.sleep(0.3)  # no moment is as good as another

    def lines(self):
        """What was said; make adds a line of its own if what it runs ends so."""
        self.said.seek(0)
        return [line for line in self.said.read().splitlines() if not line.startswith("make: ***")]

    def assert_that_it_ends(self, number):
        """Within five seconds, leaving nothing."""
        returned = self.process.wait(timeout=5)
        assert returned in (-number, 128 + number)  # a shell tells both as the second
        assert self.processes() == []
        assert list(self.temporary.iterdir()) == []

    def assert_that_it_stops(self, number):
        """The same, and it says so in one line."""
        self.assert_that_it_ends(number)
        lines = self.lines()
        assert lines[-1] == LAST_WORDS
        assert all(re.match("page . of|building the site", line) for line in lines[:-1]), lines


@pytest.fixture
def begin(tmp_path):
    """A function that begins to build a small book: one page ends at once, the other waits."""
    folder = tmp_path / "checkout"
    pages = ("quick", "waits")
    book = new_book(folder, pages=pages, figures=pages, intro="Text.")
    with (book / "alone.py").open("a") as program:
        program.write(NO_ENVIRONMENT)
    waits = WAITS.format(begun=str(folder / "begun"), go=str(folder / "go"))
    write_page(book, "quick", figure("quick"))
    write_page(book, "waits", waits, figure("waits"))
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".venv" / ".installed").touch()
    builds = []

    def begin(command):
        builds.append(Build(folder, command))
        return builds[-1]

    yield begin
    for build in builds:
        for process in build.processes():
            process.kill()
        build.process.wait()
        build.said.close()


@pytest.mark.parametrize(
    ("moment", "command", "name"),
    [
        ("the imports", MAKE_BOOK, "SIGINT"),
        ("the imports", BUILD_BOOK, "SIGINT"),
        ("the environment", MAKE_BOOK, "SIGINT"),
        ("the environment", BUILD_BOOK, "SIGHUP"),
        ("the pages", IN_THE_BACKGROUND, "SIGINT"),
        ("the pages", MAKE_BOOK, "SIGHUP"),
        ("the site", BUILD_BOOK, "SIGINT"),
    ],
)
def test_a_signal_to_all_of_a_terminal_stops_the_build(moment, command, name, begin, tmp_path):
    number = getattr(signal, name)
    if moment == "the environment":
        shutil.copy(ROOT / "book" / "alone.py", tmp_path / "checkout" / "book")
    if moment == "the site":
        (tmp_path / "checkout" / "go").touch()
    build = begin(command)
    build.come_to(moment)
    os.killpg(build.process.pid, number)
    build.assert_that_it_stops(number)


@pytest.mark.parametrize("command", [MAKE_BOOK, BUILD_BOOK])
def test_another_program_stops_the_build_by_a_signal_to_it_alone(command, begin):
    build = begin(command)
    build.come_to("the pages")
    build.process.terminate()
    build.process.send_signal(signal.SIGTERM)  # once more changes nothing
    build.assert_that_it_stops(signal.SIGTERM)


@pytest.mark.parametrize("command", [MAKE_BOOK, BUILD_BOOK])
def test_ctrl_c_and_the_closing_of_a_terminal_stop_the_build(command, begin):
    """Of a terminal of its own, as ssh gives to a command: nobody else passes on its signal."""
    for number in (signal.SIGINT, signal.SIGHUP):
        terminal, its_end = os.openpty()
        at_it = f'exec "$@" <>{os.ttyname(its_end)} >&0 2>&0'
        build = begin(("sh", "-c", at_it, "sh", *command))
        build.come_to("the imports")
        os.close(its_end)
        if number == signal.SIGINT:
            os.write(terminal, b"\x03")
            build.assert_that_it_ends(number)
            assert f"^C{LAST_WORDS}" in os.read(terminal, 1000).decode()
        os.close(terminal)
        build.assert_that_it_ends(number)


def test_the_next_build_goes_on_where_one_was_stopped(begin, tmp_path):
    made = tmp_path / "checkout" / "_build"
    first = begin(MAKE_BOOK)
    first.come_to("the pages")
    first.wait_until(first.lines)
    os.killpg(first.process.pid, signal.SIGINT)
    first.assert_that_it_stops(signal.SIGINT)
    assert first.lines()[0].startswith("page 1 of 2 · quick ·")
    assert not list((made / "reports").iterdir())  # that it was stopped is no fault of a page

    (made / ".built").touch()  # as if it had been built some time before
    (tmp_path / "checkout" / "go").touch()
    second = begin(MAKE_BOOK)
    second.come_to("the site")
    os.killpg(second.process.pid, signal.SIGINT)
    second.assert_that_it_stops(signal.SIGINT)
    assert second.lines()[0].startswith("page 1 of 1 · waits ·")
    assert not (made / ".built").exists()

    third = begin(MAKE_BOOK)
    assert third.process.wait(timeout=120) == 0
    [site, end] = third.lines()
    assert site == "building the site" and end.startswith("The book: ")
    assert set(json.loads((made / "costs.json").read_text())["pages"]) == {"quick", "waits"}
    assert (made / ".built").exists() and not (made / "site.unfinished").exists()


def test_a_build_that_nobody_watches_any_more_ends(begin):
    build = begin(BUILD_BOOK)
    build.come_to("the imports")
    build.process.kill()
    build.process.wait()
    until = time.monotonic() + 20  # the imports do not hear of it
    while build.processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert build.processes() == []


RUN = "import stoppable, sys; sys.exit(stoppable.run([sys.executable, *sys.argv[1:]], 'stopped'))"
SAYS_WHAT_IT_INHERITS = """import os, signal, sys, tempfile
open(os.path.join(tempfile.mkdtemp(), "file"), "w").close()
deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
print(deaf, tempfile.gettempdir(), flush=True)
"""


@pytest.mark.parametrize(
    ("end", "returned", "said"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getpid(), 9)", 137, "stopped\n"),  # as where memory runs out
    ],
)
def test_a_program_that_ends_by_itself_returns_what_it_returns(end, returned, said, tmp_path):
    """It and its children are deaf to Ctrl-C, and its temporary folder goes with it."""
    program = SAYS_WHAT_IT_INHERITS + end
    done = subprocess.run(
        [sys.executable, "-c", RUN, "-c", program],
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "book")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (returned, said)
    deaf, folder = done.stdout.split()
    assert deaf == "True" and Path(folder).parent == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", ["", "failed in its first cell"])
@pytest.mark.parametrize("harm", ["no folder", "no file", "nothing in it", "half"])
def test_results_that_were_half_stored_are_found_anew(harm, failure, execute):
    """The cache notes that it has a page before it has written it, and a stop may come between."""
    path = execute.ROOT / "book" / "page.ipynb"
    write_page(path.parent, "page", "1")
    cache = execute.store_of_results()
    [notebook] = execute.unexecuted(cache).values()
    execute.keep(cache, execute.Executed(path, notebook, 1.0, failure))
    assert execute.unexecuted(cache) == {}
    [stored] = cache.path.rglob("base.ipynb")
    whole = stored.read_text()
    stored.unlink()
    if harm == "no folder":
        shutil.rmtree(stored.parent)
    elif harm != "no file":
        stored.write_text("" if harm == "nothing in it" else whole[: len(whole) // 2])
    execute.forget_failed_results(cache)
    assert set(execute.unexecuted(cache)) == {path}
    execute.keep(cache, execute.Executed(path, notebook, 1.0, ""))
    execute.forget_failed_results(cache)
    assert execute.unexecuted(cache) == {} and stored.read_text() == whole


class Stop(BaseException):
    """As when a process is killed: nothing that follows is done."""


def stop(*_, **__):
    raise Stop


def test_a_page_whose_storing_was_stopped_is_read_anew_by_sphinx(execute, monkeypatch):
    path = execute.ROOT / "book" / "page.ipynb"
    write_page(path.parent, "page", "1")
    cache = execute.store_of_results()
    [notebook] = execute.unexecuted(cache).values()
    doctree = execute.BUILD / ".doctrees" / "page.doctree"
    doctree.parent.mkdir(parents=True)
    doctree.touch()
    monkeypatch.setattr(cache, "cache_notebook_bundle", stop)
    with pytest.raises(Stop):
        execute.keep(cache, execute.Executed(path, notebook, 1.0, ""))
    assert not doctree.exists()


@pytest.mark.parametrize("moment", ["the removal", "the making of the store"])
def test_results_whose_removal_was_stopped_are_stale_whatever_comes(moment, execute, monkeypatch):
    """Even if what had changed is as it was before."""
    versions = execute.ROOT / "constraints.txt"
    execute.forget_stale_results()
    result = execute.BUILD / "result"
    result.touch()
    versions.write_text("new")
    with monkeypatch.context() as patch, pytest.raises(Stop):
        if moment == "the removal":
            patch.setattr(execute.shutil, "rmtree", stop)
        else:
            patch.setattr(execute, "store_of_results", stop)
        execute.forget_stale_results()
    if moment == "the removal":
        versions.write_text("")
    result.touch()
    execute.forget_stale_results()
    assert not result.exists()


def test_a_site_that_was_stopped_is_built_from_nothing(building):
    pictures = [building.BUILD / name / "picture.png" for name in building.SITE]
    for picture in pictures:
        picture.parent.mkdir(parents=True)
        picture.touch()
    with building.whole_site():
        assert all(picture.exists() for picture in pictures)  # the last was whole
    with pytest.raises(Stop), building.whole_site():
        stop()
    with building.whole_site():
        assert not any(picture.exists() for picture in pictures)
        for picture in pictures:
            picture.parent.mkdir()
            picture.touch()
    with building.whole_site():
        assert all(picture.exists() for picture in pictures)


# The environment


FAKE = """#!/bin/sh
case "$*" in
*version_info*) echo {version} ;;
*ensurepip*) exit {no_venv} ;;
*"-m venv"*) for folder; do :; done; {make} ;;
*"-m pip"*) exit {no_pip} ;;
*) exit 9 ;;
esac
"""
MAKE = 'mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; echo "$0" > "$folder/made-by"'


@pytest.fixture
def machine(tmp_path):
    """A function that puts programs on a bare PATH, and one that makes an environment there."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "mkdir", "cp", "rm", "awk", "tail", "df", "make", "touch", "grep", "find"):
        (programs / name).symlink_to(shutil.which(name))

    class Machine:
        folder = tmp_path / "checkout"

        def add(self, name, text):
            (programs / name).unlink(missing_ok=True)
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

        def python(self, name, version, no_venv=0, make=MAKE, no_pip=0):
            made = FAKE.format(version=version, no_venv=no_venv, make=make, no_pip=no_pip)
            self.add(name, made)

        def run(self, *command):
            bare = {"PATH": str(programs), "HOME": str(tmp_path)}
            return subprocess.run(
                command, cwd=self.folder, env=bare, capture_output=True, text=True
            )

        def venv(self, *named):
            return self.run("sh", str(ROOT / "book" / "venv.sh"), ".venv", *named)

        def made_by(self):
            path = self.folder / ".venv" / "made-by"
            return Path(path.read_text().strip()).name if path.exists() else None

    Machine.folder.mkdir()
    return Machine()


SHIM = "#!/bin/sh\necho command not found >&2\nexit 127\n"  # as those of pyenv


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({f"python3.{n}": f"3.{n}" for n in (11, 12, 13)}, "python3.13"),
        ({"python3.11": "3.11", "python3.12": "3.12"}, "python3.12"),
        ({"python3.10": "3.10", "python3": "3.12"}, "python3"),
        ({"python3.11": "3.11", "python3.14": "3.14", "python3": "3.14"}, "python3.11"),
    ],
)
def test_the_newest_python_in_the_range_is_taken(there, taken, machine):
    for name, version in there.items():
        machine.python(name, version)
    done = machine.venv()
    assert (done.returncode, done.stderr, machine.made_by()) == (0, "", taken)
    [line] = done.stdout.splitlines()
    assert f"Python {there[taken]}" in line


def test_a_shim_that_does_not_run_and_a_python_without_venv_are_passed_over(machine):
    machine.add("python3.13", SHIM)
    machine.python("python3.12", "3.12", no_venv=1)
    machine.python("python3.11", "3.11")
    assert machine.venv().returncode == 0 and machine.made_by() == "python3.11"


def test_a_named_python_is_taken_though_another_is_newer(machine):
    machine.python("python3.13", "3.13")
    machine.python("mine", "3.14")
    assert machine.venv("mine").returncode == 0 and machine.made_by() == "mine"


NO_DISK = "#!/bin/sh\nprintf 'Filesystem\\n/dev/a 9 9 3000000 9%% /\\n'\n"
BREAKS = 'mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; echo no room >&2; exit 1'


@pytest.mark.parametrize(
    ("python", "named", "says"),
    [
        ({}, (), "no Python from 3.11 to 3.13"),
        ({"version": "3.10"}, (), "no Python from 3.11 to 3.13"),
        ({"version": "3.10"}, ("python3",), "PYTHON=python3 is Python 3.10, and 3.11 is needed"),
        ({"version": "3.12"}, ("mine",), "PYTHON=mine does not run"),
        ({"version": "3.12", "no_venv": 1}, (), "sudo apt install python3.12-venv"),
        ({"version": "3.12", "no_venv": 1}, ("python3",), "sudo apt install python3.12-venv"),
        ({"version": "3.12", "make": BREAKS}, (), "no room"),
    ],
)
def test_what_is_missing_is_said_in_one_line_and_nothing_is_left(python, named, says, machine):
    if python:
        machine.python("python3", **python)
    done = machine.venv(*named)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(".venv was not made: ") and says in line
    assert not (machine.folder / ".venv").exists()


def test_too_little_disk_is_said(machine):
    machine.python("python3", "3.11")
    machine.add("df", NO_DISK)
    done = machine.venv()
    assert done.returncode == 1 and not (machine.folder / ".venv").exists()
    [line] = done.stderr.splitlines()
    assert "3000 MB are free here, and it needs 4 GB" in line


def test_an_environment_that_works_is_kept_and_half_of_one_is_made_anew(machine):
    machine.python("python3.11", "3.11")
    machine.venv()
    machine.python("python3.13", "3.13")
    assert machine.venv().returncode == 0 and machine.made_by() == "python3.11"
    assert machine.venv("python3.13").returncode == 0 and machine.made_by() == "python3.13"
    machine.python("python3.11", "3.11", no_pip=1)  # as if pip had not come to be installed
    machine.venv("python3.11")
    machine.python("python3.12", "3.12")
    machine.python("python3.13", "3.13")
    assert machine.venv().returncode == 0 and machine.made_by() == "python3.13"


def test_make_takes_no_environment_for_whole_whose_packages_failed_to_install(machine):
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, machine.folder)
    for name in ("book", "helpers", "data"):
        (machine.folder / name).mkdir()
    shutil.copy(ROOT / "book" / "venv.sh", machine.folder / "book")
    missing = '*"--editable"*) [ -e package ] || {{ echo no package >&2; exit 1; }} ;;\n*"-m pip"*)'
    text = FAKE.replace('*"-m pip"*)', missing)
    machine.add("python3", text.format(version="3.11", no_venv=0, make=MAKE, no_pip=0))
    stamp = machine.folder / ".venv" / ".installed"
    for _ in range(2):
        done = machine.run("make", ".venv/.installed")
        assert done.returncode and "no package" in done.stderr and not stamp.exists()
    (machine.folder / "package").touch()
    done = machine.run("make", ".venv/.installed")
    assert (done.returncode, done.stderr) == (0, "") and stamp.exists()


def test_make_book_prints_no_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (
        re.findall(r"^\t(.*book/build\.py)$", text, re.MULTILINE)
        == ["@$(BIN)/python book/build.py"] * 2
    )
