"""What ImageJ and OME write into a TIFF is read: pixel size, unit, and which axis is what."""

import numpy as np
import pytest
import tifffile
from test_files_load import IMAGE, STACK

from helpers import load_image

COUNTS = STACK.astype("u2")  # ImageJ takes no 32-bit whole numbers


def write_imagej(path, values, per_unit=50, **metadata):
    options = {"resolution": (per_unit, per_unit), "metadata": metadata}
    tifffile.imwrite(path, values, imagej=True, **options)


def write_ome(path, values, **metadata):
    tifffile.imwrite(path, values, ome=True, metadata=metadata)


def sizes_of(image):
    return [(axis.scale, axis.units) for axis in image.axes_manager.signal_axes]


def frames_axis(image):
    (axis,) = image.axes_manager.navigation_axes
    return axis.name


@pytest.mark.parametrize(
    ("unit", "per_unit"),
    [
        ("nm", 50),
        ("\\u00B5m", 5e4),
        ("micron", 5e4),
        ("um", 5e4),
        ("microns", 5e4),
        ("\\u00C5", 5),
        ("Angstrom", 5),
        ("pm", 0.05),
        ("mm", 5e7),
        ("nanometer", 50),
    ],
)
def test_the_unit_of_imagej(tmp_path, unit, per_unit):
    path = tmp_path / "image.tif"
    write_imagej(path, COUNTS[0], per_unit, unit=unit, axes="YX")
    image = load_image(path)
    np.testing.assert_array_equal(image.data, IMAGE)
    assert sizes_of(image) == [(pytest.approx(0.02), "nm")] * 2


@pytest.mark.parametrize("unit", ["pixel", "inch", "s", "", "\\u00B5", "\\u00B"])
def test_a_unit_of_imagej_that_is_no_length_asks(tmp_path, unit):
    path = tmp_path / "image.tif"
    write_imagej(path, COUNTS[0], 50, unit=unit, axes="YX")
    with pytest.warns(UserWarning, match=r"no length.*pixel_size_nm=.*--pixel-size-nm"):
        assert sizes_of(load_image(path)) == [(1.0, "px")] * 2


def test_rows_and_columns_of_imagej_are_not_exchanged(tmp_path):
    path = tmp_path / "image.tif"
    options = {"imagej": True, "metadata": {"unit": "nm", "axes": "YX"}}
    tifffile.imwrite(path, COUNTS[0], resolution=(50, 25), **options)  # columns, rows
    with pytest.warns(UserWarning, match=r"rows are 0\.04 nm apart, columns 0\.02 nm"):
        load_image(path)


def test_what_hyperspy_says_in_its_own_tags_wins(tmp_path):
    from test_files_load import make_signal

    path = tmp_path / "image.tif"
    make_signal(STACK, scale=0.2, units="Å").save(path)
    assert sizes_of(load_image(path)) == [(pytest.approx(0.02), "nm")] * 2


@pytest.mark.parametrize(
    ("size", "unit"), [(0.02, "nm"), (2e-5, None), (2e-5, "µm"), (0.2, "Å"), (20, "pm")]
)
def test_the_pixel_size_of_ome(tmp_path, size, unit):
    path = tmp_path / "image.ome.tif"
    about = {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit:
        about |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    write_ome(path, IMAGE, axes="YX", **about)
    assert sizes_of(load_image(path)) == [(pytest.approx(0.02), "nm")] * 2


def test_an_ome_tiff_without_a_size_asks(tmp_path):
    write_ome(tmp_path / "image.ome.tif", IMAGE, axes="YX")
    with pytest.warns(UserWarning, match="is no length"):
        load_image(tmp_path / "image.ome.tif")


@pytest.mark.parametrize("letter", ["T", "Z"])
@pytest.mark.parametrize("write", [write_ome, write_imagej])
def test_the_axis_of_the_frames_keeps_its_name(tmp_path, write, letter):
    write(tmp_path / "stack.tif", COUNTS, axes=f"{letter}YX")
    stack = load_image(tmp_path / "stack.tif", pixel_size_nm=0.02)
    np.testing.assert_array_equal(stack.data, STACK)
    assert frames_axis(stack) == {"T": "time", "Z": "depth"}[letter]


def test_channels_of_imagej_are_no_frames(tmp_path):
    path = tmp_path / "adf_bf.tif"
    write_imagej(path, COUNTS[:2], 50, unit="nm", axes="CYX", Labels=["ADF", "BF"])
    with pytest.raises(ValueError, match=r"first axis is channel \(ADF, BF\).*signal=.*--signal"):
        load_image(path)
    for wanted in (1, "BF", "1", np.int64(1)):
        channel = load_image(path, signal=wanted)
        np.testing.assert_array_equal(channel.data, STACK[1])
        assert channel.metadata.General.title == "BF"
        assert sizes_of(channel) == [(pytest.approx(0.02), "nm")] * 2


def test_channels_of_ome_are_no_frames(tmp_path):
    path = tmp_path / "adf_bf.ome.tif"
    about = {"axes": "CYX", "Channel": {"Name": ["ADF", "BF"]}, "PhysicalSizeX": 0.02}
    about |= {"PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.02, "PhysicalSizeYUnit": "nm"}
    write_ome(path, STACK[:2], **about)
    with pytest.raises(ValueError, match=r"first axis is channel \(ADF, BF\)"):
        load_image(path)
    channel = load_image(path, signal="ADF")
    np.testing.assert_array_equal(channel.data, STACK[0])
    assert sizes_of(channel) == [(pytest.approx(0.02), "nm")] * 2


@pytest.mark.parametrize("write", [write_ome, write_imagej])
def test_frames_of_several_channels_come_one_channel_at_a_time(tmp_path, write):
    path = tmp_path / "film.tif"
    both = np.stack([COUNTS, COUNTS + 500], axis=1)  # frames, channels, rows, columns
    write(path, both, axes="TCYX")
    with pytest.raises(ValueError, match=r"second axis is channel \(channel 0, channel 1\)"):
        load_image(path)
    film = load_image(path, signal=1, pixel_size_nm=0.02)
    np.testing.assert_array_equal(film.data, STACK + 500)
    assert frames_axis(film) == "time"


def test_channels_come_one_at_a_time_from_a_lazy_file_and_from_the_child(tmp_path):
    path = tmp_path / "adf_bf.tif"
    write_imagej(path, COUNTS[:2], 50, unit="nm", axes="CYX")
    lazy = load_image(path, signal=1, lazy=True)
    assert lazy._lazy
    np.testing.assert_array_equal(lazy.data.compute(), STACK[1])
    np.testing.assert_array_equal(load_image(path, signal=1, untrusted=True).data, STACK[1])
    with pytest.raises(ValueError, match="first axis is channel"):
        load_image(path, untrusted=True)
