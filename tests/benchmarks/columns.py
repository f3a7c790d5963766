"""Find and locate columns: this project, Atomap and a Laplacian of Gaussian on the same images.

    .venv-peers/bin/python tests/benchmarks/columns.py [--keep]

Run it with the environment of the peers (``make bench-columns``). All three see the same simulated
images, on one thread, one after the other. Atomap and the Laplacian are told the spacing and the
width of the columns, which their users choose by eye; this project is told nothing. With --keep the
results go to book/_assets/columns.json and into the tables of book/benchmark_columns.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from gaussians import column_probability, crowded_bound_px, match, render_columns, square_lattice
from skimage.feature import blob_log
from unseen import LATTICES, WITHIN, Case, score, unseen_image

from helpers import locate_columns, segment
from helpers.simulate.atoms import ferroelectric, graphene
from helpers.simulate.limit import cramer_rao_px
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import polycrystal, single_crystal
from helpers.simulate.truth import match_columns

ASSETS = Path(__file__).resolve().parents[2] / "book" / "_assets"
COUNTS, SPACINGS_PX, BACKGROUNDS, WIDTH = (
    (5, 20, 100, 1000),
    (7, 10, 15, 25, 40, 60),
    (0.1, 0.5, 2),
    0.22,
)
SEEDS = (71, 72, 73)


def ours(case: Case) -> tuple[np.ndarray, float]:
    """Each method returns positions and the seconds that they took."""
    began = time.perf_counter()
    columns = locate_columns(case.image, segment(case.image, progress=False))
    return columns.positions, time.perf_counter() - began


def laplacian(case: Case) -> tuple[np.ndarray, float]:
    sigma, began = WIDTH * case.spacing_px, time.perf_counter()
    image = case.image - case.image.min()
    spots = blob_log(
        image, min_sigma=sigma, max_sigma=sigma, num_sigma=1, threshold=None, threshold_rel=0.2,
        overlap=0.9,
    )  # fmt: skip
    return spots[:, :2], time.perf_counter() - began


def atomap(case: Case) -> tuple[np.ndarray, float]:
    import atomap.api as am
    import hyperspy.api as hs

    began = time.perf_counter()
    separation = max(1, round(0.7 * case.spacing_px))
    signal = hs.signals.Signal2D(case.image)
    start = am.get_atom_positions(signal, separation=separation, pca=False)
    sublattice = am.Sublattice(start, image=signal.data)
    sublattice.find_nearest_neighbors()
    sublattice.refine_atom_positions_using_center_of_mass(show_progressbar=False)
    sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
    return np.stack([sublattice.y_position, sublattice.x_position], 1), time.perf_counter() - began


METHODS = {"ours": ours, "atomap": atomap, "laplacian": laplacian}


def compare() -> list[dict]:
    """F1, rms and time a column on every unseen lattice, by dose, 15 px between neighbours."""
    rows = []
    for name in LATTICES:
        for counts in COUNTS:
            case = unseen_image(
                name, spacing_px=15, counts=counts, background=0.5, width=WIDTH, seed=SEEDS[0]
            )
            for method, call in METHODS.items():
                row = {"lattice": name, "counts": counts, "method": method}
                try:
                    found, seconds = call(case)
                    row |= score(found, case, border=1.5)
                    row |= {"ms_a_column": 1e3 * seconds / max(len(found), 1)}
                except Exception as error:  # a peer that fails is a result
                    row["failed"] = f"{type(error).__name__}: {error}"
                rows.append(row)
                print(row, flush=True)
    return rows


def sweep() -> list[dict]:
    """F1 of this project over all spacings, backgrounds, doses and seeds."""
    rows = []
    for name in LATTICES:
        for counts in COUNTS:
            for spacing in SPACINGS_PX:
                for background in BACKGROUNDS:
                    values = []
                    for seed in SEEDS:
                        case = unseen_image(
                            name, spacing_px=spacing, counts=counts, background=background,
                            width=WIDTH, seed=seed,
                        )  # fmt: skip
                        values.append(score(ours(case)[0], case)["f1"])
                    rows.append({
                        "lattice": name, "counts": counts, "spacing_px": spacing,
                        "background": background, "f1": values,
                    })  # fmt: skip
            these = [
                f for r in rows if (r["lattice"], r["counts"]) == (name, counts) for f in r["f1"]
            ]
            print(name, counts, f"mean {np.mean(these):.4f}, least {min(these):.4f}", flush=True)
    return rows


def specimens() -> list[dict]:
    """F1 and rms error of this project on one frame of simulated specimens, fresh seeds."""
    drawn = {
        "Sr3Fe2O7, dose 250": (lambda seed: single_crystal(seed=seed), 250, 13.0),
        "Sr3Fe2O7, three grains, dose 220": (lambda seed: polycrystal(seed=seed), 220, 13.0),
        "graphene, silicon, four grains, dose 5": (
            lambda seed: graphene(shape=(1024, 1024), grains=4, seed=seed), 5, 9.5,
        ),
        "PbTiO3, two domains, dose 250": (
            lambda seed: ferroelectric(shape=(1024, 1024), seed=seed), 250, 17.8,
        ),
    }  # fmt: skip
    rows = []
    for name, (make, dose, spacing) in drawn.items():
        for seed in SEEDS:
            frames, truth = scan_specimen(make(seed), scan=Scan(dose=dose), seed=seed)
            case = Case(frames[0].astype(np.float32), truth.positions[0], spacing)
            found = ours(case)[0]
            rows.append({"specimen": name, "seed": seed} | score(found, case))
            inside = found[((found > 8) & (found < np.array(case.image.shape) - 9)).all(axis=1)]
            pairs, which = match_columns(inside, case.truth, within_px=WITHIN * spacing)
            apart = inside[pairs] - case.truth[which]
            rows[-1]["rms_along_px"] = np.sqrt(np.mean(apart**2, axis=0)).tolist()
            print(rows[-1], flush=True)
    return rows


def bound() -> list[dict]:
    """Rms error of lone columns over the Cramér-Rao bound, by dose."""
    rows = []
    for counts in (20, 50, 100, 300, 1000):
        for background in (0.1, 0.5, 2):
            for sigma in (1.5, 2.4, 5.0):
                truth = square_lattice(20, 12 * sigma, seed=counts)
                clean = render_columns(truth, amplitude=counts, sigma=sigma) + background * counts
                image = np.random.default_rng(counts).poisson(clean).astype(np.float32)
                found = locate_columns(image, column_probability(truth, image.shape, radius=sigma))
                error = found.positions[match(found.positions, truth)] - truth
                rms = float(np.sqrt(np.mean(error**2)))
                limit = cramer_rao_px(counts, sigma, background * counts)
                rows.append({
                    "counts": counts, "background": background, "sigma_px": sigma,
                    "rms_px": rms, "over_bound": rms / limit,
                })  # fmt: skip
    worst = max(rows, key=lambda row: row["over_bound"])
    print("rms over the bound, worst of", len(rows), worst)
    return rows


def fit_speed() -> dict:
    """Time of the fit of 10,000 columns, and of Atomap's of 400, in one run; medians of three."""
    import atomap.api as am

    result = {}
    for count in (100, 20):
        spacing = 5 * 2.4
        truth = square_lattice(count, spacing, seed=1)
        counts = np.random.default_rng(1).poisson(render_columns(truth) + 4).astype(np.float32)
        probability = column_probability(truth, counts.shape)
        ours_s, theirs_s = [], []
        for _ in range(3):
            began = time.perf_counter()
            found = locate_columns(counts, probability)
            ours_s.append(time.perf_counter() - began)
            if count == 20:
                sublattice = am.Sublattice(np.rint(truth)[:, ::-1], image=counts)
                sublattice.find_nearest_neighbors()
                began = time.perf_counter()
                sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
                theirs_s.append(time.perf_counter() - began)
        error = found.positions[match(found.positions, truth)] - truth
        result[f"ours_{count**2}_s"] = float(np.median(ours_s))
        result[f"ours_{count**2}_rms_px"] = float(np.sqrt(np.mean(error**2)))
        if theirs_s:
            there = np.stack([sublattice.y_position, sublattice.x_position], axis=1)
            result["atomap_400_s"] = float(np.median(theirs_s))
            result["atomap_400_rms_px"] = float(np.sqrt(np.mean((there - truth) ** 2)))
    result["bound_with_neighbours_px"] = crowded_bound_px(spacing)
    a_column = result["atomap_400_s"] / 400, result["ours_10000_s"] / 10000
    result["times_faster_a_column"] = a_column[0] / a_column[1]
    print(result)
    return result


