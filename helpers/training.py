"""Networks, and how they are trained: the loop, when it calms down, and when it ends."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

HIDDEN = 128
BATCH, SMALLEST_BATCH, FEWEST_STEPS = 320, 32, 8
SIGMA_PACE = 5  # one number falls by a factor of ten: it may move faster than the networks
ADAM_BETAS = (0.9, 0.98)  # gradients change fast as the noise level falls: forget old ones
LEARNING_RATE = 3e-3
BETA_START = 31.0  # times its end value: the angle must settle before z may speak
ANNEAL_STEPS, PATIENCE_STEPS, COOLING_STEPS = 360, 80, 160
SETTLED_STEPS = 540  # after them, what is called upright stays so
LONGEST = 500  # passes, should the loss never stop falling
PART = 2048  # sub-images turned upright at a time
LEAST_GAIN, LEAST_TOTAL_GAIN = 0.2, 400  # nats a sub-image, and of all: less is learnt by heart
FEW = 300  # sub-images: they can be learnt by heart, unless the weights are kept small


def network(n_in: int, n_out: int, hidden: int = 2, *, activation=nn.SiLU) -> nn.Sequential:
    """A network with so many hidden layers of 128 numbers each."""
    sizes = pairwise([n_in, *hidden * [HIDDEN]])
    layers = [layer for size in sizes for layer in (nn.Linear(*size), activation())]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, n_out))


def schedule(count: int, epochs: int | None, history: list[dict]) -> Iterator[tuple[float, float]]:
    """Yield beta, as a multiple of its end value, and the learning rate for each pass.

    beta falls in the first part (or half of a given number of epochs). When the loss has then
    stopped falling, the learning rate falls to zero in a few last passes. A network can learn a few
    hundred sub-images by heart: the fewer they are, the more must each gain for training to go on.
    The loss of a pass is read from the row it leaves in `history`.
    """
    steps = steps_of(count)
    anneal = max(1, -(-ANNEAL_STEPS // steps) if epochs is None else epochs // 2)
    for epoch in range(anneal):
        yield 1 + (BETA_START - 1) * (1 - epoch / anneal), LEARNING_RATE
    cooling = -(-COOLING_STEPS // steps) if epochs is None else epochs - anneal
    if epochs is None:
        patience = max(2, -(-PATIENCE_STEPS // steps))
        least_gain = max(LEAST_GAIN, LEAST_TOTAL_GAIN / count)
        since, best = 0, np.inf
        while since < patience and len(history) < LONGEST:
            yield 1.0, LEARNING_RATE
            loss = history[-1]["loss"]
            since = since + 1 if loss >= best - least_gain else 0
            best = min(best, loss)
    for left in range(cooling, 0, -1):
        yield 1.0, LEARNING_RATE * left / cooling


def steps_of(count: int) -> int:
    """Equal batches in one pass over so many sub-images: of at most BATCH, but a few at least."""
    return max(-(-count // BATCH), min(FEWEST_STEPS, count // SMALLEST_BATCH), 1)


def train(
    motifs, c, of_class, *, epochs: int | None, beta: float, seed: int, progress: bool, watch=None,
    draw=None,
) -> list[dict]:  # fmt: skip
    """Fit `motifs` to coefficients c (M, K) of classes (M, n); return one row a pass.

    `beta` is the end value; `epochs=None` stops when the loss has stopped falling. `draw(epoch)`
    gives other coefficients for each pass after the first, where there are too many to hold.
    """
    chance = torch.Generator(c.device).manual_seed(seed)
    noise = [motifs.log_sigma, motifs.log_shift]
    networks = [*motifs.encoder.parameters(), *motifs.decoder.parameters()]
    groups = [{"params": networks, "pace": 1, "weight_decay": min(1.0, (FEW / len(c)) ** 2)}]
    groups += [{"params": noise, "pace": SIGMA_PACE, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=ADAM_BETAS, fused=True)
    history, settled = [], -(-SETTLED_STEPS // steps_of(len(c)))
    plan = schedule(len(c), epochs, history)
    bar = tqdm(plan, total=epochs, desc="rVAE", unit="epoch", disable=not progress)
    for factor, rate in bar:
        for group in optimiser.param_groups:
            group["lr"] = rate * group["pace"]
        if draw and history:
            c = draw(len(history))
            of_class = of_class.new_zeros(len(c), of_class.shape[1])
        if len(history) <= settled:
            motifs.renew_usual(of_class)
        row = _one_pass(motifs, c, of_class, beta * factor, optimiser, chance)
        about = {"beta": beta * factor, "learning_rate": rate}
        history.append({"epoch": len(history) + 1, **row, **about})
        bar.set_postfix({name: f"{row[name]:.2f}" for name in ("loss", "misfit", "kl")})
        if watch and watch(history[-1]):
            break
    return history


def _one_pass(motifs, c, of_class, beta: float, optimiser, chance: torch.Generator) -> dict:
    """One pass over all sub-images; returns the averages of the pass."""
    order = torch.randperm(len(c), generator=chance, device=c.device)
    pairs = zip(c.split(PART), of_class.split(PART), strict=True)
    upright = torch.cat([motifs.upright(*pair) for pair in pairs])  # the motif moves little a pass

    def loss(batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return motifs.loss(c[batch], upright[batch], of_class[batch], beta, chance)

    averages = descend(loss, order.tensor_split(steps_of(len(c))), optimiser)
    return averages | {"sigma": motifs.log_sigma.exp().item()}


def descend(loss, batches, optimiser) -> dict[str, float]:
    """One step down for each batch; `loss(batch)`, its misfit and its KL, averaged over all."""
    totals, count = 0, sum(map(len, batches))
    for batch in batches:
        parts = loss(batch)
        optimiser.zero_grad()
        parts[0].backward()
        optimiser.step()
        totals += len(batch) / count * torch.stack(parts).detach()
    return dict(zip(("loss", "misfit", "kl"), totals.tolist(), strict=True))
