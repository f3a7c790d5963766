"""The store on disk that holds what was found in each of hundreds of frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from ..rvae.reading import require_basis
from ..subimages.harmonics import DiskHarmonics

FORMAT = "rvae-stem-book frames 2"
# The state of a frame: "" at first, then one of these, or what is wrong with it.
SEGMENTED = "segmented"
DONE = "done"
FRAMES_A_PASS = 8  # read at random for each pass of a training


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
        """Coefficients (M, K) of a few frames drawn at random: what one pass of a training sees.

        ValueError if no frame is done.
        """
        frames = self.frames
        if len(frames) == 0:
            message = (
                f"no frame of {self.path} is done: call process_stack again with the same stack, "
                f"which goes on where it was; store.damaged says what is wrong with the "
                f"{len(self.damaged)} frames that were left out"
            )
            raise ValueError(message)
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(frames)[:FRAMES_A_PASS]
        coefficients = []
        for number in np.sort(drawn):
            _, of_frame = self.of_frame(number)
            coefficients.append(of_frame)
        return np.concatenate(coefficients)

    def encode(self, model) -> None:
        """Write what a model says of each column into `angle`, `kind` … (F, N), else NaN.

        ValueError if the model is of another window or band limit.
        """
        own = self.basis
        wished = (own.window_px, own.band_limit)
        require_basis(model.basis, "the model has", wished, "train an RVAE on this store")
        sizes = {
            "angle": (),
            "angle_sd": (),
            "residual": (),
            "kind": (),
            "order": (),
            "latent": (model.latent_dim,),
        }
        self.lay_out(len(self.group["columns"]), **sizes)
        for number in self.frames:
            columns, coefficients = self.of_frame(number)
            # Where no window lies inside the frame nothing can be said of it.
            if len(columns) == 0:
                continue
            encoding = model.encode(coefficients, normalization="model")
            for name in sizes:
                values = getattr(encoding, name)
                self.group[name].oindex[number, columns] = values
