"""Files of Nion Swift: .ndata and .ndata1, .h5 and .nhdf."""

import json
import zipfile

import h5py
import numpy as np
import pytest
from test_files_load import IMAGE, STACK

from helpers import load_image


def calibrations(count, scale=0.02, units="nm"):
    one = {"offset": -0.1, "scale": scale, "units": units}
    frames = {"offset": 0.0, "scale": 2.0, "units": "s"}
    return [frames, one, one][-count:]


def about(values, **more):
    properties = {
        "title": "HAADF",
        "is_sequence": values.ndim == 3,
        "collection_dimension_count": 0,
        "datum_dimension_count": 2,
        "dimensional_calibrations": calibrations(values.ndim),
        "intensity_calibration": {"offset": 0.0, "scale": 1.0, "units": ""},
        "metadata": {"hardware_source": {"exposure": 1.0}},
    }
    return properties | more


def write_ndata(path, values, properties=None):
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("data.npy", "w") as file:
            np.lib.format.write_array(file, values, allow_pickle=False)
        archive.writestr("metadata.json", json.dumps(properties or about(values)))


def write_h5(path, values, properties=None):
    with h5py.File(path, "w") as file:
        file["data"] = values
        file["data"].attrs["properties"] = json.dumps(properties or about(values))


def write_nhdf(path, values, properties=None):
    with h5py.File(path, "w") as file:
        file["data/0"] = values
        file["data/0"].attrs["properties"] = json.dumps(properties or about(values))
        file.create_group("index").attrs["1"] = "{}"


WRITERS = {"ndata": write_ndata, "ndata1": write_ndata, "h5": write_h5, "nhdf": write_nhdf}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("values", [IMAGE, STACK], ids=["image", "stack"])
def test_images_and_sequences_are_read_in_nm(tmp_path, ending, values):
    path = tmp_path / f"image.{ending}"
    WRITERS[ending](path, values)
    image = load_image(path)
    np.testing.assert_array_equal(image.data, values)
    assert image.metadata.General.title == "HAADF"
    assert image.original_metadata.metadata.hardware_source.exposure == 1.0
    for axis in image.axes_manager.signal_axes:
        assert (axis.scale, axis.units, axis.offset) == (pytest.approx(0.02), "nm", -0.1)
    frames = [(axis.name, axis.units) for axis in image.axes_manager.navigation_axes]
    assert frames == [("time", "s")][: values.ndim - 2]


def test_rows_and_columns_are_not_exchanged(tmp_path):
    path = tmp_path / "image.ndata"
    sizes = [{"scale": 0.04, "units": "nm"}, {"scale": 0.02, "units": "nm"}]
    write_ndata(path, IMAGE, about(IMAGE, dimensional_calibrations=sizes))
    with pytest.warns(UserWarning, match=r"rows are 0\.04 nm apart, columns 0\.02 nm"):
        load_image(path)


def test_where_older_and_exported_files_keep_the_calibration(tmp_path):
    kept = calibrations(2, 20, "pm")
    places = {
        "nested": {"data_sources": [{"dimensional_calibrations": kept}], "title": "old"},
        "one": {"data_source": {"dimensional_calibrations": kept}},
        "exported": {"spatial_calibrations": kept},
    }
    for name, properties in places.items():
        write_ndata(tmp_path / f"{name}.ndata", IMAGE, properties)
        image = load_image(tmp_path / f"{name}.ndata")
        assert image.axes_manager.signal_axes[0].scale == pytest.approx(0.02), name


def test_without_calibration_it_asks_and_several_are_chosen_from(tmp_path):
    path = tmp_path / "two.nhdf"
    write_nhdf(path, IMAGE, {"title": "BF"})
    with h5py.File(path, "a") as file:
        file.copy("data/0", "data/1")
        file["data/1"].attrs["properties"] = json.dumps(about(IMAGE))
    assert load_image(path, signal="HAADF").axes_manager[0].units == "nm"
    with pytest.warns(UserWarning, match="is no length"):
        load_image(path, signal="BF")


def test_scans_spectra_and_colours_are_refused(tmp_path):
    spectrum = np.ones(30, "f4")
    write_h5(tmp_path / "line.h5", spectrum, about(spectrum, datum_dimension_count=1))
    with pytest.raises(ValueError, match="not an image"):
        load_image(tmp_path / "line.h5")
    scan = np.ones((2, 3, 18, 25), "f4")
    calibrated = {"dimensional_calibrations": [{}] * 4, "collection_dimension_count": 2}
    write_h5(tmp_path / "scan.h5", scan, about(scan, is_sequence=False) | calibrated)
    with pytest.raises(ValueError, match="4D-STEM"):
        load_image(tmp_path / "scan.h5")
    colour = np.ones((18, 25, 3), "u1")
    write_ndata(tmp_path / "colour.ndata", colour, about(IMAGE))
    with pytest.raises(ValueError, match="in colour"):
        load_image(tmp_path / "colour.ndata")


def test_a_large_one_stays_on_disk_and_the_child_reads_the_same(tmp_path):
    path = tmp_path / "image.h5"
    write_h5(path, STACK)
    lazy = load_image(path, lazy=True)
    assert lazy._lazy
    np.testing.assert_array_equal(lazy.data.compute(), STACK)
    np.testing.assert_array_equal(load_image(path, untrusted=True).data, STACK)


class Trap:
    """What, when it is unpickled, leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def test_pickles_are_not_opened_and_a_formula_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    with zipfile.ZipFile(tmp_path / "trap.ndata", "w") as archive:
        with archive.open("data.npy", "w") as file:
            np.lib.format.write_array(file, np.array([[Trap(trace)]], dtype=object))
        archive.writestr("metadata.json", "{}")
    with pytest.raises(ValueError, match="trap.ndata"):
        load_image(tmp_path / "trap.ndata")
    formula = {"_sig_old": {"axes": [{"expression": f"open({str(trace)!r}, 'w')", "size": 1}]}}
    write_h5(tmp_path / "trap.h5", IMAGE, about(IMAGE, metadata=formula))
    with pytest.raises(ValueError, match="formula"):
        str(load_image(tmp_path / "trap.h5").original_metadata)
    assert not trace.exists()


@pytest.mark.parametrize(
    "damage", [{"metadata.json": "{"}, {"metadata.json": "[]"}, {"data.npy": ""}]
)
def test_a_damaged_ndata_is_a_clear_error(tmp_path, damage):
    path = tmp_path / "broken.ndata"
    write_ndata(path, IMAGE)
    with zipfile.ZipFile(path) as whole:
        parts = {name: whole.read(name) for name in whole.namelist()} | damage
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"broken\.ndata could not be read"):
        load_image(path)
