"""Find the weights by which the confidence of a column follows from its map and its fit.

    python data/calibrate_confidence.py [--images 400]

Draws images of training_images.py with seeds that no network was trained on, locates their columns
as a user would, and fits a logistic regression to whether each is real. The three numbers that it
prints are CONFIDENCE in helpers/columns.py. Minutes on one thread.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy import optimize, special
from training_images import draw_image

from helpers import columns, segment
from helpers.peaks import probability_peaks
from helpers.simulate.truth import match_columns

FIRST_SEED = 3_000_000
WITHIN = 0.3  # of the spacing


def judged(count: int) -> tuple[np.ndarray, np.ndarray]:
    """What the confidence is made of (N, 3), constant first, and whether a column is there (N,)."""
    terms, real = [], []
    measure = columns.confidence_terms

    def listen(*fitted):
        terms.append(measure(*fitted))
        return terms[-1]

    columns.confidence_terms = listen
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        image, truth, spacing = draw_image(np.random.default_rng(seed))
        probability = segment(image, progress=False)
        peaks = probability_peaks(probability)
        if len(peaks) < 2:
            continue
        columns.locate_columns(image, probability)
        pairs = match_columns(peaks, truth[:, :2], within_px=WITHIN * spacing)[0]
        real.append(np.isin(np.arange(len(peaks)), pairs))
    return np.concatenate(terms), np.concatenate(real)


def fit(terms: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Weights (3,) of the logistic regression."""
    sign = np.where(real, 1.0, -1.0)

    def loss(weights):
        return -special.log_expit(sign * (terms @ weights)).mean()

    return optimize.minimize(loss, np.array([0.0, 1.0, 0.5])).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # some of the images hold no lattice
    terms, real = judged(options.images)
    weights = fit(terms, real)
    print(f"{len(real)} columns, {real.mean():.1%} of them real")
    print("CONFIDENCE =", tuple(round(float(w), 3) for w in weights))
    stated = special.expit(terms @ weights)
    for low, high in ((0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.98), (0.98, 1)):
        here = (stated > low) & (stated <= high)
        print(f"  stated {stated[here].mean():.3f}, real {real[here].mean():.3f} ({here.sum()})")


if __name__ == "__main__":
    main()
