"""Train one rotation-invariant autoencoder on one stack, and write down what it says as it goes.

    PYTHON tests/benchmarks/peers.py MODEL stack.npy result.npz --limit 300 --seed 0

`rvae.py` starts this file in a process of its own, with the Python that has the model, so that
every model runs on one thread, under one clock and with its own memory. Seconds are those of the
processor, not of the wall: another program on the machine disturbs them less, but still a little.
AtomAI and pyroVED are used through their public interface alone. In both, a positive angle turns
the motif counter-clockwise as displayed (rows down), as in this package; nothing is converted.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

UNIT = "pixels scaled to [0, 1] by the least and the largest value of the stack"
SETTINGS = {
    "ours": "RVAE(w, seed=s).fit(stack), 600 steps whatever the stack; pixels as they are",
    "coordinate": "CoordinateVAE(w, latent_dim=2, seed=s).fit(stack, epochs=n) with the largest n "
    "that the limit allows, judged at its end alone; pixels as they are",
    "atomai": "atomai.models.rVAE((w, w), latent_dim=2, seed=s).fit(stack, training_cycles=1, "
    "rotation_prior=pi / 2), called once an epoch; the rest are its defaults (translation on, "
    f"batches of 32, Adam at 1e-4), the rotation prior is that of its documented example; {UNIT}",
    "pyroved": "pyroved.models.iVAE((w, w), latent_dim=2, invariances=['r'], seed=s) and "
    "trainers.SVItrainer(model).step(loader); the rest are its defaults (Bernoulli pixels, batches "
    f"of 100, Adam at 1e-3); {UNIT}",
}
PACKAGES = ("numpy", "torch", "torchvision", "atomai", "pyroved", "pyro-ppl")


def train_ours(stack, seed, limit_s):
    """Each trainer yields (epochs so far, seconds of the last part, encode), encode giving
    angle (M,) and latents (M, d)."""
    from helpers import RVAE

    model = RVAE(stack.shape[-1], seed=seed, device="cpu")
    seconds = time_of(lambda: model.fit(stack, progress=False))

    def encode():
        encoding = model.encode(stack)
        return encoding.angle, encoding.latent

    yield len(model.history), seconds, encode


def train_coordinate(stack, seed, limit_s):
    from helpers.compare.baselines import CoordinateVAE

    model = CoordinateVAE(stack.shape[-1], latent_dim=2, seed=seed)
    pace = time_of(lambda: model.fit(stack, epochs=1, progress=False))
    epochs = max(1, int(limit_s / pace))
    seconds = time_of(lambda: model.fit(stack, epochs=epochs, progress=False))
    yield epochs, seconds, lambda: model.encode(stack)


def train_atomai(stack, seed, limit_s):
    let_torchvision_be_imported()
    import atomai

    stack, epoch = scale_to_unit(stack), 0
    model = atomai.models.rVAE(stack.shape[1:], latent_dim=2, seed=seed)
    with tempfile.TemporaryDirectory() as folder:  # it saves the model after every epoch
        options = {"training_cycles": 1, "rotation_prior": math.pi / 2}
        options["filename"] = str(Path(folder) / "model")
        while True:
            epoch += 1
            seconds = time_of(lambda: model.fit(stack, **options))
            # The encoded numbers are angle, two shifts, latents.
            yield epoch, seconds, lambda: split(model.encode(stack)[0], after=3)


def train_pyroved(stack, seed, limit_s):
    let_torchvision_be_imported()
    import pyroved
    import torch

    pixels, epoch = torch.as_tensor(scale_to_unit(stack)), 0
    model = pyroved.models.iVAE(tuple(stack.shape[1:]), 2, invariances=["r"], seed=seed)
    loader = pyroved.utils.init_dataloader(pixels)
    trainer = pyroved.trainers.SVItrainer(model)
    while True:
        epoch += 1
        seconds = time_of(lambda: trainer.step(loader))
        yield epoch, seconds, lambda: split(model.encode(pixels)[0].numpy(), after=1)


TRAINERS = {
    "ours": train_ours,
    "coordinate": train_coordinate,
    "atomai": train_atomai,
    "pyroved": train_pyroved,
}


def let_torchvision_be_imported() -> None:
    """Leave out the compiled operators of torchvision, which neither model uses.

    A torchvision that was built for a graphics card does not import beside a torch for the
    processor, since it describes operators that it could not load.
    """
    for name in ("_meta_registrations", "_autograd_registrations"):
        sys.modules[f"torchvision.{name}"] = ModuleType(name)


def scale_to_unit(stack: np.ndarray) -> np.ndarray:
    low, high = stack.min(), stack.max()
    return ((stack - low) / (high - low)).astype(np.float32)


def split(z: np.ndarray, *, after: int) -> tuple[np.ndarray, np.ndarray]:
    return z[:, 0], z[:, after:]


def time_of(call) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def installed() -> dict[str, str]:
    """Versions of Python and of what is there of PACKAGES."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=TRAINERS)
    parser.add_argument("stack", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--limit", type=float, default=300, help="seconds of training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    from helpers.timing import peak_memory_gib

    torch.set_num_threads(1)
    stack, spent, looks = np.load(options.stack), 0.0, []
    for epoch, seconds, encode in TRAINERS[options.model](stack, options.seed, options.limit):
        spent += seconds
        looks.append((epoch, spent, *encode()))
        print(f"epoch {epoch}: {spent:.1f} s", flush=True)
        if spent + seconds > options.limit:  # begin no epoch that would not end in time
            break
    epochs, seconds, angles, latents = map(np.array, zip(*looks, strict=True))
    np.savez(
        options.result, epochs=epochs, seconds=seconds, angles=angles, latents=latents,
        peak_memory_gib=peak_memory_gib(), versions=json.dumps(installed()),
    )  # fmt: skip


if __name__ == "__main__":
    main()
