"""A folder appears whole or not at all, and nothing that is not ours is ever replaced."""

import json
import os
from pathlib import Path

import pytest

from helpers.files.folder import MARK, new_folder


def write(path, text="new", **options):
    """A folder with one file."""
    with new_folder(path, **options) as new:
        (new / "maps").mkdir()
        (new / "maps" / "angle.txt").write_text(text)


def text_in(path):
    return (path / "maps" / "angle.txt").read_text()


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ------------------------------------------------------------ whole or not at all


def test_the_folder_appears_at_the_end_with_a_mark_that_lists_what_was_written(tmp_path):
    path = tmp_path / "deep" / "er" / "mine"
    with new_folder(path) as new:
        (new / "a.txt").touch()
        assert not path.exists() and new.name == "mine"
    assert names_in(path) == [MARK, "a.txt"]
    assert json.loads((path / MARK).read_text())["written"] == ["a.txt"]
    assert names_in(tmp_path / "deep") == ["er", "er/mine", f"er/mine/{MARK}", "er/mine/a.txt"]


def test_what_fails_leaves_nothing_not_even_the_folders_above(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "there" / "a" / "b" / "mine"):
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["there"]


def test_folders_above_that_others_use_meanwhile_stay(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "b" / "mine"):
        (tmp_path / "a" / "theirs.txt").touch()
        raise ZeroDivisionError
    assert names_in(tmp_path) == ["a", "a/theirs.txt"]


@pytest.mark.parametrize("name", ["x" * 400, "file/mine"])
def test_a_name_that_cannot_be_is_refused_at_the_start(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="cannot be made .*: choose another"):
        with new_folder(tmp_path / name):
            pytest.fail("the work was begun")
    assert names_in(tmp_path) == ["file"]


# ------------------------------------------------------------ without overwrite


def make_folder(path):
    path.mkdir()
    (path / "raw.dm4").write_text("theirs")


def make_file(path):
    path.write_text("theirs")


def make_empty(path):
    path.mkdir()


def make_dangling(path):
    path.symlink_to("nowhere")


