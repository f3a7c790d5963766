"""Find the weights by which the confidence of a column follows from the map at its peak.

    python data/calibrate_confidence.py [--images 400]

Draws images of training_images.py with seeds that no network was trained on, segments them as a
user would, and fits a logistic regression to whether a column is at each peak. The two numbers that
it prints are CONFIDENCE in helpers/columns.py. Minutes on one thread.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy import optimize, special
from training_images import draw_image

from helpers import segment
from helpers.peaks import probability_peaks
from helpers.simulate.truth import match_columns

FIRST_SEED = 3_000_000
WITHIN = 0.3  # of the spacing


def judged(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Logit of the map at each of N peaks (N,), and whether a column is there (N,)."""
    seen, real = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        image, truth, spacing = draw_image(np.random.default_rng(seed))
        probability = segment(image, progress=False)
        peaks = probability_peaks(probability)
        if len(peaks) < 2:
            continue
        seen.append(probability[tuple(np.rint(peaks).astype(int).T)])
        pairs = match_columns(peaks, truth[:, :2], within_px=WITHIN * spacing)[0]
        real.append(np.isin(np.arange(len(peaks)), pairs))
    return special.logit(np.clip(np.concatenate(seen), 1e-3, 0.999)), np.concatenate(real)


def fit(seen: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Constant and weight of the logistic regression."""
    sign = np.where(real, 1.0, -1.0)

    def loss(weights):
        return -special.log_expit(sign * (weights[0] + weights[1] * seen)).mean()

    return optimize.minimize(loss, np.array([0.0, 1.0])).x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # some of the images hold no lattice
    seen, real = judged(options.images)
    weights = fit(seen, real)
    print(f"{len(real)} columns, {real.mean():.1%} of them real")
    print("CONFIDENCE =", tuple(round(float(w), 3) for w in weights))
    stated = special.expit(weights[0] + weights[1] * seen)
    for low, high in ((0.5, 0.8), (0.8, 0.9), (0.9, 0.98), (0.98, 1)):
        here = (stated > low) & (stated <= high)
        print(f"  stated {stated[here].mean():.3f}, real {real[here].mean():.3f} ({here.sum()})")


if __name__ == "__main__":
    main()
