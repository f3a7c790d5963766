"""The table of located columns."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

CSV_HEADER = "row,col,amplitude,sigma_px,background,position_sd_px,probability"


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
        return f"<Columns: {len(self)}, {precision}{f', {failed} not fitted' if failed else ''}>"

    def __getitem__(self, which) -> "Columns":
        """Some of the columns, by a mask, a slice or an array of indices."""
        return Columns(*(getattr(self, field.name)[which] for field in fields(self)))

    def save(self, path: str | Path) -> Path:
        """Write a CSV table, one row a column, and return its path."""
        table = np.column_stack([getattr(self, field.name) for field in fields(self)])
        np.savetxt(path, table, fmt="%.8g", delimiter=",", header=CSV_HEADER, comments="")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Columns":
        """Read a table written by `save`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not such a table.
        """
        header, _, rows = Path(path).read_text(encoding="utf-8").partition("\n")
        if header != CSV_HEADER:
            raise ValueError(f"{path} begins {header[:80]!r}, but {CSV_HEADER!r} is needed")
        try:
            table = np.array([row.split(",") for row in rows.split()], dtype=float).reshape(-1, 7)
        except ValueError as error:
            raise ValueError(f"{path} is not a table of columns: {error}") from None
        return cls(table[:, :2], *table[:, 2:].T)
