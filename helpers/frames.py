"""Hundreds of frames: each is located and cut on its own, into a store on disk.

The mean of the aligned frames says which columns there are; a column keeps its number in every
frame. A frame is one task for Dask: its columns are fitted anew, cut out, and written as disk
harmonics, a tenth of the pixels. It counts as done only when all of it lies in the store, so that a
run killed at any moment goes on where it was. No more than one frame a worker is ever held.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np
import zarr

from .columns import locate_columns, refine_columns
from .drift import align_stack
from .harmonics import DiskHarmonics, data_band_limit
from .images import as_image, frames_of
from .maps import new_folder
from .subimages import cut_subimages
from .window import window_report

FORMAT = "rvae-stem-book frames 1"
DONE = "done"  # the state of a frame: "" before, and what is wrong with one that is left out
FRAMES_A_PASS = 8  # read at random for each pass of a training


def process_stack(
    signal, path, *, window_px: int | None = None, client=None, skip_damaged: bool = False,
    progress: bool = True,
) -> "FrameStore":  # fmt: skip
    """Align a stack, and locate and cut the columns of every frame, into a store on disk.

    Called again after an interruption it goes on where it was.

    Parameters
    ----------
    signal : hyperspy Signal2D or (F, H, W) array, lazy or not
    path : str or pathlib.Path of the Zarr store, a folder
    window_px : int, optional
        By default what `window_report` recommends for the mean image.
    client : dask.distributed.Client, optional
        Its workers must see the same folder. By default threads of this process.
    skip_damaged : bool
        Go on without frames that are constant or miss over 1 % of their pixels; the store names
        them. By default the first one ends the run.

    Raises
    ------
    ValueError
        If a frame is damaged and `skip_damaged` is False, or the store is of another stack.
    RuntimeError
        If a worker died or the disk is full; what was done is kept.
    """
    data, path = frames_of(signal), Path(path)
    if not path.exists():
        _prepare(path, signal, window_px, skip_damaged, progress)
    store = FrameStore(path)
    size = store.basis.window_px
    if store.group.attrs["mark"] != _mark_of(data) or window_px not in (None, size):
        has = f"{path} holds another stack, or windows of {size} px"
        raise ValueError(f"{has}: name another folder, or remove this one")
    todo = np.flatnonzero(store.group["state"][:] == "")
    tasks = [dask.delayed(_process)(data[n], int(n), str(path), skip_damaged) for n in todo]
    try:
        dask.compute(*tasks, scheduler=client.get if client else "threads")
    except Exception as error:
        if isinstance(error, ValueError):  # a damaged frame, named
            raise
        left = np.sum(store.group["state"][:] == "")
        fault = f"stopped with {left} frames to do ({type(error).__name__}: {error})"
        raise RuntimeError(f"{fault}: mend that and call again, what is done is kept") from error
    return store


def _mark_of(data) -> str:
    """By which a store knows its stack again: shape and first frame."""
    return f"{data.shape} {hashlib.sha256(np.ascontiguousarray(data[0])).hexdigest()[:16]}"


def _prepare(path: Path, signal, window_px, skip_damaged: bool, progress: bool) -> None:
    """Find the columns in the mean image and lay out an empty store."""
    mean, shifts = align_stack(signal, progress=progress, skip_damaged=skip_damaged)
    columns = locate_columns(mean)
    window_px = window_px or window_report(mean, columns).recommended_px
    stack, _ = cut_subimages(mean, columns, window_px)
    basis = DiskHarmonics.build(window_px, data_band_limit(stack, window_px))
    arrays = (("positions", "f8", (2,)), ("sd", "f8", ()), ("coefficients", "f4", (len(basis),)))
    with new_folder(path) as new:
        group = zarr.open_group(str(new), mode="a")
        settings = {"window_px": window_px, "band_limit": basis.band_limit}
        group.attrs.update(format=FORMAT, mark=_mark_of(frames_of(signal)), **settings)
        group.array("shifts", shifts)
        group.array("reference", columns.positions)
        group.full("state", shape=len(shifts), chunks=1, dtype="U200", fill_value="")
        for name, dtype, size in arrays:
            shape = len(shifts), len(columns), *size
            group.full(name, np.nan, shape=shape, chunks=(1, *shape[1:]), dtype=dtype)


def _process(frame, number: int, path: str, skip_damaged: bool) -> None:
    """Locate and cut the columns of one frame; the task of a worker."""
    store = FrameStore(path)
    group, basis = store.group, store.basis
    try:
        image = as_image(np.asarray(frame))
    except ValueError as error:
        if not skip_damaged:
            raise ValueError(f"frame {number}: {error}; or pass skip_damaged=True") from error
        group["state"][number] = str(error)[:200]
        return
    found = refine_columns(image, group["reference"][:] + group["shifts"][number])
    places = np.where(np.isnan(found.amplitude)[:, None], np.nan, found.positions)
    coefficients = np.full(group["coefficients"].shape[1:], np.nan, np.float32)
    stack, kept = cut_subimages(image, places, basis.window_px)
    coefficients[kept] = basis.project(stack)
    group["positions"][number], group["sd"][number] = places, found.position_sd_px
    group["coefficients"][number] = coefficients
    group["state"][number] = DONE  # last: each chunk before it is written whole or not at all


@dataclass(frozen=True)
class FrameStore:
    """N columns in each of F frames, on disk.

    Attributes
    ----------
    path : str or pathlib.Path
    """

    path: str | Path

    def __post_init__(self):
        try:
            found = self.group.attrs["format"]
        except (KeyError, ValueError, OSError) as error:
            found = error
        if found != FORMAT:
            raise ValueError(f"{self.path} is no store of frames ({found}): see process_stack")

    @property
    def group(self) -> zarr.Group:
        """Arrays `positions` (F, N, 2), `sd` (F, N), `shifts` (F, 2), `state` (F,) …"""
        return zarr.open_group(str(self.path), mode="r+")

    @property
    def basis(self) -> DiskHarmonics:
        about = self.group.attrs
        return DiskHarmonics.build(about["window_px"], about["band_limit"])

    @property
    def frames(self) -> np.ndarray:
        """Numbers of the frames that are done, (D,)."""
        return np.flatnonzero(self.group["state"][:] == DONE)

    @property
    def damaged(self) -> dict[int, str]:
        """What is wrong with each frame that was left out."""
        states = enumerate(self.group["state"][:].tolist())
        return {number: state for number, state in states if state not in ("", DONE)}

    def of_frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns (M,) of a frame that have a whole window, and their coefficients (M, K)."""
        coefficients = self.group["coefficients"][number]
        columns = np.flatnonzero(np.isfinite(coefficients[:, 0]))
        return columns, coefficients[columns]

    def sample(self, seed) -> np.ndarray:
        """Coefficients (M, K) of a few frames drawn at random: what one pass of a training sees."""
        some = np.random.default_rng(seed).permutation(self.frames)[:FRAMES_A_PASS]
        return np.concatenate([self.of_frame(n)[1] for n in np.sort(some)])

    def encode(self, model) -> None:
        """Write what a model says of each column into `angle`, `latent` … (F, N), else NaN."""
        group, shape = self.group, self.group["sd"].shape
        sizes = {"angle": (), "angle_sd": (), "residual": (), "latent": (model.latent_dim,)}
        for name, size in sizes.items():
            options = {"shape": (*shape, *size), "chunks": (1, shape[1], *size), "overwrite": True}
            group.full(name, np.nan, dtype="f8", **options)
        for number in self.frames:
            columns, coefficients = self.of_frame(number)
            encoding = model.encode(coefficients, normalization="model")
            for name, size in sizes.items():
                values = np.full((shape[1], *size), np.nan)
                values[columns] = getattr(encoding, name)
                group[name][number] = values
