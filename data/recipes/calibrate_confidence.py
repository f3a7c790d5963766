"""Find the weights by which the confidence of a column follows from the map at its peak.

    python data/recipes/calibrate_confidence.py [--images 400]

Draws images of training_images.py with seeds that no network was trained on, segments and locates
as a user would, and fits a logistic regression, quadratic in the logit of the map, to whether each
column found is there. The three numbers that it prints are CONFIDENCE in
helpers/columns/confidence.py. Two minutes on one thread.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy import optimize, special
from scipy.spatial import cKDTree

from helpers import locate_columns, segment
from helpers.columns.peaks import probability_peaks
from helpers.simulate.training_images import draw_image
from helpers.simulate.truth import match_columns

FIRST_SEED = 3_000_000
WITHIN = 0.3  # of the spacing
RANGES = ((0.5, 0.8), (0.8, 0.9), (0.9, 0.98), (0.98, 1))  # of the stated confidence


def judged(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logit of the map at each of N columns found (N,), and whether it is there (N,)."""
    seen = []
    real = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        rng = np.random.default_rng(seed)
        image, truth, spacing_px = draw_image(rng)
        probability = segment(image, progress=False)
        found = locate_columns(image, probability)
        if len(found) == 0 or len(truth) == 0:
            continue
        peaks = probability_peaks(probability)  # a fit starts there and may end off it
        _, nearest = cKDTree(peaks).query(found.positions)
        rows, cols = np.rint(peaks[nearest]).astype(int).T
        seen.append(probability[rows, cols])
        limit_px = WITHIN * spacing_px
        matched, _ = match_columns(found.positions, truth[:, :2], within_px=limit_px)
        is_real = np.isin(np.arange(len(found)), matched)
        real.append(is_real)
    at_peaks = np.clip(np.concatenate(seen), 1e-3, 0.999)
    return special.logit(at_peaks), np.concatenate(real)


def confidence(weights: np.ndarray, seen: np.ndarray) -> np.ndarray:
    logit = weights[0] + weights[1] * seen + weights[2] * seen**2
    return special.expit(logit)


def fit(seen: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The three weights of the regression."""

    def loss(weights):
        if_real = confidence(weights, seen)
        if_not = confidence(-weights, seen)
        right = np.where(real, if_real, if_not)
        return -np.log(right).mean()

    start = np.array([0.0, 1.0, 0.0])
    result = optimize.minimize(loss, start)
    return result.x


def main() -> None:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # some of the images hold no lattice
    seen, real = judged(options.images)
    weights = fit(seen, real)
    print(f"{len(real)} columns, {real.mean():.1%} of them real")
    rounded = tuple(round(float(weight), 3) for weight in weights)
    print("CONFIDENCE =", rounded)
    stated = confidence(weights, seen)
    for low, high in RANGES:
        here = (stated > low) & (stated <= high)
        mean_stated = stated[here].mean()
        mean_real = real[here].mean()
        print(f"  stated {mean_stated:.3f}, real {mean_real:.3f} ({here.sum()})")


if __name__ == "__main__":
    main()