def make_link(path):
    make_folder(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def make_ours(path):
    write(path, "theirs")


FOREIGN = [make_folder, make_file, make_empty, make_dangling, make_link]


def state_of(folder):
    """All that lies in a folder, with what is in the files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        found[path.as_posix()] = path.read_text() if is_file else path.is_symlink()
    return found


@pytest.mark.parametrize("make", [*FOREIGN, make_ours])
def test_a_name_that_is_taken_is_refused_before_the_work(tmp_path, make):
    make(tmp_path / "mine")
    before = state_of(tmp_path)
    with pytest.raises(ValueError, match="mine .*: choose another"), new_folder(tmp_path / "mine"):
        pytest.fail("the work was begun")
    assert state_of(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [*FOREIGN, make_ours])
def test_what_takes_the_name_during_the_work_stays_and_the_work_is_kept(tmp_path, make, overwrite):
    if overwrite and make is make_ours:
        return  # which may be replaced
    path = tmp_path / "mine"
    with pytest.raises(ValueError) as caught, new_folder(path, overwrite=overwrite) as new:
        (new / "maps").mkdir()
        (new / "maps" / "angle.txt").write_text("new")
        make(path)
        before = set(tmp_path.iterdir()) - {new.parent}
        theirs = state_of(path) if path.is_dir() else path.is_symlink() or path.read_text()
    kept = tmp_path / "mine_2"
    assert f"what was written lies in {kept}" in str(caught.value)
    assert text_in(kept) == "new"
    assert set(tmp_path.iterdir()) == before | {kept}
    assert theirs == (state_of(path) if path.is_dir() else path.is_symlink() or path.read_text())


def test_of_three_at_once_each_keeps_its_work(tmp_path):
    path = tmp_path / "mine"
    with pytest.raises(ValueError, match="mine_3"), new_folder(path) as third:
        (third / "3").touch()
        with pytest.raises(ValueError, match="mine_2"), new_folder(path) as second:
            (second / "2").touch()
            with new_folder(path) as first:
                (first / "1").touch()
    assert [names_in(tmp_path / name)[1] for name in ("mine", "mine_2", "mine_3")] == [
        "1",
        "2",
        "3",
    ]
    assert len(list(tmp_path.iterdir())) == 3


# ------------------------------------------------------------ with overwrite


def test_what_was_written_here_is_replaced_and_nothing_else_changes(tmp_path):
    (tmp_path / "other").mkdir()
    write(tmp_path / "mine", "old")
    (tmp_path / "mine" / ".DS_Store").touch()  # a file manager looked in
    write(tmp_path / "mine", overwrite=True)
    write(tmp_path / "mine", "newest", overwrite=True)
    assert text_in(tmp_path / "mine") == "newest"
    assert names_in(tmp_path) == [
        "mine",
        f"mine/{MARK}",
        "mine/maps",
        "mine/maps/angle.txt",
        "other",
    ]


def test_the_old_stays_until_the_new_is_whole(tmp_path):
    write(tmp_path / "mine", "old")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "mine", overwrite=True):
        raise ZeroDivisionError
    assert text_in(tmp_path / "mine") == "old" and len(list(tmp_path.iterdir())) == 1


def test_the_old_comes_back_if_the_new_cannot_take_its_place(tmp_path, monkeypatch):
    write(tmp_path / "mine", "old")
    rename = Path.rename

    def fail_for_the_new(self, target):
        if "old" not in self.name and Path(target).name == "mine":
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(ValueError, match="what was written lies in .*mine_2"):
        write(tmp_path / "mine", overwrite=True)
    assert text_in(tmp_path / "mine") == "old" and text_in(tmp_path / "mine_2") == "new"


@pytest.mark.parametrize("make", FOREIGN)
def test_what_was_not_written_here_is_never_replaced(tmp_path, make):
    make(tmp_path / "mine")
    before = state_of(tmp_path)
    with pytest.raises(ValueError, match="mine is not replaced: .*choose another"):
        with new_folder(tmp_path / "mine", overwrite=True):
            pytest.fail("the work was begun")
    assert state_of(tmp_path) == before


ADDED = ["raw.dm4", "maps/raw.dm4", "notes", ".hidden", "Å and é.tif"]


@pytest.mark.parametrize("name", ADDED)
def test_a_folder_to_which_something_was_added_is_not_replaced(tmp_path, name):
    write(tmp_path / "mine", "old")
    added = tmp_path / "mine" / name
    added.write_text("theirs")
    with pytest.raises(ValueError, match=f"it holds {name}, which was not written here"):
        write(tmp_path / "mine", overwrite=True)
    assert added.read_text() == "theirs" and text_in(tmp_path / "mine") == "old"


@pytest.mark.parametrize("added", ["folder", "link"])
def test_an_empty_folder_or_a_link_that_was_added_counts_too(tmp_path, added):
    write(tmp_path / "mine", "old")
    if added == "folder":
        (tmp_path / "mine" / "maps" / "added").mkdir()
    else:
        (tmp_path / "mine" / "maps" / "added").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="it holds maps/added"):
        write(tmp_path / "mine", overwrite=True)


@pytest.mark.parametrize("mark", ["", "[]", '{"written": 3}', "\xff\xfe", '{"written": [[]]}'])
def test_a_mark_that_cannot_be_read_is_none(tmp_path, mark):
    write(tmp_path / "mine", "old")
    (tmp_path / "mine" / MARK).write_bytes(mark.encode("latin-1"))
    with pytest.raises(ValueError, match="it was not written here"):
        write(tmp_path / "mine", overwrite=True)
    assert text_in(tmp_path / "mine") == "old"


@pytest.mark.parametrize("inside", [".", "maps"])
def test_the_current_folder_and_those_above_it_are_not_replaced(tmp_path, monkeypatch, inside):
    write(tmp_path / "mine", "old")
    monkeypatch.chdir(tmp_path / "mine" / inside)
    with pytest.raises(ValueError, match="it holds the current folder"):
        write(Path("." if inside == "." else ".."), overwrite=True)
    assert text_in(tmp_path / "mine") == "old"


def test_the_home_folder_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path / "mine", "old")
    monkeypatch.setenv("HOME", str(tmp_path / "mine" / "maps"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "mine" / "maps"))
    with pytest.raises(ValueError, match="it holds the home folder"):
        write(tmp_path / "mine", overwrite=True)


def test_a_disk_of_its_own_is_not_replaced(tmp_path, monkeypatch):
    write(tmp_path / "mine", "old")
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(tmp_path / "mine"))
    with pytest.raises(ValueError, match="it is a disk of its own"):
        write(tmp_path / "mine", overwrite=True)


# What the version before this one wrote bears no mark.
RESULTS = ["angle.hspy", "latent_1.hspy", "latent_12.hspy", "columns.csv", "model.safetensors"]
REPORT = ["report.html", "figures/own-angle.png", "figures/own-latents.png"]
REPORT += [f"results/{name}" for name in RESULTS]


@pytest.mark.parametrize("names", [RESULTS, REPORT], ids=["results", "report"])
def test_a_folder_of_the_version_before_is_known_by_its_files(tmp_path, names):
    old = tmp_path / "mine"
    for name in names:
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text("old")
    for added in ("raw.dm4", "angle.dm3", "results/raw.dm4", "figures/mine.png"):
        (old / added).parent.mkdir(exist_ok=True)
        (old / added).touch()
        with pytest.raises(ValueError, match=f"it holds {added}"):
            write(old, overwrite=True)
        (old / added).unlink()
    for empty in ("results", "figures"):
        if names is RESULTS:
            (old / empty).rmdir()
    write(old, overwrite=True)
    assert text_in(old) == "new"


def test_a_table_of_columns_alone_is_not_taken_for_ours(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "columns.csv").write_text("theirs")
    with pytest.raises(ValueError, match="it was not written here"):
        write(tmp_path / "mine", overwrite=True)
