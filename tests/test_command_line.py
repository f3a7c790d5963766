"""The command line: what cannot work is refused at once, and how it ended is said in one line."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import __main__ as entry
from helpers.__main__ import main
from helpers.command import analyse as analyse_module
from helpers.command.stop import Stopped

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """An empty folder with an image, and what the page would be executed with: nothing yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.tif").touch()
    asked = []

    def note(parameters, stop):
        asked.append(parameters)
        Path(parameters["folder"]).mkdir()

    monkeypatch.setattr(analyse_module, "execute_page", note)
    monkeypatch.setattr(analyse_module, "write_report", lambda folder, notebook, name: None)
    return asked


# ------------------------------------------------------------ what is handed on


def test_each_option_reaches_the_page_under_its_name(asked, tmp_path):
    numbers = {"pixel_size_nm": 0.02, "spacing_px": 12.5, "lattice_nm": 0.4, "window_px": 40}
    numbers |= {"latent_dim": 3, "seed": 7}
    words = []
    for name, value in numbers.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--signal", "HAADF", "--skip-damaged", "--untrusted"]
    assert main(["analyse", "mine.tif", *words]) == 0
    [parameters] = asked
    place = Path(parameters.pop("folder")).parent
    assert place.parent.parent == tmp_path and place.name == "mine_symmetry"
    rest = {"image": str(tmp_path / "mine.tif"), "signal": "HAADF"}
    assert parameters == numbers | rest | {"skip_damaged": True, "untrusted": True}


def test_what_is_not_given_is_as_on_the_page(asked):
    assert main(["analyse", "mine.tif"]) == 0
    page = Path(ROOT / "book" / "21_analyse_image.ipynb").read_text(encoding="utf-8")
    for name, value in asked[0].items():
        if name not in ("image", "folder"):
            assert f'"{name} = {value}' in page


