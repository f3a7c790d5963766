"""Where the latents begin: between the kinds along the first, within them along the others.

A training that begins anywhere ends in one of many arrangements of the same motifs. One that begins
here ends in one and the same.
"""

import torch

APART = 2.4  # of the first latent between the outermost kinds: a normal prior holds them gladly
REACH = 2.5  # of a first latent, in standard deviations: outliers do not lead


@torch.no_grad()
def first_latents(upright: torch.Tensor, kind: torch.Tensor, latent_dim: int) -> torch.Tensor:
    """Latents (M, d) of sub-images (M, K) that stand upright, of kinds (M,).

    The first, if there are several kinds and a second latent, tells the kinds apart: they stand at
    even steps, in the order of the main difference of their mean motifs. The others are principal
    components of what varies within the kinds, in standard deviations. Signs follow brightness.
    """
    count = int(kind.max()) + 1
    numbers = torch.bincount(kind, minlength=count).clamp_min(1)
    means = torch.zeros(count, upright.shape[1]).to(upright).index_add(0, kind, upright)
    means = means / numbers[:, None]
    if count == 1 or latent_dim == 1:
        return _main_scores(upright - upright.mean(0), latent_dim)
    middle = (means * numbers[:, None]).sum(0) / numbers.sum()
    along = _main_scores(means - middle, 1, weight=numbers)[:, 0]
    rank = along.argsort().argsort().to(upright.dtype)
    between = APART * (rank / (count - 1) - 0.5)
    within = _main_scores(upright - means[kind], latent_dim - 1)
    return torch.cat([between[kind, None], within], dim=1)


def _main_scores(values: torch.Tensor, count: int, weight=None) -> torch.Tensor:
    """Scores (N, count) of deviations (N, K) along their main directions, of unit spread."""
    weight = torch.ones(len(values)).to(values) if weight is None else weight.to(values)
    covariance = (values * weight[:, None]).T @ values
    directions = torch.linalg.eigh(covariance)[1].flip(1)[:, :count]  # (K, count)
    scores = values @ directions
    spread = scores.square().mean(0).sqrt().clamp_min(1e-6)
    brighter = torch.where((scores * values[:, :1]).sum(0) < 0, -1.0, 1.0)
    return (brighter * scores / spread).clamp(-REACH, REACH)
