"""An image in the making, and the chances that befall it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass
class Drawing:
    """An image in the making: lengths in its own pixels, heights in units of the tallest peak.

    `columns` is (N, 4): row, column, amplitude, and whether it is of the light sublattice;
    `another_grain` makes the columns of the same crystal in another direction.
    """

    rng: np.random.Generator
    shape: tuple[int, int]
    spacing_px: float
    columns: np.ndarray
    another_grain: Callable[[], np.ndarray]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def how_often(self, probability: float, low: int, high: int) -> int:
        """From `low` to `high` - 1 times with this probability, else never."""
        if self.chance(probability):
            return self.rng.integers(low, high)
        return 0

    def centred(self, positions: np.ndarray) -> np.ndarray:
        """Positions from -1/2 to 1/2 across the image."""
        return positions / np.array(self.shape) - 0.5

    def direction(self) -> np.ndarray:
        angle = self.rng.uniform(-np.pi, np.pi)
        return np.array([np.sin(angle), np.cos(angle)])
