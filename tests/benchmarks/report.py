"""Write what the benchmarks measured into the tables of the pages in `book/`."""

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


def fill_blocks(*, page: Path | None = None, **blocks: str) -> None:
    """Replace each block of the page, between its two markers."""
    page = page or PAGE
    text = page.read_text(encoding="utf-8")
    for name, block in blocks.items():
        between = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not between.search(text):
            raise ValueError(f"{page.name} has no block <!-- {name} --> … <!-- /{name} -->")
        text = between.sub(lambda m, block=block: f"{m[1]}\n{block}\n\n{m[2]}", text)
    page.write_text(text, encoding="utf-8")


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


METHODS = {"ours": "this book", "atomap": "Atomap", "laplacian": "Laplacian of Gaussian"}


def write_columns(results: dict) -> None:
    """Put what `columns.py` measured into its page."""
    fill_blocks(
        page=PAGE.with_name("benchmark_columns.md"),
        about=about_columns(results["about"]),
        compare=compared(results["compare"]),
        sweep=swept(results["sweep"]),
        specimens=on_specimens(results["specimens"]),
        bound=over_bound(results["bound"]),
        speed=speeds(results["fit"], results["segment"], results["large"]),
    )


def about_columns(about: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    seeds = ", ".join(map(str, about["seeds"]))
    return f"Run of {about['date']}, {about['machine']}; {versions}; seeds {seeds}."


def compared(rows: list[dict]) -> str:
    head = ["lattice", "counts at a peak", "method", "F1", "rms error (px)", "ms a column"]
    body = []
    for row in rows:
        told = [row["lattice"], str(row["counts"]), METHODS[row["method"]]]
        if "failed" in row:
            body.append([*told, "failed", "–", "–"])
            continue
        numbers = number(row["f1"], ".3f"), number(row["rms_px"], ".2f")
        body.append([*told, *numbers, number(row["ms_a_column"], ".3g")])
    return table(head, body)


def swept(rows: list[dict]) -> str:
    """Mean and least F1 of each lattice and dose, over spacings, backgrounds and seeds."""
    doses = sorted({row["counts"] for row in rows})
    head = ["lattice", *(f"{dose} counts: mean (least)" for dose in doses)]
    body = []
    for name in dict.fromkeys(row["lattice"] for row in rows):
        cells = []
        for dose in doses:
            these = [r["f1"] for r in rows if (r["lattice"], r["counts"]) == (name, dose)]
            values = [value for one in these for value in one]
            cells.append(f"{statistics.mean(values):.4f} ({min(values):.3f})")
        body.append([name, *cells])
    return table(head, body)


def on_specimens(rows: list[dict]) -> str:
    """Least F1 and largest errors of the seeds on each specimen."""
    head = ["one frame of", "F1 (least)", "error along rows (px)", "along columns (px)", "together"]
    body = []
    for name in dict.fromkeys(row["specimen"] for row in rows):
        these = [row for row in rows if row["specimen"] == name]
        errors = [row["rms_along_px"] for row in these]
        largest = [max(error[axis] for error in errors) for axis in (0, 1)]
        both = max((error[0] ** 2 + error[1] ** 2) ** 0.5 for error in errors)
        least = min(row["f1"] for row in these)
        body.append([name, f"{least:.4f}", *(f"{value:.3f}" for value in (*largest, both))])
    return table(head, body)


def over_bound(rows: list[dict]) -> str:
    """Rms error over the Cramér-Rao bound, by dose and background, worst of the widths."""
    levels = sorted({row["background"] for row in rows})
    head = ["counts at a peak", *(f"background {level:g} of it" for level in levels)]
    body = []
    for dose in sorted({row["counts"] for row in rows}):
        cells = [
            max(r["over_bound"] for r in rows if (r["counts"], r["background"]) == (dose, level))
            for level in levels
        ]
        body.append([str(dose), *(f"{cell:.2f}" for cell in cells)])
    return table(head, body)


def speeds(fit: dict, segmented: dict, large: dict) -> str:
    rows = [
        ["fit of 10,000 columns, this book", f"{fit['ours_10000_s']:.2f} s"],
        ["fit of 400 columns, Atomap", f"{fit['atomap_400_s']:.1f} s"],
        ["times faster, a column", f"{fit['times_faster_a_column']:.0f}"],
        ["rms error on the 400 columns, this book", f"{fit['ours_400_rms_px']:.3f} px"],
        ["rms error on the 400 columns, Atomap", f"{fit['atomap_400_rms_px']:.3f} px"],
        ["the bound, neighbours included", f"{fit['bound_with_neighbours_px']:.3f} px"],
        ["segment 1024 × 1024, one thread", f"{segmented['threads_1_s']:.1f} s"],
        ["segment 1024 × 1024, two threads", f"{segmented['threads_2_s']:.1f} s"],
        ["segment 4096 × 4096, two threads", f"{large['seconds']:.0f} s"],
        ["its peak memory, the imports included", f"{large['peak_gib']:.2f} GiB"],
    ]
    return table(["what", "measured"], rows)
