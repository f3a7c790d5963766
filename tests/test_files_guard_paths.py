"""No reader is led out of the folder of its file, nor to another program by a lying ending."""

import os
import shutil
import struct

import make_files
import numpy as np
import pytest
import tifffile
from test_files_load import IMAGE

from helpers import load_image

RPL = "key\tvalue\nwidth\t25\nheight\t18\ndepth\t1\noffset\t0\ndata-length\t4\ndata-type\tfloat\n"
RPL += "byte-order\tlittle-endian\nrecord-by\tdont-care\n"


def write_ripple(path):
    path.write_text(RPL)
    path.with_suffix(".raw").write_bytes(IMAGE.astype("<f4").tobytes())


PAIRS = {
    "image.emi": (lambda path: make_files.write_emi(path, IMAGE), "image_1.ser"),
    "image.rpl": (write_ripple, "image.raw"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAIRS)
def test_what_a_reader_opens_beside_a_file_lies_there(tmp_path, name):
    write, beside = PAIRS[name]
    folder, elsewhere = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    elsewhere.mkdir()
    write(folder / name)
    np.testing.assert_array_equal(load_image(folder / name).data, IMAGE)
    # A folder of links to whole recordings is the user's own.
    for part in (name, beside):
        (elsewhere / part).symlink_to(folder / part)
    np.testing.assert_array_equal(load_image(elsewhere / name).data, IMAGE)
    shutil.move(folder / beside, elsewhere / "secret")
    (folder / beside).symlink_to(elsewhere / "secret")
    with pytest.raises(ValueError, match=f"{beside} beside it is no file, or a link"):
        load_image(folder / name)
    (folder / beside).unlink()
    os.mkfifo(folder / beside)
    with pytest.raises(ValueError, match="is no file"):
        load_image(folder / name)


def write_ome(path, *others):
    """An OME-TIFF of as many planes as names, each of which it says to lie in that file."""
    planes = "".join(
        f'<TiffData IFD="0" FirstC="{index}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:{index}</UUID></TiffData>'
        for index, name in enumerate([path.name, *others])
    )
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" Type="float" DimensionOrder="XYZCT" SizeX="25" '
        f'SizeY="18" SizeZ="1" SizeC="{1 + len(others)}" SizeT="1">{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(path, IMAGE, description=text, metadata=None)


@pytest.mark.parametrize(
    "name", ["../secret.tif", "{}/secret.tif", "link.tif", "a/../../secret.tif"]
)
def test_an_ome_tiff_takes_no_image_from_another_folder(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    secret = tmp_path / "secret.tif"
    tifffile.imwrite(secret, IMAGE + 1)
    (folder / "link.tif").symlink_to(secret)
    path = folder / "image.ome.tif"
    write_ome(path, name.format(tmp_path))
    with pytest.raises(ValueError, match=r"image\.ome\.tif.*outside of its folder"):
        load_image(path, signal=1)


def test_an_ome_tiff_may_take_one_from_beside_it(tmp_path):
    tifffile.imwrite(tmp_path / "second.tif", IMAGE + 1)
    write_ome(tmp_path / "first.ome.tif", "second.tif")
    with pytest.warns(UserWarning, match="is no length"):
        image = load_image(tmp_path / "first.ome.tif", signal=1)
    np.testing.assert_array_equal(image.data, IMAGE + 1)


def write_ndtiff(path, image):
    """One 8-bit plane, as Micro-Manager writes it, and the index beside it, which names another."""
    about = b'{"summary": 1}'
    start = 24 + len(about)  # of the pixels, after the header and what Micro-Manager puts there
    tags = {256: 25, 257: 18, 258: 8, 259: 1, 262: 1, 273: start, 277: 1, 278: 18, 279: image.size}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries.append(struct.pack("<HHII", 51123, 2, len(about), 24))
    header = struct.pack("<2sHI", b"II", 42, start + image.size)
    header += struct.pack("<4I", 483729, 2, 2355492, len(about)) + about
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(header + image.tobytes() + directory)
    axes, name = b'{"time": 0}', b"../secret.tif"
    index = struct.pack("<I", len(axes)) + axes + struct.pack("<I", len(name)) + name
    index += struct.pack("<IiiiiIii", start, 25, 18, 0, 0, 0, 0, 0)
    path.with_name("NDTiff.index").write_bytes(index)


def test_an_index_of_other_tiffs_is_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", np.full((18, 25), 7, "u1"), metadata=None)
    path = tmp_path / "data" / "image.tif"
    write_ndtiff(path, IMAGE.astype("u1"))
    with pytest.warns(UserWarning, match="is no length"):
        np.testing.assert_array_equal(load_image(path).data, IMAGE)


PROGRAM = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "spi"])
def test_a_program_that_calls_itself_a_picture_is_not_run(tmp_path, monkeypatch, ending):
    trace = tmp_path / "trace"
    interpreter = tmp_path / "gs"  # what Pillow hands PostScript to
    interpreter.write_text(f"#!/bin/sh\ntouch {trace}\n")
    interpreter.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = tmp_path / f"image.{ending}"
    path.write_bytes(PROGRAM)
    with pytest.raises(ValueError, match=rf"image\.{ending}.*EPS"):
        load_image(path)
    assert not trace.exists()


@pytest.mark.parametrize("ending", ["nc", "NC", "mrcz", "asw", "xml"])
def test_formats_whose_readers_run_or_follow_what_they_read(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    path.write_bytes(b"CDF")
    with pytest.raises(ValueError, match=r"(program code|names).*export a \.tif"):
        load_image(path)


def test_an_mrc_is_never_given_to_the_reader_that_unpickles(tmp_path):
    from helpers.files.readers import reader_of

    make_files.write_mrc(tmp_path / "image.mrc", IMAGE)
    assert reader_of(tmp_path / "image.mrc").__name__ == "rsciio.mrc"


def test_no_reader_but_those_that_were_looked_through(tmp_path, monkeypatch):
    import rsciio

    new = {"name": "New", "api": "os", "file_extensions": ["new"]}
    monkeypatch.setattr(rsciio, "IO_PLUGINS", [new, *rsciio.IO_PLUGINS])
    (tmp_path / "image.new").write_bytes(b"1")
    with pytest.raises(ValueError, match="no reader takes files that end in '.new'"):
        load_image(tmp_path / "image.new")
