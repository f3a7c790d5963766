"""Train the segmenter on images drawn on the fly, and say how well it does on others.

    python data/recipes/train_segmenter.py [--steps 10000] [--seed 0] [--threads 1]
    python data/recipes/train_segmenter.py --species [--steps 2500]

The first finds columns of any kind (segmenter.safetensors). The second goes on from it and learns
to tell heavy columns from light ones as well (species.safetensors). The images are those of
training_images.py; none is stored and no real image takes part. One process draws, another learns
in bfloat16; minutes, threads and seed are written into the file of weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else two processes wait for each other

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from tqdm.auto import tqdm

from helpers.columns.unet import TRAINED_SPACING_PX, UNet
from helpers.simulate.lattices import column_target
from helpers.simulate.training_images import CROP_PX, RADIUS_PX, training_image
from helpers.simulate.truth import match_columns

BATCH = 8
LEARNING_RATE = 4e-3
DOSES = (1, 2, 5, 10, 20, 50, 100, 1000)  # counts at the strongest peak
HELD_OUT_SEED = 1_000_000
NAMES = {False: "segmenter.safetensors", True: "species.safetensors"}


class Batches(IterableDataset):
    """Endless fresh batches: images (BATCH, 2, h, w) and targets (BATCH, outputs, h, w)."""

    def __init__(self, seed: int, species: bool):
        self.seed, self.species = seed, species

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        while True:
            drawn = [training_image(rng, species=self.species) for _ in range(BATCH)]
            # In a larger image the contrast of a part is not as even as in a crop.
            spread = np.exp(0.25 * rng.normal(size=(BATCH, 1, 1, 1)))
            image = (np.stack([one[0] for one in drawn]) * spread).astype(np.float32)
            targets = [target_of(*one[1:], self.species) for one in drawn]
            yield torch.from_numpy(image), torch.from_numpy(np.stack(targets))


def target_of(target, columns, species: bool) -> np.ndarray:
    """The target (1, h, w), or with species (2, h, w): one for heavy and one for light columns."""
    if not species:
        return target[None]
    light = columns[:, 3] > 0
    parts = [column_target(target.shape, columns[kind, :2], RADIUS_PX) for kind in (~light, light)]
    return np.stack(parts)


def train(steps: int, seed: int, *, species: bool = False, start: Path | None = None) -> UNet:
    """A network after `steps` batches; with `start`, from the weights of another."""
    torch.manual_seed(seed)
    network = UNet(2 if species else 1).to(memory_format=torch.channels_last)
    if start is not None:
        known = load_file(start)
        known |= {name: known[name].repeat_interleave(2, 0) for name in ("out.weight", "out.bias")}
        network.load_state_dict(known)
    rate = LEARNING_RATE / (1 if start is None else 4)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=0.15
    )
    batches = iter(DataLoader(Batches(seed, species), batch_size=None, num_workers=1))
    mean_loss, bar = None, tqdm(range(steps), mininterval=20)
    for _ in bar:
        image, target = next(batches)
        with torch.autocast("cpu", torch.bfloat16):  # half the time, on processors that know it
            logits = network(image.contiguous(memory_format=torch.channels_last))
        loss = functional.binary_cross_entropy_with_logits(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean_loss = loss.item() if mean_loss is None else 0.99 * mean_loss + 0.01 * loss.item()
        bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
    return network.eval()


@torch.inference_mode()
def held_out_scores(network: UNet, images_per_dose: int = 60) -> dict[str, float]:
    """By dose, on seeds not trained on: F1 of the maxima over 0.5, or share of species right."""
    scores = {}
    for dose in DOSES:
        counts = np.zeros(3)
        for index in range(images_per_dose):
            rng = np.random.default_rng(HELD_OUT_SEED + index)
            species = network.out.out_channels == 2
            image, _, truth = training_image(rng, peak_counts=dose, species=species)
            maps = torch.sigmoid(network(torch.from_numpy(image)[None]))[0].numpy()
            counts += right_species(maps, truth) if species else hits(maps[0], truth[:, :2])
        right, one, other = counts
        scores[str(dose)] = round(2 * float(right) / max(float(one + other), 1), 4)
    return scores


def hits(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Found and true columns that match, found, true; border apart."""
    smooth = ndimage.gaussian_filter(probability, 0.8)
    top = (smooth == ndimage.maximum_filter(smooth, 3)) & (probability > 0.5)
    found = np.argwhere(top).astype(float)
    limit = 0.3 * TRAINED_SPACING_PX
    if len(found) == 0 or len(truth) == 0:
        return np.array([0, len(found), len(truth)])
    pairs, of_truth = match_columns(found, truth, within_px=limit)
    inner = (np.abs(found - CROP_PX / 2) < CROP_PX / 2 - limit).all(axis=1)
    inside = (np.abs(truth - CROP_PX / 2) < CROP_PX / 2 - limit).all(axis=1)
    matched = (inner[pairs].sum() + inside[of_truth].sum()) / 2
    return np.array([matched, inner.sum(), inside.sum()])


def right_species(maps: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Columns whose more probable species is the true one, and twice the number of columns."""
    truth = truth[((truth[:, :2] >= 0) & (truth[:, :2] <= CROP_PX - 1)).all(axis=1)]
    heavy, light = maps[:, *np.rint(truth[:, :2]).astype(int).T]
    right = (light > heavy) == (truth[:, 3] > 0)
    return np.array([right.sum(), len(truth), len(truth)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--species", action="store_true")
    parser.add_argument("--folder", default=Path(__file__).resolve().parents[1], type=Path)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    start = options.folder / NAMES[False] if options.species else None
    steps = options.steps or (2500 if options.species else 10000)
    network = train(steps, options.seed, species=options.species, start=start)
    minutes = (time.perf_counter() - started) / 60
    scores = held_out_scores(network)
    print(f"{minutes:.1f} min; held-out scores by counts at the peak: {scores}")
    about = {
        "spacing_px": f"{TRAINED_SPACING_PX:g}",
        "seed": str(options.seed),
        "steps": str(steps),
        "minutes": f"{minutes:.1f}",
        "threads": str(options.threads),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "held_out_scores_by_peak_counts": json.dumps(scores),
        "licence": "CC0-1.0",
    }
    # Half precision: its rounding moves no probability by more than the fourth digit.
    halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    weights = {name: value.contiguous() for name, value in halves.items()}
    save_file(weights, options.folder / NAMES[options.species], metadata=about)


if __name__ == "__main__":
    main()
