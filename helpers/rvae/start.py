"""Where the latents begin: between the kinds along the first, within them along the others.

A training that begins anywhere ends in one of many arrangements of the same motifs. One that begins
here ends in one and the same.
"""

from dataclasses import dataclass

import torch

APART = 2.4  # of the first latent between the outermost kinds: a normal prior holds them gladly
REACH = 2.5  # of a first latent, in standard deviations: outliers do not lead


@dataclass(frozen=True)
class Start:
    """What is settled of the latents before the training, from sub-images that stand upright.

    Attributes
    ----------
    means : (n, K) tensor
        Of the sub-images of each kind.
    places : (n,) tensor, or None
        Of the kinds along the first latent: at even steps, in the order of the main difference of
        their means. None where no latent is theirs: of one kind, or of a single latent.
    directions : (K, d) tensor
        From deviations to scores of unit spread, for the latents that tell what varies within the
        kinds: their principal components. Signs follow brightness.
    """

    means: torch.Tensor
    places: torch.Tensor | None
    directions: torch.Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, upright: torch.Tensor, kind: torch.Tensor, count: int, latent_dim: int) -> "Start":
        """Read from sub-images (M, K) of kinds (M,), of which there are `count`."""
        number = torch.bincount(kind, minlength=count)
        sums = upright.new_zeros(count, upright.shape[1]).index_add(0, kind, upright)
        means = sums / number.clamp_min(1)[:, None]
        if count == 1 or latent_dim == 1:
            means[:] = upright.mean(0)
            within = upright - means[kind]
            directions = _main_directions(within, latent_dim)
            return cls(means, None, directions)
        # The kinds differ mostly along one direction: each has its place by its rank along it.
        differences = (means - upright.mean(0)) * number.sqrt()[:, None]
        between = _main_directions(differences, 1)
        along = means @ between[:, 0]
        rank = along.argsort().argsort()
        places = APART * (rank / (count - 1) - 0.5)
        within = upright - means[kind]
        directions = _main_directions(within, latent_dim - 1)
        return cls(means, places, directions)

    def latents(self, upright: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """Latents (M, d) to begin with, of sub-images (M, K) of kinds (M,)."""
        scores = (upright - self.means[kind]) @ self.directions
        within = scores.clamp(-REACH, REACH)
        if self.places is None:
            return within
        return torch.cat([self.places[kind, None], within], dim=1)


def _main_directions(values: torch.Tensor, count: int) -> torch.Tensor:
    """The main directions (K, count) of deviations (N, K), scaled: scores have unit spread."""
    _, eigenvectors = torch.linalg.eigh(values.T @ values)
    directions = eigenvectors.flip(1)[:, :count]  # the largest eigenvalue first
    scores = values @ directions
    spread = scores.square().mean(0).sqrt().clamp_min(1e-6)
    brightness = values[:, :1]
    along_brightness = (scores * brightness).sum(0)
    sign = torch.where(along_brightness < 0, -1.0, 1.0)
    return sign * directions / spread
