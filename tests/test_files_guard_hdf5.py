"""An HDF5 file leads to no other file, whoever wrote it, and holds no addresses of the memory."""

import struct
import subprocess
import sys
import time

import h5py
import make_files
import numpy as np
import pytest
from test_files_load import IMAGE, make_signal

from helpers import load_image
from helpers.files.guard_hdf5 import refuse_risky_hdf5

BYTES = 4 * IMAGE.size


def write_velox(path):
    make_files.write_velox(path, [IMAGE])


FILES = {  # how it is written, and where its pixels lie
    "image.hspy": (lambda path: make_signal(IMAGE).save(path), "Experiments/ADF/data"),
    "ncem.emd": (lambda path: make_signal(IMAGE).save(path), "signals/ADF/data"),
    "velox.emd": (write_velox, f"Data/Image/{0:032x}/Data"),
}


def keep_outside(group, name, secret, shape):
    group.create_dataset(name, shape, "f4", external=[(secret.name, 0, BYTES)])


def link_outside(group, name, secret, shape):
    with h5py.File(secret, "w") as other:
        other["pixels"] = np.ones(shape, "f4")
    group[name] = h5py.ExternalLink(secret.name, "/pixels")


def put_together(group, name, secret, shape):
    link_outside(group, "other", secret, shape)
    del group["other"]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(secret.name, "pixels", shape)
    group.create_virtual_dataset(name, layout)


def link_to_nothing(group, name, secret, shape):
    group[name] = h5py.SoftLink("/no/such/pixels")


def link_through_a_link(group, name, secret, shape):
    link_outside(group, "between", secret, shape)
    group[name] = h5py.SoftLink("between")


WAYS = {
    keep_outside: "in another file, 'secret'",
    link_outside: "leads to another file",
    put_together: "put together from other files",
    link_to_nothing: "leads nowhere",
    link_through_a_link: "leads to another file",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILES)
def test_pixels_that_lie_elsewhere_are_not_read(tmp_path, monkeypatch, name, way):
    monkeypatch.chdir(tmp_path)  # what a name in the file starts from
    secret = tmp_path / "secret"
    secret.write_bytes(np.full(IMAGE.size, 7, "<f4").tobytes())
    write, pixels = FILES[name]
    path = tmp_path / name
    write(path)
    with h5py.File(path, "a") as file:
        shape = file[pixels].shape
        del file[pixels]
        group, _, last = pixels.rpartition("/")
        way(file[group], last, secret, shape)
    with pytest.raises(ValueError, match=rf"{WAYS[way]}.*export a \.tif"):
        load_image(path)


@pytest.mark.parametrize("where", ["original_metadata", "metadata/deep/deeper"])
def test_nor_are_metadata_that_lie_elsewhere(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    (tmp_path / "secret").write_bytes(bytes(BYTES))
    with h5py.File(path, "a") as file:
        group = file.require_group(f"Experiments/ADF/{where}")
        keep_outside(group, "note", tmp_path / "secret", (BYTES // 4,))
    with pytest.raises(ValueError, match=f"{where}/note keeps its values in another file"):
        load_image(path)


def test_nor_in_the_child(tmp_path):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    with h5py.File(path, "a") as file:
        group = file["Experiments/ADF"]
        del group["data"]
        link_outside(group, "data", tmp_path / "secret", IMAGE.shape)
    with pytest.raises(ValueError, match="leads to another file"):
        load_image(path, untrusted=True)


@pytest.mark.parametrize("is_attribute", [False, True])
def test_bytes_are_not_taken_for_objects(tmp_path, is_attribute):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    kind = h5py.h5t.create(h5py.h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:|O")
    one = h5py.h5s.create_simple((1,))
    with h5py.File(path, "a") as file:
        group = file["Experiments/ADF/original_metadata"].id
        if is_attribute:
            made = h5py.h5a.create(group, b"object", kind, one)
            made.write(np.full(1, 2**40, "u8").view("V8"), mtype=kind)
        else:
            made = h5py.h5d.create(group, b"object", kind, one)
            space = h5py.h5s.ALL
            made.write(space, space, np.full(1, 2**40, "u8").view("V8"), mtype=kind)
    assert "holds Python objects" in load_elsewhere(path)


def load_elsewhere(path):
    """The error of a process that loads the file, in case that it dies or never returns."""
    code = f"from helpers import load_image; load_image({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize("flags", [127, 255])
def test_a_damaged_kind_of_text_does_not_end_the_process(tmp_path, flags):
    path = tmp_path / "image.emd"
    make_signal(IMAGE).save(path)
    content = path.read_bytes()
    text = struct.pack("<4BI", 0x19, 1, 1, 0, 16)  # a list, of letters, UTF-8
    assert text in content
    path.write_bytes(content.replace(text, struct.pack("<4BI", 0x19, flags, 1, 0, 16)))
    assert "lists of a kind that does not exist" in load_elsewhere(path)


ENDLESS = [struct.pack("<HHIQ", 0, 0, 0, 0), struct.pack("<HHIQ", 7, 1, 0, 2**64 - 16)]


@pytest.mark.parametrize("part", ENDLESS, ids=["gap", "wrapped"])
@pytest.mark.parametrize("name", FILES)
def test_texts_without_an_end_do_not_hold_up_the_process(tmp_path, name, part):
    path = tmp_path / name
    FILES[name][0](path)
    with h5py.File(path, "a") as file:
        file.attrs["text"] = "a text"
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + 16
    _, _, _, size = struct.unpack_from("<HHIQ", content, first)
    gap = first + 16 + -(-size // 8) * 8
    content[gap : gap + 16] = part
    path.write_bytes(content)
    assert "a list without end" in load_elsewhere(path)


def test_links_within_a_file_and_lists_of_numbers_and_texts_are_read(tmp_path):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE).save(path)
    with h5py.File(path, "a") as file:
        group = file["Experiments/ADF/original_metadata"]
        group["again"] = h5py.SoftLink("/Experiments/ADF/data")
        group.create_dataset("texts", data=["a", "µ"], dtype=h5py.string_dtype())
        ragged = group.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        ragged[0] = [1, 2, 3]
        group["reference"] = group["texts"].ref
    image = load_image(path)
    np.testing.assert_array_equal(image.original_metadata.again, IMAGE)
    assert list(image.original_metadata.ragged[0]) == [1, 2, 3]


def test_a_thousand_groups_are_looked_through_in_a_moment(tmp_path):
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        for index in range(1000):
            group = file.create_group(f"{index // 50}/{index}")
            group.attrs["note"] = "text"
            group["values"] = np.zeros(3)
    started = time.process_time()
    refuse_risky_hdf5(path)
    assert time.process_time() - started < 1
