"""What a trained model says of each sub-image, with its uncertainty."""

from collections import defaultdict
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


@dataclass(frozen=True, kw_only=True)
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
        fields = vars(self)  # which are frozen from here on
        fields["angle"] = fold_angles(self.angle, 1)
        fields["modes"] = fold_angles(self.modes, 1)
        fields["angle_sd"] = self.folded_sd(1)

    def __len__(self) -> int:
        return len(self.angle)

    @property
    def living(self) -> np.ndarray:
        """Which latents (d,) bool tell sub-images apart: they spread by more than their own sd."""
        spread = self.latent.std(axis=0)
        typical_sd = np.median(self.latent_sd, axis=0)
        return spread > typical_sd

    def angle_posterior(self, angles: np.ndarray | None = None, rows=slice(None)) -> np.ndarray:
        """Probability of each of A angles, (M, A), every row summing to 1.

        Parameters
        ----------
        angles : (A,) evenly spaced radians; 360 from -pi by default.
        rows : slice or indices of the sub-images wanted; all by default.
        """
        angles = CIRCLE[::2] if angles is None else np.asarray(angles)
        numbers = np.arange(len(self))[rows]
        return self._ways.posterior(angles, numbers)

    def folded_sd(self, order: int) -> np.ndarray:
        """Rms distance (M,) from `angle` modulo 2 pi / order, radians."""
        away = fold_angles(self.modes - self.angle[:, None], order)
        square = away**2 + self.mode_sd**2
        variance = (self.mode_probability * square).sum(axis=1)
        # A wide posterior is no sum of Gaussians: it is summed up around the circle.
        wide = np.flatnonzero(self.mode_sd[:, 0] > NARROW_RAD)
        n_parts = len(wide) // 1024 + 1
        for rows in np.array_split(wide, n_parts):
            away = fold_angles(CIRCLE - self.angle[rows, None], order)
            probability = self.angle_posterior(CIRCLE, rows)
            variance[rows] = (probability * away**2).sum(axis=1)
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
        n_orders = (self.series.shape[1] - 1) // 2
        orders = np.arange(1, n_orders + 1)
        phase = orders[:, None] * angles
        cosines = np.cos(phase)
        sines = np.sin(phase)
        waves = np.concatenate([cosines, sines])
        first = np.searchsorted(self.row, rows, side="left")
        end = np.searchsorted(self.row, rows, side="right")
        most_ways = (end - first).max(initial=0)
        shape = (len(rows), len(angles))
        total = np.zeros(shape)
        for number in range(most_ways):
            has = first + number < end
            at = first[has] + number
            log_p = self.series[at, 1:] @ waves
            probability = special.softmax(log_p, axis=1)
            total[has] += self.weight[at, None] * probability
        return total


@torch.no_grad()
def encode_all(motifs, pieces, c: torch.Tensor, of_class: torch.Tensor, noise: Noise) -> Encoding:
    """What trained `motifs` say of normalised coefficients (M, K) of classes (M, n)."""
    field_parts = defaultdict(list)
    way_parts = defaultdict(list)
    for first in range(0, len(c), PART):
        part = slice(first, first + PART)
        fields, ways = _encode_part(motifs, pieces, c[part], of_class[part], noise)
        ways["row"] = ways["row"] + first
        for name, values in fields.items():
            field_parts[name].append(values.double().cpu())
        for name, values in ways.items():
            way_parts[name].append(values.cpu())
    fields = _joined(field_parts)
    ways = _joined(way_parts)
    fields["kind"] = fields["kind"].astype(int)
    if not pieces.names:
        fields["kind"] = np.full(len(c), -1)
    fields["kind_probability"] = fields["kind_probability"][:, : len(pieces.names)]
    fields["order"] = pieces.order_of(fields["kind"])
    return Encoding(**fields, _ways=Ways(**ways))


def _joined(parts: dict) -> dict:
    """Tensors of parts of the sub-images as one array for each name."""
    return {name: torch.cat(tensors).numpy() for name, tensors in parts.items()}


