"""When the training of an rVAE calms down, and when it ends."""

from __future__ import annotations

import numpy as np

LEARNING_RATE = 3e-3
BETA_START = 31.0  # times its end value: the angle must settle before z may speak
ANNEAL_STEPS = 600


class Schedule:
    """When beta and the learning rate fall, and when training ends.

    beta falls in the first part (or half of a given number of epochs). After it the learning rate
    falls whenever the loss has stopped falling; the second time, training has converged.
    """

    patience = 3
    least_gain = 0.2  # nats a sub-image
    most_falls = 2

    def __init__(self, steps: int, epochs: int | None):
        self.epochs = epochs
        self.anneal = max(1, -(-ANNEAL_STEPS // steps) if epochs is None else epochs // 2)
        self.learning_rate = LEARNING_RATE
        self.since, self.best, self.falls = 0, np.inf, 0

    def beta_factor(self, epoch: int) -> float:
        return 1 + (BETA_START - 1) * max(0.0, 1 - epoch / self.anneal)

    def done(self, history: list[dict]) -> bool:
        n = len(history)
        if self.epochs is not None:
            left = 1 - max(0, n - self.anneal) / max(1, self.epochs - self.anneal)
            self.learning_rate = LEARNING_RATE * max(0.1, left)
            return n >= self.epochs
        if n <= self.anneal:
            return False
        loss = history[-1]["loss"]
        if loss < self.best - self.least_gain:
            self.best, self.since = loss, 0
        else:
            self.since += 1
        if self.since >= self.patience:
            self.since, self.falls = 0, self.falls + 1
            self.learning_rate *= 0.3
        return self.falls >= self.most_falls