NAMES = ["-x.tif", "{x}.tif", "a b.tif", "$5`x`.tif", "Å é.tif", "~mine.tif", "~.tif", "a\nb.tif"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_will_do(asked, tmp_path, name):
    (tmp_path / name).touch()
    assert main(["analyse", "--", name]) == 0
    assert asked[0]["image"] == str(tmp_path / name)
    assert (tmp_path / f"{Path(name).stem}_symmetry").is_dir()


def test_a_wave_is_the_home_folder(asked, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine.tif").touch()
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    assert main(["analyse", "~/mine.tif", "--folder=~/maps"]) == 0
    assert asked[0]["image"] == str(home / "mine.tif")
    assert (home / "maps").is_dir() and not (tmp_path / "~").exists()


# ------------------------------------------------------------ what is refused at once

WRONG = [
    ("--pixel-size-nm=-1", "argument --pixel-size-nm: '-1', but a number greater than 0 is needed"),
    ("--pixel-size-nm=nan", "--pixel-size-nm: 'nan'"),
    ("--pixel-size-nm=1e999", "--pixel-size-nm: '1e999'"),
    ("--lattice-nm=0", "--lattice-nm: '0'"),
    ("--spacing-px=wide", "--spacing-px: 'wide'"),
    ("--window-px=0", "argument --window-px: '0', but a whole number of at least 5 is needed"),
    ("--window-px=40.5", "--window-px: '40.5'"),
    ("--latent-dim=0", "--latent-dim: '0'"),
    ("--seed=1.5", "--seed: '1.5'"),
    ("--seed=-1", "--seed: '-1'"),
    ("--seed=99999999999999999999", "a whole number from 0 to"),
    ("--no-such-option", "unrecognized arguments: --no-such-option"),
    ("--folder=mine.tif", "mine.tif exists already: choose another name"),
    ("--folder=mine.tif/maps", "mine.tif/maps cannot be made"),
    ("--folder=dangling", "dangling exists already: choose another name"),
    ("--folder=taken", "taken exists already: choose another name; even --overwrite would not"),
]


@pytest.mark.parametrize(("option", "says"), WRONG)
def test_a_wrong_option_is_refused_in_one_line_before_the_kernel_starts(
    option, says, asked, tmp_path, capsys
):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert main(["analyse", "mine.tif", option]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and says in line
    assert not asked and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ("missing.tif", "there is no file missing.tif; the current folder is "),
        ("dangling", "there is no file dangling"),
        ("taken", "taken is a folder: name one file in it"),
        ("", ". is a folder"),
    ],
)
def test_an_image_that_is_none_is_refused_at_once(image, says, asked, tmp_path, capsys):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "taken").mkdir()
    assert main(["analyse", image]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and says in line and not asked


def test_a_folder_that_holds_the_image_is_never_replaced(asked, tmp_path, capsys):
    assert main(["analyse", "mine.tif", "--folder", "maps"]) == 0
    inside = tmp_path / "maps" / "results" / "angle.hspy"
    inside.touch()
    for image, folder in [(inside, "maps"), (inside, tmp_path / "maps"), (inside, "maps/results")]:
        assert main(["analyse", str(image), "--folder", str(folder), "--overwrite"]) == 2
        assert "holds the image angle.hspy" in capsys.readouterr().err
    assert inside.exists() and len(asked) == 1


@pytest.mark.parametrize("arguments", [[], ["analyse"], ["analyze", "mine.tif"]])
def test_half_a_command_names_the_help(arguments, capsys):
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "--help)" in line


def test_help_names_the_command_and_every_option(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["analyse", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: rvae-stem analyse") and "--skip-damaged" in said


# ------------------------------------------------------------ what is said


def said_on(monkeypatch, name, encoding, arguments):
    """The exit status, and the bytes that a terminal of an encoding gets."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    return main(arguments), raw.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["Å.tif", "原子.tif", "\udce9.tif"])
def test_a_name_that_the_terminal_cannot_show_is_no_error(
    name, encoding, asked, tmp_path, monkeypatch
):
    (tmp_path / name).touch()
    status, said = said_on(monkeypatch, "stdout", encoding, ["analyse", name])
    assert status == 0 and b"report.html: written in " in said
    status, said = said_on(monkeypatch, "stderr", encoding, ["analyse", name])
    assert status == 2 and b"exists already" in said


def test_the_words_of_a_file_do_not_steer_the_terminal(asked, monkeypatch, capsys):
    def refuse(parameters, stop):
        raise ValueError("it holds 2 signals:\n  0: \x1b]0;title\x07\x1b[31mred\r")

    monkeypatch.setattr(analyse_module, "execute_page", refuse)
    assert main(["analyse", "mine.tif"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[1] == r"  0: \x1b]0;title\x07\x1b[31mred\r"


def test_a_terminal_that_is_gone_is_no_error(asked, monkeypatch):
    class Gone(io.TextIOWrapper):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdout", Gone(io.BytesIO(), encoding="utf-8"))
    assert main(["analyse", "mine.tif"]) == 0


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143), (1, 129)])
def test_the_exit_status_after_a_signal_is_that_of_shells(
    number, status, asked, monkeypatch, capsys
):
    def stop(parameters, stop):
        raise Stopped(number)

    monkeypatch.setattr(analyse_module, "execute_page", stop)
    assert main(["analyse", "mine.tif"]) == status
    [line] = capsys.readouterr().err.splitlines()
    assert "nothing was written" in line


def test_ctrl_c_before_anything_was_begun_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "main", interrupted)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert entry.command() == 130
    assert capsys.readouterr().err.startswith("stopped by SIGINT")


def test_the_command_forgets_the_current_folder_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    others = ["/usr/lib", str(tmp_path / "below"), "relative"]
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), ".", *others, f"{tmp_path}/below/.."])
    monkeypatch.setattr(entry, "main", lambda: 0)
    assert entry.command() == 0 and sys.path == others


# ------------------------------------------------------------ make analyse

PROGRAM = """#!{python}
import sys
print(ascii(sys.argv[1:]))
"""
TYPED = [
    "my image.dm4",
    "cost$5.tif",
    "cost$$5.tif",
    "a`touch ran`.tif",
    "a$(shell touch ran)b.tif",
    "$(touch ran).tif",
    '"; touch ran; ".tif',
    "it's; touch ran; 'x.tif",
    "a#b%c=d.tif",
    "back\\slash.tif",
    "-x.tif",
    "Å {x} * ?.tif",
    "${HOME}$(IMAGE)$IMAGE.tif",
]


@pytest.mark.parametrize("typed", TYPED)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_make_analyse_hands_on_the_name_as_it_was_typed(typed, where, tmp_path, monkeypatch):
    program = tmp_path / "rvae-stem"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    command = ["make", "-s", "-o", ".venv/.installed", f"BIN={tmp_path}", "analyse"]
    if where == "argument":
        command.append(f"IMAGE={typed}")
    else:
        monkeypatch.setenv("IMAGE", typed)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == ascii(["analyse", "--", typed]), done.stderr
    assert not (ROOT / "ran").exists()


def test_make_analyse_without_a_name_says_what_to_type():
    command = ["make", "-s", "-o", ".venv/.installed", "analyse"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "make analyse IMAGE=path/to/file" in done.stderr
