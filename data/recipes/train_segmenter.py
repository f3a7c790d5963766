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

DATA = Path(__file__).resolve().parents[1]
BATCH = 8
LEARNING_RATE = 4e-3
DOSES = (1, 2, 5, 10, 20, 50, 100, 1000)  # counts at the strongest peak
HELD_OUT_SEED = 1_000_000
# By whether species are learnt.
NAMES = {False: "segmenter.safetensors", True: "species.safetensors"}
STEPS = {False: 10000, True: 2500}


class Batches(IterableDataset):
    """Endless fresh batches: images (BATCH, 2, h, w) and targets (BATCH, outputs, h, w)."""

    def __init__(self, seed: int, species: bool):
        self.seed = seed
        self.species = species

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        while True:
            images = []
            targets = []
            for _ in range(BATCH):
                image, target, columns = training_image(rng, species=self.species)
                images.append(image)
                targets.append(target_of(target, columns, self.species))
            # In a larger image the contrast of a part is not as even as in a crop.
            contrast = np.exp(0.25 * rng.normal(size=(BATCH, 1, 1, 1)))
            image = np.stack(images) * contrast
            target = np.stack(targets)
            yield torch.from_numpy(image.astype(np.float32)), torch.from_numpy(target)


def target_of(target, columns, species: bool) -> np.ndarray:
    """The target (1, h, w), or with species (2, h, w): one for heavy and one for light columns."""
    if not species:
        return target[None]
    positions = columns[:, :2]
    is_light = columns[:, 3] > 0
    heavy = column_target(target.shape, positions[~is_light], RADIUS_PX)
    light = column_target(target.shape, positions[is_light], RADIUS_PX)
    return np.stack([heavy, light])


def train(steps: int, seed: int, *, species: bool = False, start: Path | None = None) -> UNet:
    """A network after `steps` batches; with `start`, from the weights of another."""
    torch.manual_seed(seed)
    n_outputs = 2 if species else 1
    network = UNet(n_outputs).to(memory_format=torch.channels_last)
    rate = LEARNING_RATE
    if start is not None:
        load_weights(network, start)
        rate = LEARNING_RATE / 4
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps, pct_start=0.15
    )
    loader = DataLoader(Batches(seed, species), batch_size=None, num_workers=1)
    batches = iter(loader)
    mean_loss = None
    bar = tqdm(range(steps), mininterval=20)
    for _ in bar:
        image, target = next(batches)
        loss = learn(network, optimiser, image, target)
        schedule.step()
        if mean_loss is None:
            mean_loss = loss
        else:
            mean_loss = 0.99 * mean_loss + 0.01 * loss
        bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
    return network.eval()


def load_weights(network: UNet, start: Path) -> None:
    """Begin with the weights of a network of one output; both outputs begin as that one."""
    weights = load_file(start)
    for name in ("out.weight", "out.bias"):
        weights[name] = weights[name].repeat_interleave(2, 0)
    network.load_state_dict(weights)


def learn(network: UNet, optimiser, image: torch.Tensor, target: torch.Tensor) -> float:
    """One step downhill on one batch; its loss."""
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):  # half the time, on processors that know it
        logits = network(image)
    loss = functional.binary_cross_entropy_with_logits(logits.float(), target)
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    return loss.item()


@torch.inference_mode()
def held_out_scores(network: UNet, images_per_dose: int = 60) -> dict[str, float]:
    """By dose, on seeds not trained on: F1 of the maxima over 0.5, or share of species right."""
    species = network.out.out_channels == 2
    scores = {}
    for dose in DOSES:
        counts = np.zeros(3)
        for index in range(images_per_dose):
            rng = np.random.default_rng(HELD_OUT_SEED + index)
            image, _, truth = training_image(rng, peak_counts=dose, species=species)
            logits = network(torch.from_numpy(image)[None])
            maps = torch.sigmoid(logits)[0].numpy()
            if species:
                counts += right_species(maps, truth)
            else:
                counts += hits(maps[0], truth[:, :2])
        right, one, other = counts.tolist()
        score = 2 * right / max(one + other, 1)
        scores[str(dose)] = round(score, 4)
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
    middle = CROP_PX / 2
    is_inner = (np.abs(found - middle) < middle - limit).all(axis=1)
    is_true_inner = (np.abs(truth - middle) < middle - limit).all(axis=1)
    matched = (is_inner[pairs].sum() + is_true_inner[of_truth].sum()) / 2
    return np.array([matched, is_inner.sum(), is_true_inner.sum()])


def right_species(maps: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Columns whose more probable species is the true one, and twice the number of columns."""
    inside = ((truth[:, :2] >= 0) & (truth[:, :2] <= CROP_PX - 1)).all(axis=1)
    columns = truth[inside]
    row, col = np.rint(columns[:, :2]).astype(int).T
    heavy, light = maps[:, row, col]
    is_light = columns[:, 3] > 0
    is_right = (light > heavy) == is_light
    return np.array([is_right.sum(), len(columns), len(columns)])


def save_weights(network: UNet, path: Path, about: dict[str, str]) -> None:
    """In half precision: its rounding moves no probability by more than the fourth digit."""
    weights = {}
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value = value.half()
        weights[name] = value.contiguous()
    save_file(weights, path, metadata=about)


def options_given() -> argparse.Namespace:
    summary, *_ = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--species", action="store_true")
    parser.add_argument("--folder", default=DATA, type=Path)
    return parser.parse_args()


def main() -> None:
    options = options_given()
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    steps = options.steps
    if not steps:
        steps = STEPS[options.species]
    start = None
    if options.species:
        start = options.folder / NAMES[False]
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
    save_weights(network, options.folder / NAMES[options.species], about)


if __name__ == "__main__":
    main()
