"""Read a TIFF as RosettaSciIO does, and add what that leaves out of ImageJ's and OME's files.

ImageJ (Fiji) writes the unit of its pixel size, and names of slices, into the description; OME
writes the pixel size and the names of its channels there.
"""

from pathlib import Path

from .guard_paths import refuse_names_of_ome

_CHANNEL = "channel"
_OUR_NAMES = {"color|em-wavelength|channel": _CHANNEL, "None": ""}  # of RosettaSciIO's axes
_OME_SIZES = {"width": "PhysicalSizeX", "height": "PhysicalSizeY"}
_OME_UNIT = "\N{MICRO SIGN}m"  # where none is given


def file_reader(filename: str, lazy: bool = False) -> list[dict]:
    """Return one dictionary for each series of images, as the readers of RosettaSciIO do.

    Raises
    ------
    Refused
        If the file takes images from others that lie elsewhere.
    """
    from rsciio import tiff
    from tifffile import TiffFile

    # A series in many files (NDTiff) is named by an index beside it, with whatever paths.
    only_this = {"is_ndtiff": False}
    with TiffFile(filename, **only_this) as file:
        if file.is_ome:
            refuse_names_of_ome(Path(filename), file.ome_metadata)
        signals = tiff.file_reader(filename, lazy=lazy, **only_this)
        for signal in signals:
            for axis in signal["axes"]:
                axis["name"] = _OUR_NAMES.get(axis["name"], axis["name"])
        if file.is_imagej and not file.is_ome:
            _add_imagej(signals, file.imagej_metadata)
        if file.is_ome:
            _add_ome(signals, file.ome_metadata)
    return signals


def _add_imagej(signals: list[dict], about: dict) -> None:
    """The unit of rows and columns, and the names of channels, as ImageJ wrote them."""
    for signal in signals:
        for axis in signal["axes"]:
            # HyperSpy's own files say it in a tag as well, and that is read.
            if axis["name"] in _OME_SIZES and not axis["units"]:
                axis["units"] = about.get("unit")
        _name_channels(signal, about.get("Labels", []))


def _add_ome(signals: list[dict], description: str) -> None:
    """The size of rows and columns, and the names of channels, of one OME image each."""
    from tifffile import xml2dict

    images = _as_list(xml2dict(description)["OME"].get("Image"))
    if len(images) != len(signals):
        return
    for signal, image in zip(signals, images, strict=True):
        pixels = image["Pixels"]
        for axis in signal["axes"]:
            size = _OME_SIZES.get(axis["name"])
            if size in pixels:
                axis["scale"] = float(pixels[size])
                axis["units"] = str(pixels.get(f"{size}Unit", _OME_UNIT))
        channels = _as_list(pixels.get("Channel"))
        _name_channels(signal, [channel.get("Name", "") for channel in channels])


def _name_channels(signal: dict, names: list) -> None:
    """Keep the names of the channels where there is one for each."""
    for axis in signal["axes"]:
        if axis["name"] == _CHANNEL and axis["size"] == len(names):
            signal["metadata"]["Rvae_stem"] = {"channels": [str(name) for name in names]}


def _as_list(value) -> list:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
