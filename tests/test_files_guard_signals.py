"""Nothing that stands in a file is run: formulas of axes are refused, packages are not imported."""

import json
import sys
import zipfile

import h5py
import make_files
import numpy as np
import pytest
from test_files_load import IMAGE, STACK, make_signal

from helpers import load_image

pytestmark = [  # of the libraries that write the test files
    pytest.mark.filterwarnings("ignore:Duplicate name"),
    pytest.mark.filterwarnings("ignore:The NestedDirectoryStore"),
]

AXIS = "Experiments/ADF/axis-0"
PLACES = {
    "axis": AXIS,
    "metadata, axes": "Experiments/ADF/metadata/Note/_hspy_AxesManager_of_old/axis-0",
    "metadata, axis": "Experiments/ADF/metadata/Note/_hspy_Axis_of_old",
    "metadata, signal": "Experiments/ADF/metadata/Note/_sig_old/axis-1",
    "metadata, list": "Experiments/ADF/metadata/_list_2_both/0/_sig_/axis-0",
    "original": "Experiments/ADF/original_metadata/deep/deeper/_sig_old/axis-0",
    "attributes": "Experiments/ADF/attributes/metadata/_sig_old/axis-0",
    "x of a formula": "Experiments/ADF/original_metadata/_sig_old/axis-0/x",
}


@pytest.fixture
def trace(tmp_path):
    """A file that appears if the formula of the test is run."""
    return tmp_path / "trace"


def formula_of(trace) -> str:
    return f"open({str(trace)!r}, 'w') and x"


def give_formula(group, place: str, trace) -> None:
    """Make an axis that is a formula, inside of a signal of its own where the place says so."""
    before, signal, _ = place.partition("_sig_")
    if signal:
        name = before + place[len(before) :].split("/")[0]
        group.require_group(name.rpartition("/")[0])
        # A copy through memory, since the new place lies inside of the old.
        axis = dict(group[AXIS].attrs)
        for inside in ("metadata", "original_metadata"):
            group.require_group(f"{name}/{inside}")
        group[f"{name}/data"] = IMAGE[:3, :3]
        for index in range(2):
            group.require_group(f"{name}/axis-{index}").attrs.update(axis | {"size": 3})
    axis = group.require_group(place).attrs
    for key in [key for key in axis if key == "_type"]:
        del axis[key]
    axis.update({"expression": formula_of(trace), "size": 18, "navigate": False})


@pytest.mark.parametrize("place", PLACES)
def test_no_formula_in_an_hspy_is_run(tmp_path, trace, place):
    path = tmp_path / "trap.hspy"
    make_signal(IMAGE).save(path)
    with h5py.File(path, "a") as file:
        give_formula(file, PLACES[place], trace)
    with pytest.raises(ValueError, match=r"trap\.hspy.*formula.*export a \.tif"):
        image = load_image(path)
        str(image.original_metadata)  # else an old one would be run only now
    assert not trace.exists()


@pytest.mark.parametrize("store", ["folder", "zip"])
@pytest.mark.parametrize("place", ["axis", "metadata, axis"])
def test_no_formula_in_a_zspy_is_run(tmp_path, trace, place, store):
    import zarr

    path = tmp_path / "trap.zspy"
    make_signal(IMAGE).save(path)
    with zarr.DirectoryStore(path) as folder:
        give_formula(zarr.open_group(folder), PLACES[place], trace)
    if store == "zip":
        folder, path = path, tmp_path / "zipped.zspy"
        with zipfile.ZipFile(path, "w") as archive:
            for part in sorted(folder.rglob("*")):
                archive.write(part, part.relative_to(folder))
    with pytest.raises(ValueError, match=r"\.zspy.*formula"):
        load_image(path)
    assert not trace.exists()


def test_no_formula_is_run_in_the_child_either(tmp_path, trace):
    path = tmp_path / "trap.hspy"
    make_signal(IMAGE).save(path)
    with h5py.File(path, "a") as file:
        give_formula(file, AXIS, trace)
    with pytest.raises(ValueError, match="formula"):
        load_image(path, untrusted=True)
    assert not trace.exists()


def test_no_formula_in_the_free_metadata_of_another_format_is_run(tmp_path, trace):
    path = tmp_path / "trap.emd"
    make_files.write_velox(path, [IMAGE])
    inside = {"data": [0], "axes": [{"expression": formula_of(trace), "size": 1}]}
    with h5py.File(path, "r+") as file:
        (image,) = file["Data/Image"].values()
        about = json.loads(image["Metadata"][:, 0].tobytes()) | {"_sig_old": inside}
        del image["Metadata"]
        image["Metadata"] = np.frombuffer(json.dumps(about).encode(), "u1")[:, None]
    with pytest.raises(ValueError, match=r"trap\.emd.*_sig_old.*formula"):
        str(load_image(path).original_metadata)
    assert not trace.exists()


@pytest.mark.parametrize("place", ["Experiments/ADF", "Experiments/ADF/metadata/_sig_old"])
def test_a_package_that_a_file_names_is_not_imported(tmp_path, trace, monkeypatch, place):
    (tmp_path / "package_of_a_file.py").write_text(f"open({str(trace)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "image.hspy"
    signal = make_signal(IMAGE)
    signal.metadata.old = make_signal(IMAGE[:5])
    signal.save(path)
    with h5py.File(path, "a") as file:
        file[place].attrs["package"] = "package_of_a_file"
        file[place].attrs["package_version"] = "1"
    np.testing.assert_array_equal(load_image(path).data, IMAGE)
    assert not trace.exists() and "package_of_a_file" not in sys.modules


@pytest.mark.parametrize("ending", ["hspy", "zspy"])
def test_what_hyperspy_writes_of_itself_is_read(tmp_path, ending):
    import hyperspy.api as hs

    signal = make_signal(STACK, title="grain 7")
    of_lists = {"texts": ["a", "bc", "µm"], "numbers": (1, 2.5), "empty": [], "mixed": [1, "b"]}
    of_others = {"none": None, "flag": True, "bytes": np.bytes_(b"raw"), "words": np.array(["a"])}
    signal.original_metadata.add_dictionary({"lists": of_lists, "others": {"deep": of_others}})
    signal.metadata.add_dictionary({"kept": {"table": np.arange(6.0).reshape(2, 3)}})
    signal.metadata.set_item("inside.other", make_signal(IMAGE[:4]))
    ragged = np.empty(3, dtype=object)
    for index in range(3):
        ragged[index] = np.ones((index + 1, 2))
    signal.add_marker(hs.plot.markers.Points(ragged), permanent=True, plot_marker=False)
    texts = hs.plot.markers.Texts([[1, 1]], texts=["here"])
    signal.add_marker(texts, permanent=True, plot_marker=False)
    signal.change_dtype("float64")
    signal.decomposition(print_info=False)
    path = tmp_path / f"rich.{ending}"
    signal.save(path)

    loaded = load_image(path)
    np.testing.assert_array_equal(loaded.data, STACK)
    assert loaded.metadata.General.title == "grain 7"
    lists = loaded.original_metadata.lists
    assert list(lists.texts) == ["a", "bc", "µm"] and list(lists.numbers) == [1, 2.5]
    assert loaded.original_metadata.others.deep.flag is True
    np.testing.assert_array_equal(loaded.metadata.inside.other.data, IMAGE[:4])
    np.testing.assert_array_equal(loaded.metadata.kept.table, [[0, 1, 2], [3, 4, 5]])
    assert set(loaded.metadata.Markers.keys()) == {"Points", "Texts"}
