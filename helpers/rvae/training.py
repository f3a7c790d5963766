"""Networks, and how they are trained: the loop, and how long it runs."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.optim.adamw import adamw
from tqdm.auto import tqdm

HIDDEN = 128
BATCH, SMALLEST_BATCH, FEWEST_STEPS = 320, 32, 8
SIGMA_PACE = 5  # one number falls by a factor of ten: it may move faster than the networks
ADAM_BETAS = (0.9, 0.98)  # gradients change fast as the noise level falls: forget old ones
LEARNING_RATE = 5e-3
STEPS = 600  # of a whole training
FEWEST_PASSES = 4  # however many sub-images there are
PULLED = 0.3  # of the passes begin from the first latents, less and less
BETA_START = 31.0  # times its end value
PULL = 30.0  # nats for a first latent that is missed by one
FEW = 300  # sub-images: they can be learnt by heart, unless the weights are kept small


def network(n_in: int, n_out: int, hidden: int = 2, *, activation=nn.SiLU) -> nn.Sequential:
    """A network with so many hidden layers of 128 numbers each."""
    sizes = pairwise([n_in, *hidden * [HIDDEN]])
    layers = [layer for size in sizes for layer in (nn.Linear(*size), activation())]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, n_out))


def schedule(count: int, epochs: int | None) -> Iterator[tuple[float, float, float]]:
    """Yield the pull towards the first latents, beta as a multiple of its end value, and the
    learning rate for each pass.

    The learning rate falls along half a cosine to nothing: where a training ends does not hang on
    when someone stops it.
    """
    passes = epochs or max(FEWEST_PASSES, -(-STEPS // steps_of(count)))
    for number in range(passes):
        done = number / passes
        left = max(0.0, 1 - done / PULLED)
        rate = LEARNING_RATE * (1 + np.cos(np.pi * done)) / 2
        yield PULL * left, 1 + (BETA_START - 1) * left, float(rate)


def steps_of(count: int) -> int:
    """Equal batches in one pass over so many sub-images: of at most BATCH, but a few at least."""
    return max(-(-count // BATCH), min(FEWEST_STEPS, count // SMALLEST_BATCH), 1)


def train(
    motifs, data: dict, *, epochs: int | None, beta: float, seed: int, progress: bool,
    watch=None, draw=None,
) -> list[dict]:  # fmt: skip
    """Fit `motifs` to sub-images that stand upright; returns one row a pass.

    `data` holds what `Motifs.loss` needs, of all sub-images. `draw(epoch)` gives other data for
    each pass after the first, where there are too many to hold.
    """
    count = len(data["upright"])
    chance = torch.Generator(data["upright"].device).manual_seed(seed)
    optimiser = _optimiser(motifs, count)
    plan = list(schedule(count, epochs))
    history = []
    bar = tqdm(plan, desc="rVAE", unit="epoch", disable=not progress)
    for pull, factor, rate in bar:
        for group in optimiser.param_groups:
            group["lr"] = rate * group["pace"]
        if draw and history:
            data = draw(len(history))
        row = _one_pass(motifs, data, factor * beta, pull, optimiser, chance)
        row |= {"sigma": motifs.log_sigma.exp().item(), "beta": factor * beta}
        row["learning_rate"] = rate
        history.append({"epoch": len(history) + 1, **row})
        bar.set_postfix({name: f"{row[name]:.2f}" for name in ("loss", "misfit", "kl")})
        if watch and watch(history[-1]):
            break
    return history


def _one_pass(motifs, data: dict, beta: float, pull: float, optimiser, chance) -> dict[str, float]:
    """One pass over all sub-images in a new order; returns the averages of the pass."""
    count = len(data["upright"])
    order = torch.randperm(count, generator=chance, device=data["upright"].device)

    def loss(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch = {name: values[rows] for name, values in data.items()}
        return motifs.loss(batch, beta, pull, chance)

    return descend(loss, order.tensor_split(steps_of(count)), optimiser)


class AdamW:
    """AdamW, by the function of torch: its class would load a compiler, which takes seconds.

    Each group of parameters is a dict: `params`, `lr` (the learning rate) and `weight_decay`.
    """

    def __init__(self, groups: list[dict]):
        self.param_groups = groups
        self.state = {}
        for param in (param for group in groups for param in group["params"]):
            no_step = torch.zeros((), device=param.device)
            self.state[param] = torch.zeros_like(param), torch.zeros_like(param), no_step

    def zero_grad(self) -> None:
        for param in self.state:
            param.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            gradients = [param.grad for param in params]
            means, squares, steps = map(list, zip(*map(self.state.get, params), strict=True))
            options = {"lr": group["lr"], "weight_decay": group["weight_decay"], "eps": 1e-8}
            options |= dict(zip(("beta1", "beta2"), ADAM_BETAS, strict=True))
            options |= {"amsgrad": False, "maximize": False, "fused": True}
            adamw(params, gradients, means, squares, [], steps, **options)


def _optimiser(motifs, count: int) -> AdamW:
    networks = [*motifs.encoder.parameters(), *motifs.decoder.parameters()]
    decay = min(1.0, (FEW / count) ** 2)
    groups = [
        {"params": networks, "pace": 1, "weight_decay": decay},
        {"params": [motifs.log_sigma, motifs.log_shift], "pace": SIGMA_PACE, "weight_decay": 0.0},
    ]
    return AdamW(groups)


def descend(loss, batches, optimiser) -> dict[str, float]:
    """One step down for each batch; `loss(batch)`, its misfit and its KL, averaged over all."""
    totals = 0
    count = sum(map(len, batches))
    for batch in batches:
        parts = loss(batch)
        optimiser.zero_grad()
        parts[0].backward()
        optimiser.step()
        totals += len(batch) / count * torch.stack(parts).detach()
    return dict(zip(("loss", "misfit", "kl"), totals.tolist(), strict=True))
