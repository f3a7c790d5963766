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


def judged(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logit of the map at each of N columns found (N,), and whether it is there (N,)."""
    seen, real = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        image, truth, spacing = draw_image(np.random.default_rng(seed))
        probability = segment(image, progress=False)
        found = locate_columns(image, probability)
        if len(found) == 0 or len(truth) == 0:
            continue
        peaks = probability_peaks(probability)  # a fit starts there and may end off it
        start = peaks[cKDTree(peaks).query(found.positions)[1]]
        seen.append(probability[tuple(np.rint(start).astype(int).T)])
        pairs = match_columns(found.positions, truth[:, :2], within_px=WITHIN * spacing)[0]
        real.append(np.isin(np.arange(len(found)), pairs))
    return special.logit(np.clip(np.concatenate(seen), 1e-3, 0.999)), np.concatenate(real)


def confidence(weights: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return special.expit(weights[0] + weights[1] * seen + weights[2] * seen**2)


def fit(seen: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The three weights of the regression."""

    def loss(weights):
        right = np.where(real, confidence(weights, seen), confidence(-weights, seen))
        return -np.log(right).mean()

    return optimize.minimize(loss, np.array([0.0, 1.0, 0.0])).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # some of the images hold no lattice
    seen, real = judged(options.images)
    weights = fit(seen, real)
    print(f"{len(real)} columns, {real.mean():.1%} of them real")
    print("CONFIDENCE =", tuple(round(float(w), 3) for w in weights))
    stated = confidence(weights, seen)
    for low, high in ((0.5, 0.8), (0.8, 0.9), (0.9, 0.98), (0.98, 1)):
        here = (stated > low) & (stated <= high)
        print(f"  stated {stated[here].mean():.3f}, real {real[here].mean():.3f} ({here.sum()})")


if __name__ == "__main__":
    main()
