"""Read images of Nion Swift: an array, and beside it a JSON text with its calibrations.

A .ndata is a zip with data.npy and metadata.json. A .h5 holds the array as ``data``, a .nhdf
several of them in ``data``, each with its JSON as the attribute ``properties``.
"""

import json
import zipfile

import h5py
import numpy as np

LONGEST_METADATA = 2**26  # bytes


def file_reader(filename: str, lazy: bool = False) -> list[dict]:
    """Return one dictionary for each array, as the readers of RosettaSciIO do.

    Raises
    ------
    ValueError
        If the file is not laid out so.
    """
    if not h5py.is_hdf5(filename):
        return [_as_signal(*_from_zip(filename))]
    file = h5py.File(filename, "r")  # stays open if it is lazy
    data = file["data"]
    datasets = [data] if isinstance(data, h5py.Dataset) else [data[name] for name in data]
    signals = []
    for dataset in datasets:
        about = json.loads(dataset.attrs["properties"])
        signals.append(_as_signal(_values_of(dataset, lazy), about))
    if not lazy:
        file.close()
    return signals


def _from_zip(filename: str) -> tuple[np.ndarray, dict]:
    with zipfile.ZipFile(filename) as archive:
        with archive.open("data.npy") as values:
            data = np.lib.format.read_array(values, allow_pickle=False)
        if archive.getinfo("metadata.json").file_size > LONGEST_METADATA:
            raise ValueError("its metadata.json is too long to be one")
        return data, json.loads(archive.read("metadata.json"))


def _values_of(dataset: h5py.Dataset, lazy: bool):
    if not lazy:
        return dataset[()]
    import dask.array

    return dask.array.from_array(dataset, chunks=dataset.chunks or "auto")


def _as_signal(data, about: dict) -> dict:
    """The dictionary that HyperSpy makes a signal of."""
    whole = about
    for key in ("data_source", "data_sources"):  # where older versions keep it
        inside = whole.get(key)
        about = (inside[0] if isinstance(inside, list) else inside) or about
    given = about.get("dimensional_calibrations") or about.get("spatial_calibrations") or []
    if len(given) not in (0, data.ndim):
        raise ValueError(f"{len(given)} calibrations of an array of shape {data.shape}: in colour?")
    calibrations = given or [{}] * data.ndim
    names = _names_of(data.ndim, about)
    axes = []
    for size, name, calibration in zip(data.shape, names, calibrations, strict=True):
        axis = {"name": name, "size": size, "navigate": name not in ("x", "y")}
        axis["scale"] = calibration.get("scale") or 1.0
        axis["offset"] = calibration.get("offset") or 0.0
        axis["units"] = calibration.get("units") or ""
        axes.append(axis)
    title = str(whole.get("title") or "")
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": title}, "Signal": {"signal_type": ""}},
        "original_metadata": whole,
    }


def _names_of(count: int, about: dict) -> list[str]:
    """Names of the axes: frames of a sequence, places of a scan, and of the image y and x."""
    frames = ["time"] if about.get("is_sequence") else []
    datum = int(about.get("datum_dimension_count", min(count, 2)))
    image = ["y", "x"][-datum:]
    places = [f"scan {index}" for index in range(count - len(frames) - len(image))]
    return [*frames, *places, *image]
