"""Hundreds of frames: each is segmented, located and cut on its own, into a store on disk.

The mean of the aligned frames says which columns there are, and the segmentation of each frame,
which others come and stay for a while; a column keeps its number in every frame. A frame is one
task for Dask: its columns are fitted anew, cut out, and written as disk harmonics, a tenth of the
pixels. It counts as done only when all of it lies in the store, so that a run killed at any moment
goes on where it was. No more than one frame a worker is ever held.
"""

import hashlib
from pathlib import Path

import dask
import numpy as np
import zarr
from scipy.spatial import cKDTree

from ..columns.locate import LONE_SPACING_PX, locate_columns, refine_columns
from ..columns.peaks import probability_peaks
from ..columns.segmentation import COLUMNS
from ..columns.spacing import without_outliers
from ..columns.unet import load_network, run_network
from ..device import one_thread, pick_device
from ..files.folder import new_folder
from ..images import as_image, frames_of, median_spacing
from ..subimages.cut import cut_subimages
from ..subimages.harmonics import data_band_limit
from ..subimages.window import window_report
from .drift import align_stack
from .store import DONE, FORMAT, SEGMENTED, FrameStore

APART, SAME = 0.5, 0.25  # over the spacing: a column that is new, and one that is seen again
ROOM = 3  # for columns that a frame shows, over those of the mean
STAYS = 3  # frames on end that show a new column, if it is no fault of a noisy one


def process_stack(
    signal, path, *, window_px: int | None = None, client=None, skip_damaged: bool = False,
    segment_frames: bool = True, progress: bool = True,
) -> FrameStore:  # fmt: skip
    """Align a stack; segment, locate and cut every frame, into a store on disk.

    Called again after an interruption it goes on where it was.

    Parameters
    ----------
    signal : hyperspy Signal2D or (F, H, W) array, lazy or not
    path : str or pathlib.Path of the Zarr store, a folder
    window_px : int, optional
        By default what `window_report` recommends for the first frame.
    client : dask.distributed.Client, optional
        Its workers must see the same folder. By default threads of this process.
    skip_damaged : bool
        Go on without frames that are constant or miss over 1 % of their pixels; the store names
        them. By default the first one ends the run.
    segment_frames : bool
        Look in each frame for columns that the mean does not show. False saves nearly half of the
        time that a frame takes, for a specimen that stays as it is.

    Raises
    ------
    ValueError
        If a frame is damaged and `skip_damaged` is False, or the store is of another stack.
    RuntimeError
        If a worker died, the disk is full, or a frame could not be read; what was done is kept.
    """
    data, path = frames_of(signal), Path(path)
    with dask.config.set(scheduler="threads"), one_thread():  # but for what a client is given
        if not path.exists():
            _prepare(path, signal, window_px, skip_damaged, segment_frames, progress)
        store = FrameStore(path)
        size = store.group.attrs["window_px"]
        if store.group.attrs["mark"] != _mark_of(data) or window_px not in (None, size):
            has = f"{path} holds another stack, or windows of {size} px"
            raise ValueError(f"{has}: name another folder, or remove this one")
        _each_frame(_segment, "", data, store, client)
        if "columns" not in store.group.attrs:
            _link(store)
        _each_frame(_locate, SEGMENTED, data, store, client)
    return store


def _mark_of(data) -> str:
    """By which a store knows its stack again: shape and first frame."""
    return f"{data.shape} {hashlib.sha256(np.ascontiguousarray(data[0])).hexdigest()[:16]}"


