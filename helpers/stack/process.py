"""Hundreds of frames: each is segmented, located and cut on its own, into a store on disk.

The mean of the aligned frames says which columns there are, and the segmentation of each frame,
which others come and stay for a while; a column keeps its number in every frame. A frame is one
task for Dask: its columns are fitted anew, cut out, and written as disk harmonics, a tenth of the
pixels. It counts as done only when all of it lies in the store, so that a run killed at any moment
goes on where it was. No more than one frame a worker is ever held.
"""

import hashlib
import warnings
from pathlib import Path

import dask
import numpy as np
import zarr
from scipy.spatial import cKDTree

from ..columns.locate import LONE_SPACING_PX, locate_columns, on_pixels, refine_columns
from ..columns.peaks import probability_peaks, values_at
from ..columns.segmentation import probability_of
from ..device import one_thread
from ..files.folder import new_folder
from ..images import as_image, frames_of, median_spacing, values_of
from ..subimages.cut import cut_subimages, inside_image
from ..subimages.harmonics import data_band_limit
from ..subimages.window import window_report
from .drift import align_stack
from .store import DONE, FORMAT, SEGMENTED, FrameStore

# Distances over the spacing: of a column that is new, and of one that is seen again.
APART = 0.5
SAME = 0.25
ROOM = 3  # for columns that a frame shows, over those of the mean
STAYS = 3  # frames on end that show a new column, if it is no fault of a noisy one


def process_stack(
    signal,
    path,
    *,
    window_px: int | None = None,
    client=None,
    skip_damaged: bool = False,
    segment_frames: bool = True,
    progress: bool = True,
) -> FrameStore:
    """Align a stack; segment, locate and cut every frame, into a store on disk.

    Called again after an interruption it goes on where it was. A frame that shows no whole window,
    as one that was recorded without a beam, is left out, and named in a warning and by the store.

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
        If `signal` is no stack, a frame is damaged and `skip_damaged` is False, or the store is of
        another stack.
    RuntimeError
        If a worker died, the disk is full, or a frame could not be read; what was done is kept.
    """
    data = _as_frames(signal)
    path = Path(path)
    with dask.config.set(scheduler="threads"), one_thread():  # but for what a client is given
        if not path.exists():
            _prepare(
                path,
                signal,
                window_px=window_px,
                skip_damaged=skip_damaged,
                segment_frames=segment_frames,
                progress=progress,
            )
        store = FrameStore(path)
        _require_same(store, data, window_px)
        _each_frame(_segment, "", data, store, client)
        _link(store)
        before = store.damaged.keys()
        _each_frame(_locate, SEGMENTED, data, store, client)
    _say_left_out(sorted(store.damaged.keys() - before))
    return store


def _say_left_out(frames: list[int]) -> None:
    """Warn of frames in which no column could be cut out."""
    if frames:
        message = (
            f"frames {frames} show no column with a whole window and were left out: "
            f"look at them; store.damaged names them too"
        )
        warnings.warn(message, stacklevel=3)


def _as_frames(signal):
    """The values (F, H, W) of a stack as they are; a ValueError if it is something else."""
    data = frames_of(signal)
    if data.ndim != 3 or len(data) == 0:
        message = (
            f"the stack has shape {data.shape}, but (F, H, W) is needed, F frames of one field: "
            f"load_image reads such a file, align_stack(stack) averages it; the columns of one "
            f"image are found by locate_columns(image)"
        )
        raise ValueError(message)
    return data


def _require_same(store: FrameStore, data, window_px: int | None) -> None:
    """A ValueError if the store is of another stack, or of windows of another size."""
    kept_px = store.group.attrs["window_px"]
    kept_mark = store.group.attrs["mark"]
    if kept_mark != _mark_of(data) or window_px not in (None, kept_px):
        message = (
            f"{store.path} holds another stack, or windows of {kept_px} px: "
            f"name another folder, or remove this one"
        )
        raise ValueError(message)


def _mark_of(data) -> str:
    """By which a store knows its stack again: shape and first frame."""
    values = values_of(data[0])
    first = np.ascontiguousarray(values)
    digest = hashlib.sha256(first).hexdigest()
    return f"{data.shape} {digest[:16]}"


def _prepare(
    path: Path,
    signal,
    *,
    window_px: int | None,
    skip_damaged: bool,
    segment_frames: bool,
    progress: bool,
) -> None:
    """Find the columns in the mean image, choose the window, and lay out an empty store."""
    mean, shifts = align_stack(signal, progress=progress, skip_damaged=skip_damaged)
    columns = locate_columns(mean)
    data = frames_of(signal)
    is_usable = np.isfinite(shifts[:, 0])
    first = np.flatnonzero(is_usable)[0]
    frame = as_image(data[first])  # as noisy as what is trained on
    settings = {"format": FORMAT, "mark": _mark_of(data)}
    settings |= _window_settings(frame, columns.positions + shifts[first], window_px)
    settings["spacing_px"] = median_spacing(columns.positions, LONE_SPACING_PX)
    state = np.full(len(shifts), "" if segment_frames else SEGMENTED, "U200")
    for number in np.flatnonzero(~is_usable):
        state[number] = _damage(data[number])
    most_peaks = ROOM * len(columns)
    peaks = {"shape": (len(shifts), most_peaks, 2), "chunks": (1, most_peaks, 2), "dtype": "f8"}
    with new_folder(path) as new:
        group = zarr.open_group(str(new), mode="a")
        group.attrs.update(settings)
        group.array("shifts", shifts)
        group.array("reference", columns.positions)
        group.array("state", state, chunks=1)
        group.full("peaks", np.nan, **peaks)