def segment_speed() -> dict:
    """Seconds for 1024 x 1024, 10 px between neighbours; medians of three, one and two threads."""
    case = unseen_image("hcp [0001]", spacing_px=10, counts=20, background=0.5, seed=1)
    image, result = np.tile(case.image, (8, 8))[:1024, :1024], {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times = []
        for _ in range(4):
            began = time.perf_counter()
            segment(image, progress=False)
            times.append(time.perf_counter() - began)
        result[f"threads_{threads}_s"] = float(np.median(times[1:]))
    torch.set_num_threads(1)
    print(result)
    return result


LARGE = """
import time
import numpy as np
from helpers import segment
from helpers.timing import peak_memory_gib
from unseen import unseen_image
case = unseen_image("hcp [0001]", spacing_px=10, counts=20, background=0.5, seed=1)
image = np.tile(case.image, (30, 30))[:4096, :4096]
before, began = peak_memory_gib(), time.perf_counter()
probability = segment(image, progress=False)
print(time.perf_counter() - began, peak_memory_gib(), before, float((probability > 0.5).mean()))
"""


def large() -> dict:
    """Seconds and peak memory of 4096 x 4096 in a process of its own, two threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LARGE], cwd=Path(__file__).parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, peak, before, share = map(float, done.stdout.split())
    result = {"seconds": seconds, "peak_gib": peak, "before_gib": before, "share": share}
    print("4096 x 4096:", result)
    return result


PARTS = {
    "specimens": specimens,
    "compare": compare,
    "sweep": sweep,
    "bound": bound,
    "fit": fit_speed,
    "segment": segment_speed,
    "large": large,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    path = ASSETS / "columns.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for part in options.only:
        results[part] = PARTS[part]()
    packages = ("atomap", "scikit-image", "hyperspy", "numpy", "torch")
    results["about"] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, one thread",
        "seeds": SEEDS,
        "versions": {name: version(name) for name in packages},
    }
    if options.keep:
        from report import write_columns

        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        write_columns(results)


if __name__ == "__main__":
    main()
