"""From any file to a report, or to an error that says what to do: the page and its command."""

import ast
import struct
import subprocess
import sys
from pathlib import Path

import h5py
import hyperspy.api as hs
import nbformat
import numpy as np
import pytest
import tifffile
from bs4 import BeautifulSoup
from make_files import write_dm

from helpers import RVAE, fetch, load_image
from helpers.__main__ import main
from helpers.command import page as page_module
from helpers.command.page import PAGE
from helpers.files.folder import MARK
from helpers.simulate.lattices import lattice_image

ROOT = Path(__file__).resolve().parents[1]
REAL = {  # registered file: what its report must say, or None where it shows no lattice
    "PZO.dm3": "0.01599",
    "PTO100-40nm-HAADF.dm4": "0.016 nm",
    "Tecnai_Osiris_SrTiO3.tif": "0.013517 nm",
    "REBCO-ROI_raw.dm3": "0.05408",
    "Ti3C2_MXene_1655.tif": "the axes stay in px",
    "fei_emd_image.emd": None,
}


def run_page(**parameters):
    """Execute the cells of the page here, with parameters in place of those it has."""
    cells = nbformat.read(ROOT / "book" / PAGE, as_version=4).cells
    names = {}
    for cell in [cell for cell in cells if cell.cell_type == "code"][1:-1]:
        exec(compile(ast.parse(cell.source), PAGE, "exec"), names)
        if "parameters" in cell.metadata.get("tags", ()):
            assert set(parameters) <= set(names)
            names |= parameters
    return names


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """One quarter of one frame of the sample, as a file."""
    path = tmp_path_factory.mktemp("sample") / "mine.hspy"
    load_image(fetch("sr3fe2o7_stack.hspy")).inav[0].isig[:512, :512].save(path)
    return path


