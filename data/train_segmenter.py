"""Train the segmenter on images drawn on the fly, and say how well it does on others.

    python data/train_segmenter.py [--steps 3000] [--seed 0] [--out data/segmenter.safetensors]

The images are those of helpers/simulate/lattices.py; none is stored and no real image takes part.
One thread of a 2-core machine needs about a quarter of an hour (it computes in bfloat16).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import ndimage, spatial
from torch.nn import functional
from tqdm.auto import tqdm

from helpers.segmentation import TRAINED_SPACING_PX, UNet, normalise, resample
from helpers.simulate.lattices import lattice_image

CROP_PX = 96
BATCH = 8
LEARNING_RATE = 4e-3
DOSES = (1, 2, 5, 10, 20, 50, 100, 1000)  # counts at the strongest peak
HELD_OUT_SEED = 1_000_000


def training_image(rng: np.random.Generator, **options):
    """One normalised crop, its target and the true positions, all at the network's scale.

    The spacing that a user's image is rescaled by is measured, and the measurement may pick the
    distance of another pair of columns: so the network meets spacings from 0.65 to 1.7 of the
    nominal one. Images sampled coarser than that are drawn coarse and resampled.
    """
    nominal = min(TRAINED_SPACING_PX, 5.5 * 2.5 ** rng.random())
    shape = (round(CROP_PX * nominal / TRAINED_SPACING_PX),) * 2
    zoom = CROP_PX / shape[0]
    spacing = nominal * np.clip(np.exp(0.2 * rng.normal()), 0.65, 1.7)
    sigma = 0.2 * TRAINED_SPACING_PX / zoom
    drawn = lattice_image(shape, rng=rng, spacing_px=spacing, target_sigma_px=sigma, **options)
    image, target = (resample(part, (CROP_PX,) * 2) for part in (drawn.image, drawn.target))
    return normalise(image), np.clip(target, 0, 1), (drawn.positions + 0.5) * zoom - 0.5


def train(steps: int, seed: int, learning_rate: float = LEARNING_RATE) -> UNet:
    """A network after `steps` batches of fresh images."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = UNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=steps, pct_start=0.15
    )
    mean_loss = None
    bar = tqdm(range(steps), mininterval=10)
    for _ in bar:
        image, target = training_batch(rng)
        with torch.autocast("cpu", torch.bfloat16):  # half the time, on processors that know it
            logits = network(image)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        bar.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
    return network.eval()


def training_batch(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and targets (BATCH, 1, CROP_PX, CROP_PX); the spread varies as in larger images."""
    drawn = [training_image(rng) for _ in range(BATCH)]
    spread = np.exp(0.2 * rng.normal(size=(BATCH, 1, 1)))
    image = torch.from_numpy((np.stack([one[0] for one in drawn]) * spread).astype(np.float32))
    target = torch.from_numpy(np.stack([one[1] for one in drawn]))
    return image[:, None].contiguous(memory_format=torch.channels_last), target[:, None]


@torch.inference_mode()
def held_out_f1(network: UNet, images_per_dose: int = 40) -> dict[str, float]:
    """F1 of the maxima of the probability map over 0.5, by dose, on seeds not trained on."""
    scores = {}
    for dose in DOSES:
        counts = np.zeros(3)
        for index in range(images_per_dose):
            rng = np.random.default_rng(HELD_OUT_SEED + index)
            image, _, truth = training_image(rng, peak_counts=dose)
            probability = torch.sigmoid(network(torch.from_numpy(image)[None, None]))[0, 0].numpy()
            counts += match(peaks(probability), truth, 0.3 * TRAINED_SPACING_PX)
        hits, found, true = counts
        scores[str(dose)] = round(2.0 * float(hits) / float(found + true), 4)
    return scores


def peaks(probability: np.ndarray) -> np.ndarray:
    """[row, column] of the local maxima over 0.5."""
    smooth = ndimage.gaussian_filter(probability, 0.5)
    top = (smooth == ndimage.maximum_filter(smooth, 5)) & (probability > 0.5)
    return np.argwhere(top)


def match(found: np.ndarray, truth: np.ndarray, within_px: float) -> np.ndarray:
    """Mutual nearest neighbours closer than `within_px`, number found, number true."""
    if len(found) == 0 or len(truth) == 0:
        return np.array([0, len(found), len(truth)])
    distance, nearest = spatial.cKDTree(truth).query(found)
    _, back = spatial.cKDTree(found).query(truth)
    hits = (distance < within_px) & (back[nearest] == np.arange(len(found)))
    return np.array([hits.sum(), len(found), len(truth)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default=Path(__file__).parent / "segmenter.safetensors", type=Path)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    network = train(options.steps, options.seed)
    minutes = (time.perf_counter() - started) / 60
    scores = held_out_f1(network)
    print(f"{minutes:.1f} min; held-out F1 by counts at the peak: {scores}")
    about = {
        "spacing_px": f"{TRAINED_SPACING_PX:g}",
        "seed": str(options.seed),
        "steps": str(options.steps),
        "minutes": f"{minutes:.1f}",
        "threads": str(options.threads),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "held_out_f1_by_peak_counts": json.dumps(scores),
        "licence": "CC0-1.0",
    }
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(weights, options.out, metadata=about)


if __name__ == "__main__":
    main()
