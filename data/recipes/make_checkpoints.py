"""Make the checkpoints: what one page hands to the next, so that each page runs alone.

    python data/recipes/make_checkpoints.py [--folder data]

From the shipped stack: the columns of the aligned mean, and the rVAE trained on their sub-images.
Under a minute on two cores. `data/recipes/register.py` then writes their checksums.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from helpers import (
    RVAE,
    Columns,
    align_stack,
    cut_subimages,
    fetch,
    load_image,
    locate_columns,
    segment,
)
from helpers.images import pixel_size_nm

DATA = Path(__file__).resolve().parents[1]
WINDOW_PX = 40
SEED = 0


def make_columns(mean) -> Columns:
    """Locate the columns of the aligned mean."""
    probability = segment(mean)
    return locate_columns(mean, probability)


def make_model(mean, columns: Columns) -> RVAE:
    """Train at 40 px on the aligned mean."""
    stack, _ = cut_subimages(mean, columns.positions, WINDOW_PX)
    model = RVAE(WINDOW_PX, seed=SEED)
    size_nm = pixel_size_nm(mean)
    return model.fit(stack, pixel_size_nm=size_nm, progress=False)


def main() -> None:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--folder", type=Path, default=DATA)
    options = parser.parse_args()
    folder = options.folder
    stack = load_image(fetch("sr3fe2o7_stack.hspy"))
    mean, _ = align_stack(stack, progress=False)
    columns = make_columns(mean)
    columns.save(folder / "sr3fe2o7_columns.csv")
    model = make_model(mean, columns)
    model.save(folder / "sr3fe2o7_rvae_40px.safetensors")
    print(f"{len(columns)} columns; {model}")


if __name__ == "__main__":
    main()