# ------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def analysed(sample):
    """What the command makes of the sample, in a folder of its own."""
    place = sample.parent / "elsewhere"
    place.mkdir()
    command = [sys.executable, "-m", "helpers", "analyse", str(sample), "--seed", "1"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0 and "IPKernelApp" not in done.stderr, done.stderr
    return place


def test_results_figures_and_report_are_there_and_nothing_else(analysed, sample):
    assert [path.name for path in analysed.iterdir()] == ["mine_symmetry"]
    assert sorted(path.name for path in sample.parent.iterdir()) == ["elsewhere", "mine.hspy"]
    folder = analysed / "mine_symmetry"
    assert {path.name for path in folder.iterdir()} == {MARK, "results", "figures", "report.html"}
    maps = {"angle.hspy", "latent_1.hspy", "latent_2.hspy"}
    found = {path.name for path in (folder / "results").iterdir()}
    assert found == maps | {MARK, "columns.csv", "model.safetensors"}
    assert len(list((folder / "figures").glob("own-*.png"))) == 6


def test_results_can_be_read_again(analysed):
    results = analysed / "mine_symmetry" / "results"
    angle = hs.load(results / "angle.hspy")
    assert angle.data.shape == (512, 512) and np.isfinite(angle.data).mean() > 0.5
    table = np.genfromtxt(results / "columns.csv", delimiter=",", names=True)
    assert len(table) > 1000 and np.isfinite(table["angle_rad"]).sum() > 900
    assert RVAE.load(results / "model.safetensors").seed == 1


def test_report_is_whole_and_needs_nothing_from_elsewhere(analysed):
    text = (analysed / "mine_symmetry" / "report.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert page.h1.text == "Local symmetry of mine.hspy"
    heads = " ".join(head.text for head in page.find_all("h2"))
    assert "Which window?" in heads and "What cannot be concluded" in heads
    assert not page.find_all(["script", "link", "iframe"])
    assert all(link["href"].startswith("#") for link in page.find_all("a"))
    pictures = page.find_all("img")
    assert len(pictures) == 6 and all(len(picture["alt"]) > 20 for picture in pictures)
    assert all(picture["src"].startswith("data:image/png") for picture in pictures)
    for said in ("0.02 nm a pixel", "Recommended: ", "seed=1", "torch 2.", "rank correlation"):
        assert said in text, said
    assert "SIMULATED" not in text and "Predict before" not in text


def test_a_folder_is_not_replaced_unless_asked(analysed, sample, monkeypatch, capsys):
    monkeypatch.chdir(analysed)
    before = (analysed / "mine_symmetry" / "report.html").read_bytes()
    assert main(["analyse", str(sample)]) == 2
    assert "mine_symmetry exists already" in capsys.readouterr().err
    assert (analysed / "mine_symmetry" / "report.html").read_bytes() == before


def test_overwrite_keeps_the_old_folder_if_the_new_run_fails(analysed, monkeypatch, capsys):
    monkeypatch.chdir(analysed)
    broken = analysed.parent / "broken.tif"
    broken.write_bytes(b"")
    command = ["analyse", str(broken), "--folder", "mine_symmetry", "--overwrite"]
    assert main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "broken.tif could not be read" in error
    assert (analysed / "mine_symmetry" / "report.html").exists()
    assert [path.name for path in analysed.iterdir()] == ["mine_symmetry"]


@pytest.mark.parametrize("wrong", [["--pixel-size-nm", "-1"], ["--window-px", "9000"]])
def test_a_wrong_option_is_refused_in_one_line(wrong, sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["analyse", str(sample), *wrong]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and wrong[1] in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------ the words of a file

SCRIPT = "<script>x</script>"
PICTURE = "<img src=x onerror=x>![](y.png)"


@pytest.fixture
def load_alone(tmp_path, monkeypatch):
    """Let the command execute the page up to the cell that loads the file, in an empty folder."""
    page = nbformat.read(ROOT / "book" / PAGE, as_version=4)
    loads = [index for index, cell in enumerate(page.cells) if "load_image(path" in cell.source]
    page.cells = page.cells[: loads[0] + 1]
    page.cells[-1].source += "\nprint('loaded:', loaded.metadata.General.title)"
    nbformat.write(page, tmp_path / "page.ipynb")
    monkeypatch.setattr(page_module, "page_file", lambda: tmp_path / "page.ipynb")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_the_words_of_a_file_stand_in_the_report_as_they_are(load_alone):
    name = f"a {PICTURE} {{x}} $5 `c`.dm3"
    write_dm(Path(name), lattice(), unit=SCRIPT)
    assert main(["analyse", name, "--folder", "maps"]) == 0
    page = BeautifulSoup(Path("maps/report.html").read_text(encoding="utf-8"), "html.parser")
    assert page.h1.text == f"Local symmetry of {name}"
    assert f"{name}: the pixel size" in page.pre.text and repr(SCRIPT) in page.pre.text
    assert "give --pixel-size-nm if you know it" in page.pre.text
    assert not page.find_all(["script", "img"])


def test_the_command_takes_a_signal_by_its_index(load_alone, capsys):
    path = Path("two.hspy")
    write_two(path)
    assert main(["analyse", str(path)]) == 2
    said = capsys.readouterr().err
    assert "error: without --signal this means several signals of" in said
    assert "--signal takes index or title:" in said and "1: (no title)" in said
    assert main(["analyse", str(path), "--signal", "1"]) == 0
    assert "loaded:" in Path("two_symmetry/report.html").read_text(encoding="utf-8")


# ------------------------------------------------------------ real files


@pytest.mark.parametrize("name", REAL)
def test_each_real_file_ends_in_results_or_in_an_error_with_a_way_out(name, real_file, tmp_path):
    path, folder = real_file(name), tmp_path / "results"
    if REAL[name] is None:
        with pytest.raises(ValueError, match="at least 50, and half"):
            run_page(image=str(path), folder=str(folder))
        assert not folder.exists()
        return
    names = run_page(image=str(path), folder=str(folder))
    said = f"{names['size']} {' '.join(names['said'])}"
    assert REAL[name] in said
    assert (folder / "angle.hspy").exists() and len(names["limits"]) >= 8


# ------------------------------------------------------------ broken files


def lattice(shape=(256, 256), **options):
    rng = np.random.default_rng(0)
    made = lattice_image(shape, rng=rng, kind="square", spacing_px=16.0, angle_rad=0.1, **options)
    return np.asarray(made.image, dtype=np.float32)


def write_tiff(path, values):
    tifffile.imwrite(path, values)


def with_nan(share):
    values = lattice()
    values[: round(share * 256)] = np.nan
    return values


def cut(path, source):
    """The first half of a file."""
    path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])


def write_hspy(path, values, kind=hs.signals.Signal2D):
    kind(values).save(path, overwrite=True)


def write_cut(path):
    whole = path.with_name(f"whole{path.suffix}")
    if path.suffix == ".hspy":
        write_hspy(whole, lattice())
    elif path.suffix == ".dm3":
        write_dm(whole, lattice())
    else:
        write_tiff(whole, lattice())
    cut(path, whole)


def write_two(path):
    write_hspy(path, lattice())
    with h5py.File(path, "a") as file:
        file.copy("Experiments/__unnamed__", "Experiments/other")


def blank_frame():
    frames = np.stack([lattice()] * 3)
    frames[1] = 7
    return frames


BROKEN = {  # name of the file: how it is made, what the error must say
    "empty.tif": (lambda p: p.write_bytes(b""), "could not be read"),
    "note.dm3": (lambda p: p.write_text("not an image"), "could not be read"),
    "page.tif": (lambda p: p.write_text("<html>404</html>"), "could not be read"),
    "half.hspy": (write_cut, "could not be read"),
    "half.dm3": (write_cut, "could not be read"),
    "half.tif": (write_cut, "could not be read|pixels are NaN|columns were found"),
    "claims.mrc": (
        lambda p: p.write_bytes(struct.pack("<3i", 9**6, 9**6, 9) + bytes(1100)),
        "claims",
    ),
    "nothing.emd": (lambda p: h5py.File(p, "w").close(), "could not be read"),
    "code.nc": (lambda p: p.write_bytes(b"CDF"), "program code"),
    "colour.png": (lambda p: hs.signals.Signal2D(np.zeros((64, 64), "u1")).save(p), "constant"),
    "constant.tif": (lambda p: write_tiff(p, np.full((256, 256), 5, "f4")), "constant"),
    "nan.tif": (lambda p: write_tiff(p, with_nan(1)), "NaN"),
    "holes.tif": (lambda p: write_tiff(p, with_nan(0.05)), "at most 1%"),
    "spectrum.hspy": (lambda p: write_hspy(p, np.ones(99), hs.signals.Signal1D), "spectrum"),
    "patterns.hspy": (lambda p: write_hspy(p, np.ones((4, 4, 9, 9))), "sum them"),
    "phase.hspy": (lambda p: write_hspy(p, lattice() * 1j), "real numbers"),
    "noise.tif": (
        lambda p: write_tiff(p, np.random.default_rng(0).normal(size=(256, 256)).astype("f4")),
        "at least 50, and half",
    ),
    "film.tif": (
        lambda p: write_tiff(p, np.add.outer(np.arange(256.0), np.arange(256.0)).astype("f4")),
        "at least 50, and half",
    ),
    "tiny.tif": (
        lambda p: write_tiff(p, lattice()[:8, :8]),
        "at least 50, and half|too small|larger",
    ),
    "dark.tif": (lambda p: write_tiff(p, -lattice()), "at least 50, and half"),
    "two.hspy": (write_two, "holds 2 signals"),
    "blank.hspy": (lambda p: write_hspy(p, blank_frame()), "frame 1 cannot be aligned"),
    "folder": (lambda p: p.mkdir(), "is a folder"),
    "missing.tif": (lambda p: None, "there is no file"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_ends_in_an_error_that_says_what_to_do(name, tmp_path):
    make, says = BROKEN[name]
    path, folder = tmp_path / name, tmp_path / "results"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ValueError, FileNotFoundError), match=says):
        run_page(image=str(path), folder=str(folder))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_ways_out_that_errors_name_are_parameters_of_the_page(tmp_path, capsys):
    path, folder = tmp_path / "blank.hspy", tmp_path / "results"
    write_hspy(path, blank_frame())
    way_out = {"skip_damaged": True, "untrusted": True, "spacing_px": 16.0}
    names = run_page(image=str(path), folder=str(folder), **way_out)
    assert "frames [1] are damaged and were left out" in names["said"]
    assert names["likely"].shape == names["mean"].data.shape and len(names["columns"]) > 200
    printed = capsys.readouterr().out
    for text in names["said"][names["told"] :]:  # said by the model
        assert f"! {text}" in printed
    assert (folder / "columns.csv").exists()
