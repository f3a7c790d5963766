"""When the training of an rVAE calms down, and when it ends."""

from __future__ import annotations

import numpy as np

LEARNING_RATE = 3e-3
BETA_START = 31.0  # times its end value: the angle must settle before z may speak
ANNEAL_STEPS = 400
PATIENCE_STEPS = 80
LEAST_GAIN = 0.2  # nats a sub-image
PACES = (1.0, 0.3)  # of the learning rate, one a stage


class Schedule:
    """When beta and the learning rate fall, and when training ends.

    beta falls in the first part (or half of a given number of epochs). After it the learning rate
    falls when the loss has stopped falling; the second time that happens, training has converged.

    Attributes
    ----------
    epoch : int
        Passes made so far.
    stage : int
        0 while beta falls, then 1 and 2; 3 when training has ended.
    """

    def __init__(self, steps: int, epochs: int | None):
        self.epochs, self.epoch, self.stage = epochs, 0, 0
        self.anneal = max(1, -(-ANNEAL_STEPS // steps) if epochs is None else epochs // 2)
        self.patience = max(2, -(-PATIENCE_STEPS // steps))
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
            self.since = 0 if loss < self.best - LEAST_GAIN else self.since + 1
            self.best = min(self.best, loss)
            if self.since >= self.patience:
                self.stage, self.since, self.best = self.stage + 1, 0, np.inf