def _encode_part(motifs, pieces, c, of_class, noise: Noise) -> tuple[dict, dict]:
    """The arrays of an Encoding of sub-images (B, K), and those of its Ways."""
    series = motifs.shifted
    spread = _spread(c, noise)
    ways = _in_all_ways(motifs, pieces, c, of_class, noise)
    best = ways["evidence"].argmax(1)
    rows = torch.arange(len(c), device=c.device)
    chosen = {name: values[rows, best] for name, values in ways.items()}
    of_best, angle, offset, misfit = _best_fit(series, c, chosen["g"], spread)
    trust = _trust(misfit / noise.sigma**2, c.shape[1])
    weight = torch.softmax(trust[:, None] * ways["evidence"], dim=1)
    # From here on S ways of all sub-images stand in one list: those that are probable at all.
    row, way = (weight > NO_WAY).nonzero(as_tuple=True)
    weight = _normalised(weight[row, way].double(), row, len(c))
    g = ways["g"][row, way]
    kind = ways["kind"][row, way]
    is_best = way == best[row]
    posterior = of_best[row]
    other = ~is_best
    posterior[other], _ = series.log_posterior(c[row[other]], g[other], *spread)
    gauge = motifs.gauge(g, kind)
    posterior = series.turn(trust[row, None] * posterior, gauge)
    fields = _latents(motifs, chosen)
    fields["angle"] = angle + gauge[is_best]
    fields["offset"] = offset
    fields["residual"] = misfit.sqrt() / motifs.log_sigma.exp()
    fields["kind"] = chosen["kind"]
    fields["kind_probability"] = _of_kinds(weight, row, kind, (len(c), pieces.count))
    fields |= _modes(series, posterior, row, weight, len(c))
    return fields, {"row": row, "weight": weight, "series": posterior}


def _spread(c, noise: Noise) -> torch.Tensor:
    """Logarithms of the noise level and of the typical shift, (2,)."""
    spread = c.new_tensor([noise.effective_sigma, noise.shift_px])
    return spread.log()


def _normalised(weight, row, count: int) -> torch.Tensor:
    """Weights (S,) of ways that sum to 1 for each of the sub-images that they belong to."""
    nothing = weight.new_zeros(count)
    total = nothing.index_add(0, row, weight)
    return weight / total[row]


def _latents(motifs, chosen: dict) -> dict:
    """Latents (B, d) along the axes that are reported, and their standard deviations."""
    latent = chosen["z"] @ motifs.axes.T
    variance = chosen["log_variance"].exp()
    latent_variance = variance @ (motifs.axes**2).T
    return {"latent": latent, "latent_sd": latent_variance.sqrt()}


def _of_kinds(weight, row, kind, shape: tuple[int, int]) -> torch.Tensor:
    """Probability (B, n) of each kind: the weights (S,) of the ways that lead to it."""
    probability = weight.new_zeros(shape)
    return probability.index_put_((row, kind), weight, accumulate=True)


def _best_fit(series, c, g, spread) -> tuple[torch.Tensor, ...]:
    """Of sub-images (B, K) and motifs (B, K): the log posterior of the angle, its top (B,), the
    offset (B, 2), and the mean square (B,) of what is left."""
    posterior, _ = series.log_posterior(c, g, *spread)
    angle = series.best_angle(posterior)
    fitted, offset = series.fitted(c, g, angle, *spread)
    residual = c - fitted
    misfit = residual.square().mean(-1)
    return posterior, angle, offset, misfit


def _trust(misfit: torch.Tensor, count: int) -> torch.Tensor:
    """By how much the log posterior (B,) of badly fitted sub-images is to be believed.

    What no motif fits, as a window on two grains, leaves a pattern, which is no noise: it is as
    large an error of a few numbers as it is of all `count` coefficients together.
    """
    excess = (misfit - WELL_FITTED).clamp_min(0)
    return 1 / (1 + excess * count / OF_A_PATTERN)


