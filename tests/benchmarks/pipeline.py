"""The whole way on the shipped sample: what it costs and how much of the truth it finds.

    .venv/bin/python tests/benchmarks/pipeline.py [--frame 3]

Without --frame the eight frames are aligned and averaged. Times are wall-clock seconds of one run
and noisy on a shared machine; the imports are part of them.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frame", type=int)
    parser.add_argument("--window", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    clock, seconds = time.perf_counter(), {}

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        seconds[name], clock = round(now - clock, 2), now

    import numpy as np
    from test_pipeline import WITHIN_PX, score_positions

    import helpers
    from helpers.compare.score import r_squared, share_right, sign_from_angle
    from helpers.simulate.truth import load_truth, match_columns
    from helpers.timing import peak_memory_gib

    helpers.RVAE, helpers.segment  # noqa: B018 (loads torch)
    lap("import")
    stack = helpers.load_image(helpers.fetch("sr3fe2o7_stack.hspy"))
    truth = load_truth(helpers.fetch("sr3fe2o7_truth.csv"))
    lap("load")
    if options.frame is None:
        signal, shifts = helpers.align_stack(stack, progress=False)
        image, true = signal.data, truth.positions[0] - shifts[0]
    else:
        image, true = stack.data[options.frame], truth.positions[options.frame]
    lap("align")
    probability = helpers.segment(image)
    lap("segment")
    columns = helpers.locate_columns(image, probability)
    lap("locate")
    windows, kept = helpers.cut_subimages(image, columns, options.window)
    lap("cut")
    model = helpers.RVAE(options.window, seed=options.seed).fit(windows, progress=False)
    lap("fit")
    encoding = model.encode(windows)
    lap("encode")
    f1, rms_px = score_positions(columns.positions, true, image.shape)
    pairs, partners = match_columns(columns.positions[kept], true, within_px=WITHIN_PX)
    known = truth.take(partners)
    plain = ~known.in_fault & ~known.odd
    polar = plain & (known.sign != 0)
    latent = encoding.latent[pairs]
    told = sign_from_angle(
        encoding.angle[pairs][polar], known.angle_rad[polar], known.site[polar], known.sign[polar]
    )
    result = {
        "columns": len(columns),
        "f1": round(f1, 4),
        "position_rms_px": round(rms_px, 3),
        "site_from_latents": round(share_right(latent[plain], known.site[plain]), 4),
        "thickness_r2": round(r_squared(latent[plain], known.thickness_nm[plain]), 4),
        "sign_from_angle": round(float(np.mean(told == known.sign[polar])), 4),
        "epochs": len(model.history),
        "seconds": seconds | {"all": round(sum(seconds.values()), 2)},
        "peak_memory_gib": round(peak_memory_gib(), 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
