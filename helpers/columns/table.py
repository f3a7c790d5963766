"""The table of located columns."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

NAMES = (
    "row_px",
    "col_px",
    "amplitude",
    "sigma_px",
    "background",
    "position_sd_px",
    "probability",
)
CSV_HEADER = ",".join(NAMES)
FORMER_NAMES = {"row_px": "row", "col_px": "col"}  # by which a file may call a place as well


@dataclass(frozen=True)
class Columns:
    """Table of N located atomic columns.

    Attributes
    ----------
    positions : (N, 2) float64
        [row, column] in pixels, pixel centres at integers.
    amplitude, background : (N,) float64
        Height of the Gaussian and level under it, in units of the image.
    sigma_px : (N,) float64
        Standard deviation of the Gaussian.
    position_sd_px : (N,) float64
        Standard error of the position along one axis.
    probability : (N,) float64
        Confidence that there is a column: of all columns with 0.8, four in five are real. It
        follows from the probability map at its peak.

    Where a fit failed, the position is the peak of the probability map, `position_sd_px` is large,
    and amplitude, sigma and background are NaN.
    """

    positions: np.ndarray
    amplitude: np.ndarray
    sigma_px: np.ndarray
    background: np.ndarray
    position_sd_px: np.ndarray
    probability: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        if len(self) == 0:
            return "<Columns: none>"
        precision = f"positions within {np.median(self.position_sd_px):.2f} px (median)"
        failed = np.isnan(self.amplitude).sum()
        if failed:
            return f"<Columns: {len(self)}, {precision}, {failed} not fitted>"
        return f"<Columns: {len(self)}, {precision}>"

    def __getitem__(self, which) -> "Columns":
        """Some of the columns, by a mask, a slice or an array of indices."""
        chosen = [getattr(self, field.name)[which] for field in fields(self)]
        return Columns(*chosen)

    def save(self, path: str | Path) -> Path:
        """Write a CSV table, one row a column, and return its path."""
        return write_table(path, named_numbers(self))

    @classmethod
    def load(cls, path: str | Path) -> "Columns":
        """Read a table written by `save` or `save_results`, of which the rest is passed over.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not such a table.
        """
        header, _, rows = Path(path).read_text(encoding="utf-8").partition("\n")
        which = _columns_of_file(header)
        if which is None:
            raise ValueError(f"{path} begins {header[:80]!r}, but {CSV_HEADER!r} is needed")
        try:
            table = _numbers(rows, which, count=header.count(",") + 1)
        except ValueError as error:
            raise ValueError(f"{path} is not a table of columns: {error}") from None
        return cls(table[:, :2], *table[:, 2:].T)


def named_numbers(columns: Columns) -> dict[str, np.ndarray]:
    """The numbers (N,) of the columns, by the names that they have in a file."""
    row_px, col_px = columns.positions.T
    named = {"row_px": row_px, "col_px": col_px}
    for name in NAMES[2:]:
        named[name] = getattr(columns, name)
    return named


def write_table(path: str | Path, named: dict[str, np.ndarray]) -> Path:
    """Write numbers (N,) under their names into a CSV table, to eight digits; return its path."""
    numbers = list(named.values())
    table = np.column_stack(numbers)
    header = ",".join(named)
    np.savetxt(path, table, fmt="%.8g", delimiter=",", header=header, comments="")
    return Path(path)


def _columns_of_file(header: str) -> list[int] | None:
    """At which place in the header of a file each name of ours stands; None if one is missing."""
    names = header.split(",")
    which = []
    for name in NAMES:
        former = FORMER_NAMES.get(name, name)
        if name in names:
            which.append(names.index(name))
        elif former in names:
            which.append(names.index(former))
        else:
            return None
    return which


def _numbers(rows: str, which: list[int], count: int) -> np.ndarray:
    """Some of the `count` values in each row (N, which); a ValueError unless they are numbers."""
    chosen = []
    for row in csv.reader(rows.split("\n")):
        if not row:  # a blank line
            continue
        if len(row) != count:
            raise ValueError(f"a row has {len(row)} values, but the header names {count}")
        chosen.append([row[place] for place in which])
    return np.array(chosen, dtype=float).reshape(-1, len(which))
