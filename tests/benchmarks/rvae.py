"""Rotation-invariant autoencoders side by side, on simulated images whose truth is known.

    .venv/bin/python tests/benchmarks/rvae.py [--only ours …] [--limit 300] [--page]

Each model of `peers.py` is trained on the same stacks, in a process of its own, and scored against
the truth. `book/_assets/benchmark.json` keeps the results; a model that is run again replaces its
own. The tables of `book/benchmark.md` are written from that file (`--page`: write them, run
nothing). AtomAI and pyroVED need the environment that `make bench-peers` makes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
from judge import FROM_BOUNDARY_NM, PIXEL_SIZE_NM, angle_errors, error_shares, scored
from peers import SETTINGS
from report import write_page

from helpers import align_stack, cut_subimages, fetch, load_image, locate_columns, segment
from helpers.compare.score import r_squared, share_right
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import polycrystal
from helpers.simulate.truth import Truth, load_truth, match_columns

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "book" / "_assets" / "benchmark.json"
PYTHONS = {"ours": sys.executable, "coordinate": sys.executable}  # the others: .venv-peers
WINDOW_PX, N_FRAMES = 40, 8
WITHIN_PX = 3.0  # a located column is this close to its true place
SEED = 6041  # of the polycrystal and its scan, used for nothing else
DOSE = 220
RIDGE = 1e-3  # of the mean variance of a pixel
CONVERGED = {"error_deg": 2.0, "errors_90": 0.1, "errors_180": 0.25}  # all below


class Case(NamedTuple):
    specimen: str
    input: str
    stack: np.ndarray  # (M, w, w)
    rows: np.ndarray  # (P,) the sub-images whose truth is known
    truth: Truth  # of these


def make_cases():
    """Two specimens, three inputs each."""
    truth = load_truth(fetch("sr3fe2o7_truth.csv"))
    yield from cases_of("crystal", load_image(fetch("sr3fe2o7_stack.hspy")).data, truth)
    scan = Scan(dose=DOSE)
    yield from cases_of(
        "polycrystal", *scan_specimen(polycrystal(seed=SEED), N_FRAMES, scan=scan, seed=SEED)
    )


def cases_of(specimen: str, frames: np.ndarray, truth: Truth):
    frame = frames[0].astype(np.float32)
    probability = segment(frame)
    columns = locate_columns(frame, probability)
    mean, shifts = align_stack(frames.astype(np.float32), progress=False)
    averaged = (mean.data, locate_columns(mean), truth.positions[0] - shifts[0])
    for name, image, found, places in (
        ("frame", frame, columns, truth.positions[0]),
        ("mean", *averaged),
        ("probability", probability, columns, truth.positions[0]),
    ):
        stack, kept = cut_subimages(image, found, WINDOW_PX)
        rows, partners = match_columns(found.positions[kept], places, within_px=WITHIN_PX)
        yield Case(specimen, name, stack, rows, truth.take(partners))


def run(model: str, python: str, case: Case, limit_s: float, folder: Path) -> dict:
    """Train one model on one stack and score it; where it fails, say how."""
    stack, result = folder / "stack.npy", folder / "result.npz"
    np.save(stack, case.stack)
    result.unlink(missing_ok=True)
    command = [python, "-W", "ignore", str(HERE / "peers.py"), model, str(stack), str(result)]
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    record = {"specimen": case.specimen, "input": case.input, "subimages": len(case.stack)}
    try:
        done = subprocess.run(
            [*command, "--limit", str(limit_s)], env=os.environ | threads, cwd=folder,
            timeout=10 * limit_s + 300, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return record | {"failed": f"stopped after {error.timeout:.0f} s on the clock"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return record | {"failed": f"exit code {done.returncode}: {last}"}
    with np.load(result) as saved:
        return record | judge(case, dict(saved))


def judge(case: Case, said: dict) -> dict:
    """Cost and scores of a run; scores are None where there is nothing finite to score."""
    looks = [score(case, *look) for look in zip(said["angles"], said["latents"], strict=True)]
    there = [is_converged(look) for look in looks]
    since = max((i + 1 for i, good in enumerate(there) if not good), default=0)
    converged = float(said["seconds"][since]) if since < len(looks) else None
    epochs, seconds = int(said["epochs"][-1]), float(said["seconds"][-1])
    return {
        "epochs": epochs,
        "seconds": round(seconds, 2),
        "us_per_subimage_epoch": round(1e6 * seconds / epochs / len(case.stack), 1),
        "converged_s": converged and round(converged, 2),
        **looks[-1],
        "peak_memory_gib": round(float(said["peak_memory_gib"]), 2),
        "versions": json.loads(str(said["versions"])),
    }


def is_converged(look: dict) -> bool:
    return all(look[k] is not None and look[k] < most for k, most in CONVERGED.items())


def score(case: Case, angle: np.ndarray, latent: np.ndarray) -> dict:
    """Errors of the angle, the worse of the Fe and the Sr2 site, and what the latents hold."""
    names = ("error_deg", "errors_90", "errors_180", "site", "thickness_r2")
    angle, latent, truth = angle[case.rows], latent[case.rows], case.truth
    if not (np.isfinite(angle).all() and np.isfinite(latent).all()):
        return dict.fromkeys(names)
    rows = scored(truth)
    error = angle_errors(angle, truth)
    worst = np.max(
        [error_shares(error[rows & (truth.site == s) & (truth.sign != 0)]) for s in ("Fe", "Sr2")],
        axis=0,
    )
    held = share_right(latent[rows], truth.site[rows])
    held = (held, r_squared(latent[rows], truth.thickness_nm[rows]))
    return {name: round(float(v), 4) for name, v in zip(names, (*worst, *held), strict=True)}


def score_nothing(case: Case) -> dict:
    """What no model at all would score: one angle for all, and latents from a die."""
    latent = np.random.default_rng(0).normal(size=(len(case.stack), 2))
    known = {"specimen": case.specimen, "input": case.input}
    return known | score(case, np.zeros(len(latent)), latent)


def score_regression(case: Case) -> dict:
    """Thickness read from all pixels by ridge regression, which is told it for every other column.

    It shows whether the input holds a thickness at all; the models are told none.
    """
    rows = scored(case.truth)
    pixels, thickness = case.stack[case.rows][rows], case.truth.thickness_nm[rows]
    order = np.random.default_rng(0).permutation(len(thickness))
    x = pixels.reshape(len(pixels), -1).astype(np.float64)[order]
    y, told = thickness[order], len(order) // 2
    x, y = x - x[:told].mean(axis=0), y - y[:told].mean()
    gram = x[:told].T @ x[:told]
    ridge = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    wrong = y[told:] - x[told:] @ np.linalg.solve(gram + ridge, x[:told].T @ y[:told])
    r2 = round(float(1 - np.mean(wrong**2) / y[told:].var()), 4)
    return {"specimen": case.specimen, "input": case.input, "thickness_r2": r2}


def processor() -> str:
    """Model and count, such as "AMD EPYC, 2 cores"."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or "unknown processor"
    return f"{name}, {os.cpu_count()} cores, of which one is used"