def _window_settings(frame: np.ndarray, places: np.ndarray, window_px: int | None) -> dict:
    """The window, chosen where it is not given, and the band limit of what it shows."""
    if not window_px:
        window_px = window_report(frame, places).recommended_px
    stack, _ = cut_subimages(frame, places, window_px)
    return {"window_px": window_px, "band_limit": data_band_limit(stack, window_px)}


def _damage(frame) -> str:
    """What is wrong with a frame that could not be aligned."""
    try:
        as_image(frame)
    except ValueError as error:
        return str(error)
    return "could not be aligned"


def _each_frame(step, state: str, data, store: FrameStore, client) -> None:
    """One task for each frame in a state."""
    todo = np.flatnonzero(store.group["state"][:] == state)
    run = dask.delayed(_step)
    path = str(store.path)
    tasks = [run(step, data[number], int(number), path) for number in todo]
    scheduler = client.get if client else "threads"
    try:
        dask.compute(*tasks, scheduler=scheduler)
    except Exception as error:
        left = np.sum(store.group["state"][:] == state)
        message = (
            f"stopped with {left} frames to do ({type(error).__name__}: {error}): "
            f"mend that and call again, what is done is kept"
        )
        raise RuntimeError(message) from error


def _step(step, frame, number: int, path: str) -> None:
    """Take one frame from a state to the next; the task of a worker."""
    store = FrameStore(path)
    image = as_image(frame)
    state = step(store, image, number)
    store.group["state"][number] = state  # last: each chunk before it is written whole or not


def _segment(store: FrameStore, image: np.ndarray, number: int) -> str:
    """The columns that this frame shows, by itself."""
    group = store.group
    probability = probability_of(image, group.attrs["spacing_px"])
    peaks = probability_peaks(probability)
    room = group["peaks"].shape[1]
    if len(peaks) > room:
        peaks = _most_probable(peaks, probability, room)
    group["peaks"][number, : len(peaks)] = peaks
    return SEGMENTED


def _most_probable(peaks: np.ndarray, probability: np.ndarray, count: int) -> np.ndarray:
    """As many of the peaks (N, 2) of a probability map (H, W) as `count`, in their order."""
    of_peak = values_at(probability, peaks)
    from_likeliest = np.argsort(-of_peak, kind="stable")
    kept = np.sort(from_likeliest[:count])
    return peaks[kept]


def _link(store: FrameStore) -> None:
    """Number the columns: those of the mean, then those that frames show several times on end."""
    group = store.group
    if "columns" in group.attrs:  # numbered by an earlier call
        return
    spacing_px = group.attrs["spacing_px"]
    shifts = group["shifts"][:]
    columns = group["reference"][:]
    recent = []  # of each of the last frames what it shows and no column accounts for
    for number in np.flatnonzero(group["state"][:] == SEGMENTED):
        shown = _peaks(group, number) - shifts[number]
        is_new = _distance(shown, columns) > APART * spacing_px
        new = shown[is_new]
        recent.append(new)
        recent = recent[-STAYS:]
        if len(recent) < STAYS:
            continue
        again = [_distance(new, others) < SAME * spacing_px for others in recent]
        stays = np.all(again, axis=0)
        columns = np.concatenate([columns, new[stays]])
    store.lay_out(
        len(columns),
        positions=(2,),
        sd=(),
        seen=(),
        coefficients=(len(store.basis),),
    )
    group.array("columns", columns, overwrite=True)
    group.attrs["columns"] = len(columns)  # last, as that all of this is there


def _peaks(group: zarr.Group, number: int) -> np.ndarray:
    """The places (P, 2) of the columns that a frame shows by itself, in its pixels."""
    peaks = group["peaks"][number]
    is_peak = np.isfinite(peaks[:, 0])
    return peaks[is_peak]


def _distance(places: np.ndarray, others: np.ndarray) -> np.ndarray:
    """From each place (N, 2) to the nearest of others, px; infinite where there is none."""
    distance_px, _ = cKDTree(others).query(places)
    return distance_px


def _locate(store: FrameStore, image: np.ndarray, number: int) -> str:
    """Fit all columns in one frame, and cut them out; what is wrong with it if none can be cut."""
    group = store.group
    basis = store.basis
    expected = group["columns"][:] + group["shifts"][number]
    # What is wrong with such a frame is its last state: no later run would find more in it.
    without = f"shows no column with a whole window of {basis.window_px} px"
    if not on_pixels(expected, image.shape).any():
        return without
    found = refine_columns(image, expected)
    failed = np.isnan(found.amplitude)
    places = np.where(failed[:, None], np.nan, found.positions)
    if len(inside_image(image.shape, places, basis.window_px)) == 0:
        return without
    stack, kept = cut_subimages(image, places, basis.window_px)
    group["positions"][number] = places
    group["sd"][number] = found.position_sd_px
    group["coefficients"].oindex[number, kept] = basis.project(stack)
    peaks = _peaks(group, number)
    apart_px = _distance(expected, peaks)
    group["seen"][number] = apart_px < SAME * group.attrs["spacing_px"]
    return DONE
