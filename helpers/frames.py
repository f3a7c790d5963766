"""Hundreds of frames: each is segmented, located and cut on its own, into a store on disk.

The mean of the aligned frames says which columns there are, and the segmentation of each frame,
which others come and stay for a while; a column keeps its number in every frame. A frame is one
task for Dask: its columns are fitted anew, cut out, and written as disk harmonics, a tenth of the
pixels. It counts as done only when all of it lies in the store, so that a run killed at any moment
goes on where it was. No more than one frame a worker is ever held.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import dask
import numpy as np
import zarr
from scipy.spatial import cKDTree

from .columns import LONE_SPACING_PX, locate_columns, refine_columns
from .device import one_thread, pick_device
from .drift import align_stack
from .harmonics import DiskHarmonics, data_band_limit
from .images import as_image, frames_of, median_spacing
from .maps import new_folder
from .peaks import probability_peaks
from .segmentation import COLUMNS
from .spacing import without_outliers
from .subimages import cut_subimages
from .unet import load_network, run_network
from .window import window_report

FORMAT = "rvae-stem-book frames 2"
SEGMENTED, DONE = "segmented", "done"  # the state of a frame: "" at first, or what is wrong with it
APART, SAME = 0.5, 0.25  # over the spacing: a column that is new, and one that is seen again
ROOM = 3  # for columns that a frame shows, over those of the mean
STAYS = 3  # frames on end that show a new column, if it is no fault of a noisy one
FRAMES_A_PASS = 8  # read at random for each pass of a training


def process_stack(
    signal, path, *, window_px: int | None = None, client=None, skip_damaged: bool = False,
    segment_frames: bool = True, progress: bool = True,
) -> "FrameStore":  # fmt: skip
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


def _each_frame(step, state: str, data, store: "FrameStore", client) -> None:
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


def _segment(store: "FrameStore", image: np.ndarray, number: int) -> str:
    """The columns that this frame shows, by itself."""
    network, group = load_network(COLUMNS, pick_device("auto")), store.group
    probability = run_network(network, without_outliers(image), group.attrs["spacing_px"])[0]
    found = probability_peaks(probability)[: group["peaks"].shape[1]]
    group["peaks"][number, : len(found)] = found
    return SEGMENTED


def _link(store: "FrameStore") -> None:
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


def _locate(store: "FrameStore", image: np.ndarray, number: int) -> str:
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
        """Arrays `positions` (F, N, 2), `sd` (F, N), `shifts` (F, 2), `state` (F,) …

        `seen` (F, N) says whether a frame by itself shows a column. The first columns are those of
        the mean, `reference`; all of them are `columns` (N, 2), in pixels of the mean.
        """
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
        return {number: state for number, state in states if state not in ("", SEGMENTED, DONE)}

    def lay_out(self, n_columns: int, **sizes: tuple) -> None:
        """New arrays (F, N, …), one chunk a frame, that are NaN until they are written."""
        for name, size in sizes.items():
            shape = len(self.group["state"]), n_columns, *size
            kind = "f4" if name == "coefficients" else "f8"
            options = {"chunks": (1, *shape[1:]), "dtype": kind, "overwrite": True}
            self.group.full(name, np.nan, shape=shape, **options)

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
        """Write what a model says of each column into `angle`, `kind` … (F, N), else NaN."""
        sizes = {"angle": (), "angle_sd": (), "residual": (), "kind": (), "order": ()}
        sizes["latent"] = (model.latent_dim,)
        self.lay_out(len(self.group["columns"]), **sizes)
        for number in self.frames:
            columns, coefficients = self.of_frame(number)
            encoding = model.encode(coefficients, normalization="model")
            for name in sizes:
                self.group[name].oindex[number, columns] = getattr(encoding, name)
