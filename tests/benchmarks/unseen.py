"""Lattices that the segmenter was never shown, drawn at any spacing, dose and background.

A column counts as found if a true one lies within 0.3 of the spacing; each is used once. Columns as
near as that to the border are left out, found or true: they may truly lie just outside, or the
other way round. Programs that do not report columns near the border can be given a wider one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers.simulate.lattices import HEXAGONAL, crystal, nearest_distance, render_columns
from helpers.simulate.truth import match_columns

WITHIN = 0.3  # of the spacing
STRONTIUM, IRON = (0.0, 0.183, 0.317), 0.0972  # heights along c, and the same from c/2 on
LAYERS = [*((z, 1.0) for z in STRONTIUM), (IRON, 0.55), (0.5 - IRON, 0.55)]
LATTICES = {  # cell vectors, one a row; then x, y in fractions of them and the height of each site
    "Sr3Fe2O7 [110]": (
        np.diag([0.385 / np.sqrt(2), 2.015]),
        [(0, (z + half) % 1, height) for z, height in LAYERS for half in (0, 0.5)],
    ),
    "GaAs [110]": (
        np.diag([1, np.sqrt(2)]),
        [(0, 0, 1), (0, 0.25, 0.88), (0.5, 0.5, 1), (0.5, 0.75, 0.88)],
    ),
    "kagome": (2 * HEXAGONAL, [(0, 0, 1), (0.5, 0, 1), (0, 0.5, 1)]),
    "hcp [0001]": (HEXAGONAL, [(0, 0, 1), (1 / 3, 1 / 3, 1)]),
}


@dataclass(frozen=True)
class Case:
    """An image (H, W) in counts with the true positions (N, 2) of its columns."""

    image: np.ndarray
    truth: np.ndarray
    spacing_px: float


def unseen_image(
    name: str, *, spacing_px: float, counts: float, background: float, width: float = 0.22, seed=0
) -> Case:
    """A perfect crystal in shot noise, at least 14 spacings and 128 px wide, at a random angle.

    `counts` is the mean at the tallest peak above the background, `background` a multiple of it,
    `width` the sigma of a column over the distance of the nearest columns, `spacing_px`.
    """
    rng = np.random.default_rng(seed)
    vectors, sites = LATTICES[name][0], np.array(LATTICES[name][1], dtype=float)
    vectors = vectors * spacing_px / nearest_distance(vectors, sites[:, :2])
    side = int(max(128, 14 * spacing_px))
    columns = crystal(vectors, sites, rng.uniform(-np.pi, np.pi), (side, side))
    truth = columns[:, :2] + rng.uniform(0, 1, 2)
    clean = render_columns((side, side), truth, columns[:, 2], width * spacing_px) + background
    return Case(rng.poisson(counts * clean).astype(np.float32), truth, spacing_px)


def score(found, case: Case, *, border: float = WITHIN) -> dict[str, float]:
    """F1, precision, recall, and the rms error of the found ones along one axis, in pixels.

    `border`, what is left out at each side, is in units of the spacing.
    """
    found, margin = np.reshape(found, (-1, 2)), border * case.spacing_px
    inner = np.array(case.image.shape) - 1 - margin
    pairs, partners = match_columns(found, case.truth, within_px=WITHIN * case.spacing_px)
    here, there = (
        ((places >= margin) & (places <= inner)).all(axis=1) for places in (found, case.truth)
    )
    precision = here[pairs].sum() / max(here.sum(), 1)
    recall = there[partners].sum() / max(there.sum(), 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    off = (found[pairs] - case.truth[partners])[here[pairs]]
    rms = float(np.sqrt(np.mean(off**2))) if len(off) else np.nan
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall), "rms_px": rms}
