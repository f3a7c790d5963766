"""Write what `rvae.py` and `bounds.py` measured into the tables of `book/benchmark.md`."""

import re
import statistics
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "book" / "benchmark.md"
MODELS = {
    "ours": "`RVAE`, this book",
    "coordinate": "`CoordinateVAE`, this book",
    "atomai": "AtomAI",
    "pyroved": "pyroVED",
    "nothing": "*no model*",
    "regression": "*told the thickness*",
}
TRAINED = [name for name in MODELS if name not in ("nothing", "regression")]
INPUTS = {"frame": "one frame", "mean": "mean of the frames", "probability": "probability map"}
SPECIMENS = {"crystal": "single crystal", "polycrystal": "polycrystal"}


def write_page(results: dict) -> None:
    """Put what `rvae.py` measured into the page."""
    models = results["models"]
    fill_blocks(
        conditions=conditions(results),
        crystal=scores(models, "crystal"),
        polycrystal=scores(models, "polycrystal"),
        costs=costs(models),
        settings=settings(models),
    )


def write_bounds(results: dict, bounds: dict) -> None:
    """Put what `bounds.py` measured into the page."""
    fill_blocks(bounds=promises(results, bounds), beta=weights(results["beta"]))


def fill_blocks(**blocks: str) -> None:
    """Replace each block of the page, between its two markers."""
    text = PAGE.read_text(encoding="utf-8")
    for name, block in blocks.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not between.search(text):
            raise ValueError(f"{PAGE.name} has no block <!-- {name} --> … <!-- /{name} -->")
        text = between.sub(lambda m, block=block: f"{m[1]}\n{block}\n\n{m[2]}", text)
    PAGE.write_text(text, encoding="utf-8")


def table(head: list[str], rows: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def runs_of(models: dict, specimen: str | None = None):
    """(input, model, run) in the order of the tables; a run that was not made says so."""
    for kind in [specimen] if specimen else SPECIMENS:
        for given in INPUTS:
            for name in MODELS:
                asked = {"specimen": kind, "input": given}
                runs = models.get(name, {"runs": []})["runs"]
                made = [run for run in runs if asked.items() <= run.items()]
                missing = [asked | {"no_run": "not run"}] if name in TRAINED else []
                for run in made or missing:
                    if "failed" in run:
                        run = run | {"no_run": "failed"}
                    yield INPUTS[given], name, run


def number(value: float | None, form: str = ".2f", factor: float = 1) -> str:
    return "–" if value is None else f"{factor * value:{form}}".replace("-", "−")


def conditions(results: dict) -> str:
    about, models = results["about"], results["models"]
    limits = {f"{m['limit_s']:.0f} s" for m in models.values() if "limit_s" in m}
    close = about["converged"]
    rows = {
        "Specimens": about["data"],
        "Window": f"{about['window_px']} px at {about['pixel_size_nm']} nm a pixel",
        "Frames in the mean": f"{about['frames']}",
        "Polycrystal": f"seed {about['polycrystal_seed']}, "
        f"{about['polycrystal_dose']} incident counts a pixel and frame",
        "Columns scored": f"over {about['from_boundary_nm']:g} nm from a grain boundary, outside "
        "the stacking fault, of unchanged intensity",
        "Limit of one run": f"{' or '.join(sorted(limits))} of processor time, one thread",
        "Converged": f"angle error below {close['error_deg']:g}°, 90° errors below "
        f"{close['errors_90']:.0%} and 180° errors below {close['errors_180']:.0%}, "
        "and so to the end",
    }
    return table(["what", "how"], [list(row) for row in rows.items()])


def scores(models: dict, specimen: str) -> str:
    head = ["input", "model", "angle error (°)", "90° errors (%)", "180° errors (%)"]
    head += ["site right (%)", "thickness R²"]
    rows = []
    for given, name, run in runs_of(models, specimen):
        share = [number(run.get(k), ".1f", 100) for k in ("errors_90", "errors_180", "site")]
        rows.append([given, MODELS[name], number(run.get("error_deg")), *share])
        rows[-1].append(run.get("no_run") or number(run.get("thickness_r2")))
    return table(head, rows)


def costs(models: dict) -> str:
    head = ["specimen", "input", "model", "epochs", "µs a sub-image and epoch", "training (s)"]
    head += ["angle converged after (s)", "peak memory (GiB)"]
    rows = []
    for given, name, run in runs_of(models):
        if name not in TRAINED:
            continue
        if "no_run" in run:
            values = ["–", "–", "–", run["no_run"], "–"]
        else:
            late = run["converged_s"] is None
            when = "not within the limit" if late else number(run["converged_s"], ".0f")
            values = [number(run["epochs"], "d"), number(run["us_per_subimage_epoch"], ",.0f")]
            values += [number(run["seconds"], ".0f"), when, number(run["peak_memory_gib"])]
        rows.append([SPECIMENS[run["specimen"]], given, MODELS[name], *values])
    return table(head, rows)


def settings(models: dict) -> str:
    parts = []
    for name in (name for name in TRAINED if name in models):
        model = models[name]
        seen = [run["versions"] for run in model["runs"] if "versions" in run]
        versions = ", ".join(f"{k} {v}" for k, v in (seen or [{}])[0].items())
        lines = [f"**{MODELS[name]}**, {model['date']}, {model['machine']}."]
        lines += [f"Versions: {versions}." if versions else "", f"Call: {model['settings']}."]
        lines += [
            f"Failed on the {SPECIMENS[run['specimen']]}, {INPUTS[run['input']]}: {run['failed']}."
            for run in model["runs"]
            if "failed" in run
        ]
        parts.append("- " + "\n  ".join(line for line in lines if line))
    return "\n".join(parts)


def promises(results: dict, bounds: dict) -> str:
    """Median and worst of the seeds for each bound, with a word where it is missed."""
    about, rows = results["about"], []
    for name, bound in bounds.items():
        values = results["found"].get(name)
        if not values:
            continue
        worst = min(values) if bound.at_least else max(values)
        sign, unit = ("≥" if bound.at_least else "≤"), f" {bound.unit}" * bool(bound.unit)
        middle = f"{statistics.median(values):.4g}".replace("-", "−")
        verdict = "" if bound.holds(worst) else " **missed**"
        rows.append([bound.what, f"{sign} {bound.limit:g}{unit}", middle, f"{worst:.4g}{verdict}"])
    seeds = ", ".join(map(str, about["seeds"]))
    head = f"Seeds {seeds}; {about['date']}; {about['machine']}.\n\n"
    return head + table(["what", "bound", "median", "worst"], rows)


def weights(sweep: list[dict]) -> str:
    """Angle error and site score for each dose, window and weight of the prior."""
    betas = sorted({row["beta"] for row in sweep})
    head = ["dose", "window (px)", *(f"β = {beta:g}" for beta in betas)]
    rows = []
    for dose, window in dict.fromkeys((row["dose"], row["window_px"]) for row in sweep):
        cells = [r for r in sweep if (r["dose"], r["window_px"]) == (dose, window)]
        said = {r["beta"]: f"{r['error_deg']:.2f}°, {100 * r['site']:.1f} %" for r in cells}
        rows.append([dose, str(window), *(said[beta] for beta in betas)])
    return table(head, rows)
