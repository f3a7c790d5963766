"""The truth of a simulated image: what is known of each column, and how a result is scored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

# The fields of a table after the positions.
KINDS = {"species": str, "site": str, "sign": int, "in_fault": bool, "odd": bool}
KINDS |= dict.fromkeys(["angle_rad", "thickness_nm", "boundary_px"], float)


@dataclass(frozen=True)
class Truth:
    """What is known of each of N simulated columns.

    Attributes
    ----------
    positions : (F, N, 2) float
        [row, column] in each frame, line jitter apart.
    species, site : (N,) str
        "Sr", "Fe" and "Sr1", "Sr2", "Fe".
    sign : (N,) int
        +1 where the rock-salt gap lies on the column's +c side, -1 on -c, 0 in mid-block.
    angle_rad : (N,) float
        Direction of the crystal's +c axis, counter-clockwise from the horizontal.
    thickness_nm : (N,) float
    in_fault, odd : (N,) bool
        In the n = 3 block; of changed intensity.
    boundary_px : (N,) float
        Distance to the next grain; infinite in a single crystal.
    """

    positions: np.ndarray
    species: np.ndarray
    site: np.ndarray
    sign: np.ndarray
    angle_rad: np.ndarray
    thickness_nm: np.ndarray
    in_fault: np.ndarray
    odd: np.ndarray
    boundary_px: np.ndarray

    def __len__(self) -> int:
        return self.positions.shape[1]

    def take(self, rows: np.ndarray) -> "Truth":
        """The truth of some of the columns (indices or a mask), in that order."""
        taken = {name: values[rows] for name, values in vars(self).items() if name != "positions"}
        return Truth(positions=self.positions[:, rows], **taken)


def match_columns(found, truth, *, within_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Pair found and true positions (N, 2), each used once, nearest first.

    Returns
    -------
    (P,) indices into `found` and (P,) indices into `truth`, ascending in the former.
    """
    distance, nearest = cKDTree(truth).query(found, distance_upper_bound=within_px)
    n_matched = np.isfinite(distance).sum()
    order = np.argsort(distance)[:n_matched]  # nearest first, unmatched last
    _, first = np.unique(nearest[order], return_index=True)
    pairs = np.sort(order[first])
    return pairs, nearest[pairs]


def load_truth(path: str | Path) -> Truth:
    """Read a table of the columns, as `data/recipes/make_sample.py` writes it."""
    table = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8", ndmin=1)
    n_frames = sum(name.startswith("row_") for name in table.dtype.names)
    frames = []
    for number in range(n_frames):
        place = [table[f"row_{number}"], table[f"col_{number}"]]
        frames.append(np.stack(place, axis=1))
    about = {name: table[name].astype(kind) for name, kind in KINDS.items()}
    return Truth(positions=np.array(frames, dtype=np.float64), **about)