def _prepare(path: Path, signal, window_px, skip_damaged, segment_frames, progress) -> None:
    """Find the columns in the mean image, choose the window, and lay out an empty store."""
    mean, shifts = align_stack(signal, progress=progress, skip_damaged=skip_damaged)
    columns, data = locate_columns(mean), frames_of(signal)
    first = np.flatnonzero(np.isfinite(shifts[:, 0]))[0]  # as noisy as what is trained on
    frame, places = as_image(np.asarray(data[first])), columns.positions + shifts[first]
    window_px = window_px or window_report(frame, places).recommended_px
    stack, _ = cut_subimages(frame, places, window_px)
    settings = {"window_px": window_px, "band_limit": data_band_limit(stack, window_px)}
    settings["spacing_px"] = median_spacing(columns.positions, LONE_SPACING_PX)
    with new_folder(path) as new:
        group = zarr.open_group(str(new), mode="a")
        group.attrs.update(format=FORMAT, mark=_mark_of(data), **settings)
        group.array("shifts", shifts)
        group.array("reference", columns.positions)
        state = np.full(len(shifts), "" if segment_frames else SEGMENTED, "U200")
        for number in np.flatnonzero(np.isnan(shifts[:, 0])):
            state[number] = _damage(data[number])
        group.array("state", state, chunks=1)
        room = len(shifts), ROOM * len(columns), 2
        group.full("peaks", np.nan, shape=room, chunks=(1, *room[1:]), dtype="f8")


def _damage(frame) -> str:
    """What is wrong with a frame that could not be aligned."""
    try:
        as_image(np.asarray(frame))
    except ValueError as error:
        return str(error)
    return "could not be aligned"


def _each_frame(step, state: str, data, store: FrameStore, client) -> None:
    """One task for each frame in a state."""
    todo, run = np.flatnonzero(store.group["state"][:] == state), dask.delayed(_step)
    tasks = [run(step, data[n], int(n), str(store.path)) for n in todo]
    try:
        dask.compute(*tasks, scheduler=client.get if client else "threads")
    except Exception as error:
        left = np.sum(store.group["state"][:] == state)
        fault = f"stopped with {left} frames to do ({type(error).__name__}: {error})"
        raise RuntimeError(f"{fault}: mend that and call again, what is done is kept") from error


def _step(step, frame, number: int, path: str) -> None:
    """Take one frame from a state to the next; the task of a worker."""
    store = FrameStore(path)
    state = step(store, as_image(np.asarray(frame)), number)
    store.group["state"][number] = state  # last: each chunk before it is written whole or not


def _segment(store: FrameStore, image: np.ndarray, number: int) -> str:
    """The columns that this frame shows, by itself."""
    network, group = load_network(COLUMNS, pick_device("auto")), store.group
    probability = run_network(network, without_outliers(image), group.attrs["spacing_px"])[0]
    found = probability_peaks(probability)[: group["peaks"].shape[1]]
    group["peaks"][number, : len(found)] = found
    return SEGMENTED


def _link(store: FrameStore) -> None:
    """Number the columns: those of the mean, then those that frames show several times on end."""
    group, spacing, recent = store.group, store.group.attrs["spacing_px"], []
    shifts, columns = group["shifts"][:], group["reference"][:]
    for number in np.flatnonzero(group["state"][:] == SEGMENTED):
        shown = _peaks(group, number) - shifts[number]
        recent = [*recent[1 - STAYS :], shown[_distance(shown, columns) > APART * spacing]]
        again = [_distance(recent[-1], others) < SAME * spacing for others in recent]
        if len(recent) == STAYS:
            columns = np.concatenate([columns, recent[-1][np.all(again, axis=0)]])
    store.lay_out(len(columns), positions=(2,), sd=(), seen=(), coefficients=(len(store.basis),))
    group.array("columns", columns, overwrite=True)
    group.attrs["columns"] = len(columns)  # last, as that all of this is there


def _peaks(group: zarr.Group, number: int) -> np.ndarray:
    peaks = group["peaks"][number]
    return peaks[np.isfinite(peaks[:, 0])]


def _distance(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From each place (N, 2) to the nearest of others, px; infinite where there is none."""
    return cKDTree(others).query(places)[0]


def _locate(store: FrameStore, image: np.ndarray, number: int) -> str:
    """Fit all columns in one frame, and cut them out."""
    group, basis = store.group, store.basis
    expected = group["columns"][:] + group["shifts"][number]
    found = refine_columns(image, expected)
    places = np.where(np.isnan(found.amplitude)[:, None], np.nan, found.positions)
    stack, kept = cut_subimages(image, places, basis.window_px)
    group["positions"][number], group["sd"][number] = places, found.position_sd_px
    group["coefficients"].oindex[number, kept] = basis.project(stack)
    apart = _distance(expected, _peaks(group, number))
    group["seen"][number] = apart < SAME * group.attrs["spacing_px"]
    return DONE
