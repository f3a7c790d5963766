"""A Zarr folder or zip runs nothing, and has no part that lies elsewhere."""

import json
import os
import shutil
import time
import zipfile

import numpy as np
import pytest
from test_files_load import IMAGE, STACK, make_signal

from helpers import load_image
from helpers.files.guard_zarr import refuse_risky_zarr

pytestmark = [  # of the libraries that write the test files
    pytest.mark.filterwarnings("ignore:Duplicate name"),
    pytest.mark.filterwarnings("ignore:The NestedDirectoryStore"),
]

DATA = "Experiments/ADF/data"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "image.zspy"
    make_signal(IMAGE).save(path)
    return path


def zipped(folder, names=lambda name: name):
    """The folder in a zip, whose members may get other names."""
    path = folder.with_name("zipped.zspy")
    with zipfile.ZipFile(path, "w") as archive:
        for part in sorted(folder.rglob("*")):
            if part.is_file():
                member = zipfile.ZipInfo(names(part.relative_to(folder).as_posix()))
                archive.writestr(member, part.read_bytes())
    return path


def a_chunk(folder):
    return next(part for part in (folder / DATA).rglob("*") if part.name.isdecimal())


def test_a_zip_that_is_as_it_should_be_is_read(folder):
    np.testing.assert_array_equal(load_image(zipped(folder)).data, IMAGE)


@pytest.mark.parametrize("untrusted", [False, True])
def test_a_chunk_that_is_a_link_is_not_read(folder, untrusted):
    secret = folder.with_name("secret")
    chunk = a_chunk(folder)
    shutil.move(chunk, secret)
    chunk.symlink_to(secret)
    with pytest.raises(ValueError, match=rf"{chunk.name} is a link.*export a \.tif"):
        load_image(folder, untrusted=untrusted)


@pytest.mark.parametrize("part", [DATA, "Experiments/ADF/axis-0/.zattrs", ".zgroup"])
def test_nor_is_any_other_part(folder, part):
    elsewhere = folder.with_name("elsewhere")
    shutil.move(folder / part, elsewhere)
    (folder / part).symlink_to(elsewhere)
    with pytest.raises(ValueError, match="is a link"):
        load_image(folder)


def test_a_pipe_among_the_parts_is_not_waited_for(folder):
    os.mkfifo(folder / DATA / "1")
    with pytest.raises(ValueError, match="no file"):
        load_image(folder)


def test_a_link_to_the_folder_itself_is_the_users_own(folder):
    link = folder.with_name("link.zspy")
    link.symlink_to(folder)
    np.testing.assert_array_equal(load_image(link).data, IMAGE)


@pytest.mark.parametrize("odd", ["../{}", "/{}", "C:/{}", "a\\..\\..\\{}", "//server/{}"])
def test_a_zip_with_odd_names_is_refused(folder, odd):
    path = zipped(folder, lambda name: odd.format(name) if name.endswith(".zattrs") else name)
    with pytest.raises(ValueError, match=r"zipped\.zspy.*leads outside"):
        load_image(path)


def test_a_zip_with_a_link_in_it_is_refused(folder):
    path = zipped(folder)
    link = zipfile.ZipInfo(f"{DATA}/9")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="is a link"):
        load_image(path)


CHANGES = {
    "filter": {"filters": [{"id": "pickle", "protocol": 4}]},
    "compressor": {"compressor": {"id": "pickle"}},
    "unknown": {"filters": [{"id": "codec_of_a_package"}]},
    "objects": {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": "gASVAAAAAA=="},
    "no packer": {"dtype": "|O", "filters": None},
    "fields": {"dtype": [["a", "<f4"], ["b", "|O"]]},
    "from bytes": {"filters": [{"id": "astype", "encode_dtype": "<f4", "decode_dtype": "|O"}]},
    "list of objects": {"dtype": "|O", "filters": [{"id": "vlen-array", "dtype": "|O"}]},
}


@pytest.mark.parametrize("store", ["folder", "zip"])
@pytest.mark.parametrize("change", CHANGES)
def test_an_array_that_could_run_code_is_refused(folder, change, store):
    described = folder / DATA / ".zarray"
    text = json.loads(described.read_text()) | CHANGES[change]
    described.write_text(json.dumps(text))
    path = folder if store == "folder" else zipped(folder)
    with pytest.raises(ValueError, match=r"array Experiments/ADF/data (holds|is packed|makes)"):
        load_image(path)


def test_the_last_of_two_members_of_one_name_counts(folder):
    path = zipped(folder)
    described = json.loads((folder / DATA / ".zarray").read_text()) | CHANGES["filter"]
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr(f"{DATA}/.zarray", json.dumps(described))
    with pytest.raises(ValueError, match="pickle"):
        load_image(path)


def test_many_parts_are_looked_through_in_a_moment(tmp_path):
    path = tmp_path / "many.zspy"
    make_signal(STACK).save(path)
    for index in range(3000):
        (path / f"part-{index}").write_bytes(b"1")
    started = time.process_time()
    refuse_risky_zarr(path)
    assert time.process_time() - started < 0.5
