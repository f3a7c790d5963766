"""What a trained model says of each sub-image, with its uncertainty."""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import special

from .angles import fold_angles
from .noise import Noise

NARROW_RAD = 0.02  # below this a maximum of the posterior counts as Gaussian
CIRCLE = np.linspace(-np.pi, np.pi, 720, endpoint=False)  # where a wide posterior is summed up
PART = 4096  # sub-images encoded at a time


@dataclass(frozen=True)
class Encoding:
    """What the model says of M sub-images.

    Attributes
    ----------
    angle : (M,) float64
        The most probable turn of each motif, radians in (-pi, pi], counter-clockwise as displayed.
    angle_sd : (M,) float64
        Rms distance from `angle` under the posterior, radians. Where two angles explain the data
        alike it is large, and rightly so; `folded_sd` judges modulo a symmetry.
    latent, latent_sd : (M, d) float64
    residual : (M,) float64
        Rms misfit within the band limit in units of the learned noise: about 1 for a good fit.
    offset : (M, 2) float64
        Where the motif lies, [row, column] in px from the window's centre. What a model without
        `offsets=True` has learned to draw with its latents is not seen here.
    modes, mode_probability, mode_sd : (M, N) float64
        The N highest maxima of the posterior of the angle: where (radians), how probable, how wide.
    """

    angle: np.ndarray
    angle_sd: np.ndarray = field(init=False)
    latent: np.ndarray
    latent_sd: np.ndarray
    residual: np.ndarray
    offset: np.ndarray
    modes: np.ndarray = field(repr=False)
    mode_probability: np.ndarray = field(repr=False)
    mode_sd: np.ndarray = field(repr=False)
    _series: np.ndarray = field(repr=False)  # (M, 2m + 1), log posterior of the angle

    def __post_init__(self):
        object.__setattr__(self, "angle", fold_angles(self.angle, 1))
        object.__setattr__(self, "modes", fold_angles(self.modes, 1))
        object.__setattr__(self, "angle_sd", self.folded_sd(1))

    def __len__(self) -> int:
        return len(self.angle)

    def angle_posterior(self, angles: np.ndarray | None = None, rows=slice(None)) -> np.ndarray:
        """Probability of each of A angles, (M, A), every row summing to 1.

        Parameters
        ----------
        angles : (A,) evenly spaced radians; 360 from -pi by default.
        rows : slice or indices of the sub-images wanted; all by default.
        """
        angles = CIRCLE[::2] if angles is None else np.asarray(angles)
        series = self._series[rows]
        phase = np.arange(1, (series.shape[1] + 1) // 2)[:, None] * angles
        log_p = series[:, 1:] @ np.concatenate([np.cos(phase), np.sin(phase)])
        return special.softmax(log_p, axis=1)

    def folded_sd(self, order: int) -> np.ndarray:
        """Rms distance (M,) from `angle` modulo 2 pi / order, radians."""
        away = fold_angles(self.modes - self.angle[:, None], order)
        variance = (self.mode_probability * (away**2 + self.mode_sd**2)).sum(axis=1)
        wide = np.flatnonzero(self.mode_sd[:, 0] > NARROW_RAD)
        for rows in np.array_split(wide, len(wide) // 1024 + 1):
            away = fold_angles(CIRCLE - self.angle[rows, None], order)
            variance[rows] = (self.angle_posterior(CIRCLE, rows) * away**2).sum(axis=1)
        return np.sqrt(variance)


@torch.no_grad()
def encode_all(motifs, c: torch.Tensor, of_class: torch.Tensor, noise: Noise) -> Encoding:
    """What trained `motifs` say of normalised coefficients (M, K) of classes (M, n)."""
    pairs = zip(c.split(PART), of_class.split(PART), strict=True)
    parts = [_encode_part(motifs, *pair, noise) for pair in pairs]
    return Encoding(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _encode_part(motifs, c, of_class, noise: Noise) -> list[np.ndarray]:
    """The arrays of an Encoding, in the order of its fields."""
    z, log_variance = motifs.propose_best(c, of_class)
    g, series = motifs.draw(z, of_class), motifs.shifted
    latent_sd = (log_variance.exp() @ (motifs.axes**2).T).sqrt()
    spread = c.new_tensor([noise.effective_sigma, noise.shift_px]).log()
    posterior, _ = series.log_posterior(c, g, *spread)
    turn = series.best_angle(posterior)
    fitted, offset = series.fitted(c, g, turn, *spread)
    residual = (c - fitted).square().mean(-1).sqrt() / motifs.log_sigma.exp()
    gauge = motifs.gauge(g)
    posterior = series.turn(posterior, gauge)
    values = [turn + gauge, z @ motifs.axes.T, latent_sd, residual, offset]
    values += [*series.modes(posterior), posterior]
    return [v.double().cpu().numpy() for v in values]
