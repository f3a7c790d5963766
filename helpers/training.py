"""How the networks of an rVAE are trained: the loop, when it calms down, and when it ends."""

from __future__ import annotations

import numpy as np
import torch
from tqdm.auto import tqdm

BATCH, SMALLEST_BATCH, FEWEST_STEPS = 320, 32, 8
SIGMA_PACE = 5  # one number falls by a factor of ten: it may move faster than the networks
ADAM_BETAS = (0.9, 0.98)  # gradients change fast as the noise level falls: forget old ones
LEARNING_RATE = 3e-3
BETA_START = 31.0  # times its end value: the angle must settle before z may speak
ANNEAL_STEPS = 360
PATIENCE_STEPS = 80
PART = 2048  # sub-images turned upright at a time
LEAST_GAIN, LEAST_TOTAL_GAIN = 0.2, 400  # nats a sub-image, and of all: less is learnt by heart
PACES = (1.0, 0.3)  # of the learning rate, one a stage


class Schedule:
    """When beta and the learning rate fall, and when training ends.

    beta falls in the first part (or half of a given number of epochs). After it the learning rate
    falls when the loss has stopped falling; the second time that happens, training has converged.
    A network can learn a few hundred sub-images by heart: the fewer they are, the more must each
    gain for training to go on.

    Attributes
    ----------
    epoch : int
        Passes made so far.
    stage : int
        0 while beta falls, then 1 and 2; 3 when training has ended.
    """

    def __init__(self, count: int, epochs: int | None):
        steps = steps_of(count)
        self.epochs, self.epoch, self.stage = epochs, 0, 0
        self.anneal = max(1, -(-ANNEAL_STEPS // steps) if epochs is None else epochs // 2)
        self.patience = max(2, -(-PATIENCE_STEPS // steps))
        self.least_gain = max(LEAST_GAIN, LEAST_TOTAL_GAIN / count)
        self.since, self.best = 0, np.inf

    @property
    def beta_factor(self) -> float:
        return 1 + (BETA_START - 1) * max(0.0, 1 - self.epoch / self.anneal)

    @property
    def learning_rate(self) -> float:
        if self.epochs is None or self.stage == 0:
            return LEARNING_RATE * PACES[max(0, self.stage - 1)]
        left = (self.epochs - self.epoch) / max(1, self.epochs - self.anneal)
        return LEARNING_RATE * max(0.1, left)

    @property
    def done(self) -> bool:
        return self.epoch == self.epochs or self.stage > len(PACES)

    def record(self, loss: float) -> None:
        """Take note of a finished pass and its loss."""
        self.epoch += 1
        if self.stage == 0:
            self.stage = int(self.epoch >= self.anneal)
        elif self.epochs is None:
            self.since = 0 if loss < self.best - self.least_gain else self.since + 1
            self.best = min(self.best, loss)
            if self.since >= self.patience:
                self.stage, self.since, self.best = self.stage + 1, 0, np.inf


def steps_of(count: int) -> int:
    """Equal batches in one pass over so many sub-images: of at most BATCH, but a few at least."""
    return max(-(-count // BATCH), min(FEWEST_STEPS, count // SMALLEST_BATCH), 1)


def train(
    motifs: torch.nn.Module,
    c: torch.Tensor,
    of_class: torch.Tensor,
    *,
    epochs: int | None,
    beta: float,
    seed: int,
    progress: bool,
) -> list[dict]:
    """Fit `motifs` to coefficients c (M, K) of classes (M, n); return one row a pass.

    `beta` is the end value; `epochs=None` stops when the loss has stopped falling.
    """
    chance = torch.Generator(c.device).manual_seed(seed)
    noise = [motifs.log_sigma, motifs.log_shift]
    networks = [*motifs.encoder.parameters(), *motifs.decoder.parameters()]
    groups = [{"params": networks, "pace": 1}, {"params": noise, "pace": SIGMA_PACE}]
    optimiser = torch.optim.Adam(groups, lr=LEARNING_RATE, betas=ADAM_BETAS, fused=True)
    plan, history = Schedule(len(c), epochs), []
    with tqdm(total=epochs, desc="rVAE", unit="epoch", disable=not progress) as bar:
        while not plan.done:
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * group["pace"]
            weight = beta * plan.beta_factor
            row = _one_pass(motifs, c, of_class, weight, optimiser, chance)
            row |= {"beta": weight, "learning_rate": plan.learning_rate}
            plan.record(row["loss"])
            history.append({"epoch": plan.epoch, **row})
            bar.set_postfix({name: f"{row[name]:.2f}" for name in ("loss", "misfit", "kl")})
            bar.update()
    return history


def _one_pass(motifs, c, of_class, beta: float, optimiser, chance: torch.Generator) -> dict:
    """One pass over all sub-images; returns the averages of the pass."""
    totals = torch.zeros(3, device=c.device)
    order = torch.randperm(len(c), generator=chance, device=c.device)
    pairs = zip(c.split(PART), of_class.split(PART), strict=True)
    upright = torch.cat([motifs.upright(*pair) for pair in pairs])  # the motif moves little a pass
    for batch in order.tensor_split(steps_of(len(c))):
        parts = motifs.loss(c[batch], upright[batch], of_class[batch], beta, chance)
        optimiser.zero_grad()
        parts[0].backward()
        optimiser.step()
        totals += len(batch) / len(c) * torch.stack(parts).detach()
    averages = dict(zip(("loss", "misfit", "kl"), totals.tolist(), strict=True))
    return averages | {"sigma": motifs.log_sigma.exp().item()}
