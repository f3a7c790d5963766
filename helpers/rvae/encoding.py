"""What a trained model says of each sub-image, with its uncertainty."""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import special

from ..results.angles import fold_angles
from .noise import WELL_FITTED, Noise
from .posterior import N_MODES

NARROW_RAD = 0.02  # below this a maximum of the posterior counts as Gaussian
CIRCLE = np.linspace(-np.pi, np.pi, 720, endpoint=False)  # where a wide posterior is summed up
PART = 4096  # sub-images encoded at a time
WAYS = 4  # in which a sub-image may stand that are tried
NO_WAY = 1e-4  # a way that is less probable than this is left out
OF_A_PATTERN = 16.0  # numbers that describe what a motif leaves of a window on two grains
SAME_MODE = 3.0  # standard deviations: nearer maxima of two ways are one


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
    kind : (M,) int
        The kind of motif it most probably is; -1 where the training found none.
    kind_probability : (M, n) float64
    order : (M,) int
        The angle is known modulo 2 pi / order, as the order of the kind says; 0: not at all.
    modes, mode_probability, mode_sd : (M, N) float64
        The N highest maxima of the posterior of the angle: where (radians), how probable, how wide.
        All ways in which a sub-image may stand count, with the kinds and latents that go with them.
    """

    angle: np.ndarray
    angle_sd: np.ndarray = field(init=False)
    latent: np.ndarray
    latent_sd: np.ndarray
    residual: np.ndarray
    offset: np.ndarray
    kind: np.ndarray
    kind_probability: np.ndarray = field(repr=False)
    order: np.ndarray
    modes: np.ndarray = field(repr=False)
    mode_probability: np.ndarray = field(repr=False)
    mode_sd: np.ndarray = field(repr=False)
    _ways: "Ways" = field(repr=False)

    def __post_init__(self):
        object.__setattr__(self, "angle", fold_angles(self.angle, 1))
        object.__setattr__(self, "modes", fold_angles(self.modes, 1))
        object.__setattr__(self, "angle_sd", self.folded_sd(1))

    def __len__(self) -> int:
        return len(self.angle)

    @property
    def living(self) -> np.ndarray:
        """Which latents (d,) bool tell sub-images apart: they spread by more than their own sd."""
        return self.latent.std(axis=0) > np.median(self.latent_sd, axis=0)

    def angle_posterior(self, angles: np.ndarray | None = None, rows=slice(None)) -> np.ndarray:
        """Probability of each of A angles, (M, A), every row summing to 1.

        Parameters
        ----------
        angles : (A,) evenly spaced radians; 360 from -pi by default.
        rows : slice or indices of the sub-images wanted; all by default.
        """
        angles = CIRCLE[::2] if angles is None else np.asarray(angles)
        return self._ways.posterior(angles, np.arange(len(self))[rows])

    def folded_sd(self, order: int) -> np.ndarray:
        """Rms distance (M,) from `angle` modulo 2 pi / order, radians."""
        away = fold_angles(self.modes - self.angle[:, None], order)
        variance = (self.mode_probability * (away**2 + self.mode_sd**2)).sum(axis=1)
        wide = np.flatnonzero(self.mode_sd[:, 0] > NARROW_RAD)
        for rows in np.array_split(wide, len(wide) // 1024 + 1):
            away = fold_angles(CIRCLE - self.angle[rows, None], order)
            variance[rows] = (self.angle_posterior(CIRCLE, rows) * away**2).sum(axis=1)
        return np.sqrt(variance)


@dataclass(frozen=True)
class Ways:
    """The posterior of the angle, as a sum over the ways in which sub-images may stand.

    Most have one way that counts, a few have more, so they are kept in one list.

    Attributes
    ----------
    row : (S,) int, ascending
        The sub-image that each belongs to.
    weight : (S,) float64
        Probability of the way; those of a sub-image sum to 1.
    series : (S, 2m + 1) float32
        log posterior of the angle, given the way.
    """

    row: np.ndarray
    weight: np.ndarray
    series: np.ndarray

    def posterior(self, angles: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Probability (R, A) of each of A angles for each of the sub-images `rows` (R,)."""
        phase = np.arange(1, (self.series.shape[1] + 1) // 2)[:, None] * angles
        waves = np.concatenate([np.cos(phase), np.sin(phase)])
        first, end = (np.searchsorted(self.row, rows, side=side) for side in ("left", "right"))
        total = np.zeros((len(rows), len(angles)))
        for number in range((end - first).max(initial=0)):
            has = first + number < end
            at = first[has] + number
            log_p = self.series[at, 1:] @ waves
            total[has] += self.weight[at, None] * special.softmax(log_p, axis=1)
        return total


@torch.no_grad()
def encode_all(motifs, pieces, c: torch.Tensor, of_class: torch.Tensor, noise: Noise) -> Encoding:
    """What trained `motifs` say of normalised coefficients (M, K) of classes (M, n)."""
    parts, ways = [], []
    for first in range(0, len(c), PART):
        part = slice(first, first + PART)
        values, row, weight, series = _encode_part(motifs, pieces, c[part], of_class[part], noise)
        parts.append([v.double().cpu().numpy() for v in values])
        ways.append((row.cpu().numpy() + first, weight.cpu().numpy(), series.cpu().numpy()))
    fields = [np.concatenate(values) for values in zip(*parts, strict=True)]
    angle, latent, latent_sd, residual, offset, kind, probability, *modes = fields
    kind = kind.astype(int) if pieces.names else np.full(len(c), -1)
    return Encoding(
        angle, latent, latent_sd, residual, offset, kind, probability[:, : len(pieces.names)],
        pieces.order_of(kind), *modes,
        Ways(*(np.concatenate(values) for values in zip(*ways, strict=True))),
    )  # fmt: skip


def _encode_part(motifs, pieces, c, of_class, noise: Noise):
    """The arrays of an Encoding, and the rows, weights and series of its ways."""
    found = [_in_one_way(motifs, pieces, c, of_class, noise, t) for t in pieces.ways(c, WAYS).T]
    kind = torch.stack([way["kind"] for way in found], dim=1)  # (B, W)
    evidence = torch.stack([way["evidence"] for way in found], dim=1)
    best = evidence.argmax(1)
    rows = torch.arange(len(c), device=c.device)

    def chosen(name: str) -> torch.Tensor:
        return torch.stack([way[name] for way in found])[best, rows]

    g, kind_best = chosen("g"), kind[rows, best]
    series, spread = motifs.shifted, c.new_tensor([noise.effective_sigma, noise.shift_px]).log()
    of_best, angle, offset, misfit = _best_fit(series, c, g, spread)
    residual = misfit.sqrt() / motifs.log_sigma.exp()
    trust = _trust(misfit / noise.sigma**2, c.shape[1])
    weight = torch.softmax(trust[:, None] * evidence, dim=1)
    row, way = (weight > NO_WAY).nonzero(as_tuple=True)
    drawn = torch.stack([one["g"] for one in found], dim=1)[row, way]
    is_best = way == best[row]
    posterior = of_best[row]
    posterior[~is_best] = series.log_posterior(c[row[~is_best]], drawn[~is_best], *spread)[0]
    gauge = motifs.gauge(drawn, kind[row, way])
    posterior = series.turn(trust[row, None] * posterior, gauge)
    weight = weight[row, way].double()
    weight = weight / weight.new_zeros(len(c)).index_add(0, row, weight)[row]
    probability = weight.new_zeros(len(c), pieces.count)
    probability.index_put_((row, kind[row, way]), weight, accumulate=True)
    latent_sd = (chosen("log_variance").exp() @ (motifs.axes**2).T).sqrt()
    latent = chosen("z") @ motifs.axes.T
    values = [angle + gauge[is_best], latent, latent_sd, residual, offset]
    values += [kind_best, probability, *_modes(series, posterior, row, weight, len(c))]
    return values, row, weight, posterior


def _best_fit(series, c, g, spread) -> tuple[torch.Tensor, ...]:
    """Of sub-images (B, K) and motifs (B, K): the log posterior of the angle, its top (B,), the
    offset (B, 2), and the mean square (B,) of what is left."""
    posterior, _ = series.log_posterior(c, g, *spread)
    angle = series.best_angle(posterior)
    fitted, offset = series.fitted(c, g, angle, *spread)
    return posterior, angle, offset, (c - fitted).square().mean(-1)


def _trust(misfit: torch.Tensor, count: int) -> torch.Tensor:
    """By how much the log posterior (B,) of badly fitted sub-images is to be believed.

    What no motif fits, as a window on two grains, leaves a pattern, which is no noise: it is as
    large an error of a few numbers as it is of all `count` coefficients together.
    """
    excess = (misfit - WELL_FITTED).clamp_min(0)
    return 1 / (1 + excess * count / OF_A_PATTERN)


def _in_one_way(motifs, pieces, c, of_class, noise: Noise, turn) -> dict:
    """What sub-images (B, K) are if they are turned by `turn` (B,): latents, motif, kind."""
    upright = motifs.series.rotate(c, -turn)
    nearest = pieces.mixture.motifs[pieces.nearest(upright)]
    rest = motifs.series.small_turn(motifs.series.of(upright, nearest))
    upright = motifs.series.rotate(upright, -rest)
    z, log_variance = motifs.propose(motifs.seen(upright, pieces), of_class)
    g = motifs.draw(z, of_class)
    kind = pieces.kind[pieces.nearest(g)]
    turns = torch.as_tensor(pieces.order_of(kind.cpu().numpy()) > 0, device=c.device)
    round_part = torch.as_tensor(pieces.basis.order == 0, device=c.device)
    g = torch.where(turns[:, None] | round_part, g, 0.0)  # no turn is known of a round motif
    spread = c.new_tensor([noise.effective_sigma, noise.shift_px]).log()
    evidence = motifs.shifted.evidence(upright, g, *spread)
    evidence = evidence + log_variance.sum(-1) / 2 + motifs.log_prior(z, kind)
    return {"z": z, "log_variance": log_variance, "g": g, "kind": kind, "evidence": evidence}


def _modes(series, posterior, row, weight, count: int) -> list[torch.Tensor]:
    """Maxima (B, N) of the posteriors of all ways together: angle, probability, sd."""
    angle, share, sd = series.modes(posterior)
    share = share * weight[:, None].to(share)
    place = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
    all_modes = angle.new_zeros(3, count, WAYS, angle.shape[1])
    all_modes[:, row, place] = torch.stack([angle, share, sd])
    angle, share, sd = all_modes.flatten(2)
    several = torch.bincount(row, minlength=count) > 1
    share[several] = _merged(angle[several], share[several], sd[several])
    best = share.argsort(dim=1, descending=True, stable=True)[:, :N_MODES]
    return [values.gather(1, best) for values in (angle, share, sd)]


def _merged(angle, share, sd) -> torch.Tensor:
    """Probabilities (B, N) of maxima, where those at one angle are given to the likeliest."""
    share = share.clone()
    order = share.argsort(dim=1, descending=True, stable=True)
    away = torch.remainder(angle[:, :, None] - angle[:, None] + np.pi, 2 * np.pi) - np.pi
    near = away.abs() < SAME_MODE * torch.maximum(sd[:, :, None], sd[:, None])
    rows = torch.arange(len(share), device=share.device)
    for column in order.T:  # the likeliest first
        taken = near[rows, column] & (share > 0) & (share[rows, column] > 0)[:, None]
        total = (share * taken).sum(1)
        share = torch.where(taken, 0.0, share)
        share[rows, column] += total
    return share
