"""Networks, and how they are trained: the loop, and how long it runs."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.optim.adamw import adamw
from tqdm.auto import tqdm

HIDDEN = 128
BATCH = 320  # sub-images, at most
SMALLEST_BATCH = 32
FEWEST_STEPS = 8  # of a pass
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
    widths = [n_in, *hidden * [HIDDEN]]
    layers = []
    for width, next_width in pairwise(widths):
        layers.append(nn.Linear(width, next_width))
        layers.append(activation())
    layers.append(nn.Linear(HIDDEN, n_out))
    return nn.Sequential(*layers)


def schedule(count: int, epochs: int | None) -> Iterator[tuple[float, float, float]]:
    """Yield the pull towards the first latents, beta as a multiple of its end value, and the
    learning rate for each pass.

    The learning rate falls along half a cosine to nothing: where a training ends does not hang on
    when someone stops it.
    """
    passes = epochs
    if passes is None:
        enough = -(-STEPS // steps_of(count))  # rounded up
        passes = max(FEWEST_PASSES, enough)
    for number in range(passes):
        done = number / passes
        left = max(0.0, 1 - done / PULLED)
        pull = PULL * left
        factor = 1 + (BETA_START - 1) * left
        rate = LEARNING_RATE * (1 + np.cos(np.pi * done)) / 2
        yield pull, factor, float(rate)


def steps_of(count: int) -> int:
    """Equal batches in one pass over so many sub-images: of at most BATCH, but a few at least."""
    full_batches = -(-count // BATCH)  # rounded up
    small_batches = min(FEWEST_STEPS, count // SMALLEST_BATCH)
    return max(full_batches, small_batches, 1)


def train(
    motifs,
    data: dict,
    *,
    epochs: int | None,
    beta: float,
    seed: int,
    progress: bool,
    watch=None,
    draw=None,
) -> list[dict]:
    """Fit `motifs` to sub-images that stand upright; returns one row a pass.

    `data` holds what `Motifs.loss` needs, of all sub-images. `draw(epoch)` gives other data for
    each pass after the first, where there are too many to hold.
    """
    count = len(data["upright"])
    chance = torch.Generator(data["upright"].device).manual_seed(seed)
    optimiser = _optimiser(motifs, count)
    history = []
    bar = tqdm(list(schedule(count, epochs)), desc="rVAE", unit="epoch", disable=not progress)
    for pull, factor, rate in bar:
        optimiser.set_rate(rate)
        if draw and history:
            data = draw(len(history))
        averages = _one_pass(motifs, data, optimiser, chance, beta=factor * beta, pull=pull)
        row = {"epoch": len(history) + 1, **averages}
        row["sigma"] = motifs.log_sigma.exp().item()
        row["beta"] = factor * beta
        row["learning_rate"] = rate
        history.append(row)
        bar.set_postfix({name: f"{value:.2f}" for name, value in averages.items()})
        if watch and watch(row):
            break
    return history


def _one_pass(
    motifs,
    data: dict,
    optimiser,
    chance: torch.Generator,
    *,
    beta: float,
    pull: float,
) -> dict[str, float]:
    """One pass over all sub-images in a new order; returns the averages of the pass."""
    count = len(data["upright"])
    order = torch.randperm(count, generator=chance, device=data["upright"].device)

    def loss(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        batch = {name: values[rows] for name, values in data.items()}
        return motifs.loss(batch, beta, pull, chance)

    batches = order.tensor_split(steps_of(count))
    return descend(loss, batches, optimiser)


class AdamW:
    """AdamW, by the function of torch: its class would load a compiler, which takes seconds.

    Each group of parameters is a dict: `params`, `lr` (the learning rate) and `weight_decay`.
    """

    def __init__(self, groups: list[dict]):
        self.param_groups = groups
        self.state = {}
        for group in groups:
            for param in group["params"]:
                mean = torch.zeros_like(param)
                square = torch.zeros_like(param)
                n_steps = torch.zeros((), device=param.device)
                self.state[param] = (mean, square, n_steps)

    def set_rate(self, rate: float) -> None:
        for group in self.param_groups:
            group["lr"] = rate * group["pace"]

    def zero_grad(self) -> None:
        for param in self.state:
            param.grad = None

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not params:
                continue
            states = [self.state[param] for param in params]
            adamw(
                params,
                [param.grad for param in params],
                [mean for mean, _, _ in states],
                [square for _, square, _ in states],
                [],  # largest squares: of another variant
                [n_steps for _, _, n_steps in states],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                beta1=ADAM_BETAS[0],
                beta2=ADAM_BETAS[1],
                eps=1e-8,
                amsgrad=False,
                maximize=False,
                fused=True,
            )


def _optimiser(motifs, count: int) -> AdamW:
    """The networks at the pace of the schedule, the two single numbers faster."""
    networks = {
        "params": [*motifs.encoder.parameters(), *motifs.decoder.parameters()],
        "pace": 1,
        "weight_decay": min(1.0, (FEW / count) ** 2),
    }
    numbers = {
        "params": [motifs.log_sigma, motifs.log_shift],
        "pace": SIGMA_PACE,
        "weight_decay": 0.0,
    }
    return AdamW([networks, numbers])


def descend(loss, batches, optimiser) -> dict[str, float]:
    """One step down for each batch; `loss(batch)`, its misfit and its KL, averaged over all."""
    totals = 0
    count = sum(len(batch) for batch in batches)
    for batch in batches:
        parts = loss(batch)
        optimiser.zero_grad()
        parts[0].backward()
        optimiser.step()
        share = len(batch) / count
        totals += share * torch.stack(parts).detach()
    loss_mean, misfit_mean, kl_mean = totals.tolist()
    return {"loss": loss_mean, "misfit": misfit_mean, "kl": kl_mean}
