"""Write one small file of each microscope format, so that the readers can be tested without any."""

from __future__ import annotations

import json
import struct

import h5py
import numpy as np


def write_dm(path, image, *, scale=0.02, unit="nm", version=3, copies=1) -> None:
    """Gatan DigitalMicrograph 3 or 4, little-endian, float32."""
    word = ">q" if version == 4 else ">i"

    def group(tags: list[bytes], root=False) -> bytes:
        body = struct.pack(word, len(tags)) + b"".join(tags)
        size = struct.pack(">q", len(body)) if version == 4 and not root else b""
        return b"\x01\x00" + size + body

    def tag(kind: int, name: str, body: bytes) -> bytes:
        return struct.pack(">bh", kind, len(name)) + name.encode() + body

    def data(name: str, info: list[int], content: bytes) -> bytes:
        words = struct.pack(word, len(info)) + b"".join(struct.pack(word, i) for i in info)
        body = b"%%%%" + words + content
        size = struct.pack(">q", len(body)) if version == 4 else b""
        return tag(21, name, size + body)

    def folder(name: str, tags: list[bytes]) -> bytes:
        return tag(20, name, group(tags))

    def text(name: str, value: str) -> bytes:
        return data(name, [20, 4, len(value)], value.encode("utf-16-le"))

    def number(name: str, value: float) -> bytes:
        return data(name, [6], struct.pack("<f", value))

    def whole(name: str, value: int) -> bytes:
        return data(name, [5], struct.pack("<I", value))

    def calibration(name: str, unit: str) -> bytes:
        return folder(name, [number("Origin", 0), number("Scale", scale), text("Units", unit)])

    axes = folder("Dimension", [calibration("", unit) for _ in image.shape])
    pixels = data("Data", [20, 6, image.size], image.astype("<f4").tobytes())
    content = [
        folder("Calibrations", [calibration("Brightness", ""), axes]),
        pixels,
        whole("DataType", 2),
        folder("Dimensions", [whole("", n) for n in reversed(image.shape)]),
    ]
    images = [
        folder("", [folder("ImageData", content), folder("ImageTags", []), text("Name", f"im {i}")])
        for i in range(copies)
    ]
    root = group([folder("ImageList", images)], root=True)
    path.write_bytes(struct.pack(">i", version) + struct.pack(word, len(root)) + b"\0\0\0\1" + root)


def write_ser(path, image, *, scale_m=2e-11) -> None:
    """FEI TIA series with one float32 image, scale in metres."""
    start = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1)
    axis = struct.pack("<IddIII", 1, 0.0, 1.0, 0, 0, 0)
    table = len(start) + 8 + len(axis)
    header = start + struct.pack("<II", table, 1) + axis + struct.pack("<II", table + 8, 0)
    size = (0.0, scale_m, 0) * 2
    element = struct.pack("<ddIddIHII", *size, 7, image.shape[1], image.shape[0])
    time_tag = struct.pack("<HHI", 0x4152, 0, 0)
    path.write_bytes(header + element + image[::-1].astype("<f4").tobytes() + time_tag)


def write_emi(path, image) -> None:
    """FEI TIA .emi with its description, and the .ser beside it that holds the image."""
    write_ser(path.with_name(path.stem + "_1.ser"), image)
    about = "<ObjectInfo><ExperimentalDescription><Root></Root></ExperimentalDescription>"
    date = "<AcquireDate>Tue Mar 07 10:00:00 2023</AcquireDate></ObjectInfo>"
    path.write_bytes(b"JB" + (about + date).encode() + b"\r\n")


def write_mrc(path, image, *, size_angstrom=0.2) -> None:
    """MRC with a standard header, float32, an image or a stack."""
    frames = image.reshape(-1, *image.shape[-2:])
    counts = frames.shape[::-1]  # columns, rows, frames
    header = struct.pack("<4i3i3i", *counts, 2, 0, 0, 0, *counts)
    header += struct.pack("<6f", *(size_angstrom * n for n in counts), 90, 90, 90)
    header += struct.pack("<3i", 1, 2, 3)
    header = header.ljust(208, b"\0") + b"MAP \x44\x44\0\0"
    path.write_bytes(header.ljust(1024, b"\0") + frames.astype("<f4").tobytes())


def write_velox(path, images, *, scale_m=2e-11) -> None:
    """Velox EMD, one signal for each image (H, W) or (F, H, W)."""
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "1.0"}).encode()
        file["Version"] = np.array([version], dtype=h5py.string_dtype())
        size = {"width": str(scale_m), "height": str(scale_m)}
        for index, image in enumerate(images):
            frames = image.reshape(-1, *image.shape[-2:])
            about = {
                "Core": {"MetadataDefinitionVersion": "7.9"},
                "Instrument": {"InstrumentModel": "none"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
                "Optics": {"AccelerationVoltage": "200000"},
                "Scan": {"FrameTime": "1.0"},
                "Stage": {"Position": {"x": "0", "y": "0", "z": "0"}},
                "Detectors": {"Detector-0": {"DetectorName": f"HAADF{index}"}},
                "BinaryResult": {
                    "PixelSize": size,
                    "Offset": {"x": "0", "y": "0"},
                    "PixelUnitX": "m",
                    "PixelUnitY": "m",
                    "Detector": f"HAADF{index}",
                    "DetectorIndex": "0",
                },
            }
            letters = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
            group = file.create_group(f"Data/Image/{index:032x}")
            values = np.moveaxis(frames, 0, -1)  # (rows, columns, frames)
            group.create_dataset("Data", data=values, chunks=(*image.shape[-2:], 1))
            group["Metadata"] = np.repeat(letters[:, None], len(frames), axis=1)