def _in_all_ways(motifs, pieces, c, of_class, noise: Noise) -> dict:
    """What sub-images (B, K) are in each of the W ways in which they may stand, (B, W, …)."""
    turns = pieces.ways(c, WAYS)
    found = [_in_one_way(motifs, pieces, c, turn, of_class, noise=noise) for turn in turns.T]
    return {name: torch.stack([way[name] for way in found], dim=1) for name in found[0]}


def _in_one_way(motifs, pieces, c, turn, of_class, *, noise: Noise) -> dict:
    """What sub-images (B, K) are if they are turned by `turn` (B,): latents, motif, kind."""
    upright = _upright(motifs.series, pieces, c, turn)
    seen = motifs.seen(upright, pieces)
    z, log_variance = motifs.propose(seen, of_class)
    g = motifs.draw(z, of_class)
    number = pieces.nearest(g)
    kind = pieces.kind[number]
    # Of a motif whose turn is not known only the round part is believed.
    order = pieces.order_of(kind.cpu().numpy())
    turns = torch.as_tensor(order > 0, device=c.device)
    round_part = torch.as_tensor(pieces.basis.order == 0, device=c.device)
    believed = turns[:, None] | round_part
    g = torch.where(believed, g, 0.0)
    log_sigma, log_shift = _spread(c, noise)
    evidence = motifs.shifted.evidence(upright, g, log_sigma, log_shift)
    log_volume = log_variance.sum(-1) / 2  # of the latents that explain it
    evidence = evidence + log_volume + motifs.log_prior(z, kind)
    return {
        "z": z,
        "log_variance": log_variance,
        "g": g,
        "kind": kind,
        "evidence": evidence,
    }


def _upright(series, pieces, c, turn) -> torch.Tensor:
    """Sub-images (B, K) turned back by `turn` (B,), then exactly onto the nearest motif."""
    upright = series.rotate(c, -turn)
    number = pieces.nearest(upright)
    nearest = pieces.mixture.motifs[number]
    overlap = series.of(upright, nearest)
    rest = series.small_turn(overlap)
    return series.rotate(upright, -rest)


def _modes(series, posterior, row, weight, count: int) -> dict:
    """Maxima (B, N) of the posteriors of all ways together: angle, probability, sd."""
    angle, share, sd = series.modes(posterior)
    share = share * weight[:, None].to(share)
    # The ways of each sub-image, which stand in one list, are laid side by side.
    first = torch.searchsorted(row, row)
    place = torch.arange(len(row), device=row.device) - first
    all_modes = angle.new_zeros(3, count, WAYS, angle.shape[1])
    all_modes[:, row, place] = torch.stack([angle, share, sd])
    angle, share, sd = all_modes.flatten(2)
    n_ways = torch.bincount(row, minlength=count)
    several = n_ways > 1
    share[several] = _merged(angle[several], share[several], sd[several])
    order = share.argsort(dim=1, descending=True, stable=True)
    best = order[:, :N_MODES]
    return {
        "modes": angle.gather(1, best),
        "mode_probability": share.gather(1, best),
        "mode_sd": sd.gather(1, best),
    }


def _merged(angle, share, sd) -> torch.Tensor:
    """Probabilities (B, N) of maxima, where those at one angle are given to the likeliest."""
    share = share.clone()
    order = share.argsort(dim=1, descending=True, stable=True)
    difference = angle[:, :, None] - angle[:, None]
    away = torch.remainder(difference + np.pi, 2 * np.pi) - np.pi
    wider_sd = torch.maximum(sd[:, :, None], sd[:, None])
    near = away.abs() < SAME_MODE * wider_sd
    rows = torch.arange(len(share), device=share.device)
    for column in order.T:  # the likeliest first
        is_left = share[rows, column] > 0
        taken = near[rows, column] & (share > 0) & is_left[:, None]
        total = (share * taken).sum(1)
        share = torch.where(taken, 0.0, share)
        share[rows, column] += total
    return share