def keep(name: str, block: dict) -> None:
    """Put the results of one model into the file; those of the others stay."""
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"models": {}}
    old["about"] = {
        "data": "simulated Sr3Fe2O7 along [100]; truth known", "window_px": WINDOW_PX,
        "pixel_size_nm": PIXEL_SIZE_NM, "frames": N_FRAMES, "polycrystal_seed": SEED,
        "polycrystal_dose": DOSE, "from_boundary_nm": FROM_BOUNDARY_NM, "converged": CONVERGED,
    }  # fmt: skip
    old["models"][name] = block
    RESULTS.write_text(json.dumps(old, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--limit", type=float, default=300, help="seconds of training for each run")
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers" / "bin" / "python"))
    parser.add_argument("--page", action="store_true", help="only write the page's tables")
    options = parser.parse_args()
    cases = [] if options.page else list(make_cases())
    if cases:
        keep("nothing", {"runs": [score_nothing(case) for case in cases]})
        keep("regression", {"runs": [score_regression(case) for case in cases]})
    for model in options.only if cases else ():
        python = PYTHONS.get(model, options.peers)
        if not Path(python).exists():
            print(f"{model}: there is no {python}; `make bench-peers` makes it", file=sys.stderr)
            continue
        block = {"settings": SETTINGS[model], "limit_s": options.limit}
        block |= {"date": date.today().isoformat(), "machine": processor(), "runs": []}
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                block["runs"].append(run(model, python, case, options.limit, Path(folder)))
            print(model, json.dumps(block["runs"][-1]), flush=True)
            keep(model, block)
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
