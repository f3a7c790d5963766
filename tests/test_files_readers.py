"""What no reader takes is refused in words that lead on, in Python and on the command line."""

import logging
import os
import re

import h5py
import make_files
import numpy as np
import pytest
import scipy.io
from test_files_load import IMAGE, make_signal

from helpers import load_image


def follow(message: str) -> str:
    """Do what a message says to do in Python; return the name of the .npy that comes of it."""
    code = re.search(r"numpy\.save\(.*\)(?=, and open)", message)[0]
    exec(code, {"numpy": np, "h5py": h5py, "scipy": scipy, "image": IMAGE})
    return re.search(r"'([^']*\.npy)'", code)[1]


def refusal_of(path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as refused:
        load_image(path)
    message = str(refused.value)
    assert "\n" not in message and "reader` keyword" not in message
    return message


@pytest.mark.parametrize("name", ["swift.h5", "other.hdf5"])
def test_an_hdf5_of_nobody_names_its_arrays_and_a_way_that_works(tmp_path, name):
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file["one"] = np.zeros(5)
        file["deep/image"] = IMAGE
    message = refusal_of(path)
    assert "'deep/image' (18, 25) float32" in message
    assert "pixel_size_nm= (on the command line --pixel-size-nm)" in message
    saved = load_image(follow(message), pixel_size_nm=0.02)
    np.testing.assert_array_equal(saved.data, IMAGE)
    assert saved.axes_manager[0].units == "nm"


@pytest.mark.parametrize("ending", ["mat", "npz"])
def test_arrays_under_names_have_a_way_that_works(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    if ending == "mat":
        scipy.io.savemat(path, {"NAME": IMAGE})
    else:
        np.savez(path, NAME=IMAGE)
    message = refusal_of(path)
    assert "damaged" not in message
    np.testing.assert_array_equal(load_image(follow(message), pixel_size_nm=1).data, IMAGE)


@pytest.mark.parametrize("name", ["image.czi", "image", "image.", "image.txt", "image.csv"])
def test_other_endings_too(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    message = refusal_of(tmp_path / name)
    assert "no reader takes files that end in" in message
    np.testing.assert_array_equal(load_image(follow(message), pixel_size_nm=1).data, IMAGE)


def test_what_is_no_hdf5_is_called_damaged(tmp_path):
    (tmp_path / "cut.h5").write_bytes(b"\x89HDF")
    assert "no HDF5, as its ending says: is it damaged" in refusal_of(tmp_path / "cut.h5")


def test_an_hdf5_without_any_image_says_so(tmp_path):
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["one"] = np.zeros(5)
    assert "no array of rows and columns" in refusal_of(tmp_path / "none.h5")


@pytest.mark.parametrize("ending", ["hdf5", "h5", "HDF5"])
def test_what_hyperspy_and_atomap_write_as_hdf5_is_read(tmp_path, ending):
    make_signal(IMAGE).save(tmp_path / "image.hspy")
    path = (tmp_path / "image.hspy").rename(tmp_path / f"image.{ending}")
    image = load_image(path)
    np.testing.assert_array_equal(image.data, IMAGE)
    assert image.axes_manager[0].scale == pytest.approx(0.02)


@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_what_is_an_emd_under_another_ending_is_read(tmp_path, ending):
    make_files.write_velox(tmp_path / f"velox.{ending}", [IMAGE])
    np.testing.assert_array_equal(load_image(tmp_path / f"velox.{ending}").data, IMAGE)


def test_an_emi_without_its_ser_names_what_is_missing(tmp_path):
    path = tmp_path / "image [1].emi"
    make_files.write_emi(path, IMAGE)
    (tmp_path / "image [1]_1.ser").unlink()
    message = refusal_of(path)
    assert "image [1]_1.ser" in message and "is not beside it" in message
    assert f"copy the .ser files of the recording into {tmp_path}" in message


def test_an_emi_whose_ser_are_there_but_not_found_says_what_to_open(tmp_path):
    path = tmp_path / "image [1].emi"  # its reader takes the brackets for a pattern
    make_files.write_emi(path, IMAGE)
    assert "open each .ser itself" in refusal_of(path)
    np.testing.assert_array_equal(load_image(tmp_path / "image [1]_1.ser").data, IMAGE)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    assert "is no file" in refusal_of(tmp_path / "pipe.tif")


HDF5_AND_NO_MORE = b"\x89HDF\r\n\x1a\n" + bytes(500)


@pytest.mark.parametrize("content", [b"nonsense", HDF5_AND_NO_MORE, b"II*\0\xff\xff\xff\0"])
@pytest.mark.parametrize("ending", ["hspy", "zspy", "emd", "dm3", "tif", "ser", "h5", "png", "xyz"])
def test_a_refused_file_prints_nothing(tmp_path, capfd, caplog, recwarn, ending, content):
    logger = logging.getLogger("hyperspy")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        path = tmp_path / f"broken.{ending}"
        path.write_bytes(content)
        refusal_of(path)
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)
    assert capfd.readouterr() == ("", "") and not caplog.records and not recwarn.list
