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
            return cls(means, None, _main_directions(upright - means[kind], latent_dim))
        differences = (means - upright.mean(0)) * number.sqrt()[:, None]
        along = means @ _main_directions(differences, 1)[:, 0]
        places = APART * (along.argsort().argsort() / (count - 1) - 0.5)
        return cls(means, places, _main_directions(upright - means[kind], latent_dim - 1))

    def latents(self, upright: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """Latents (M, d) to begin with, of sub-images (M, K) of kinds (M,)."""
        within = ((upright - self.means[kind]) @ self.directions).clamp(-REACH, REACH)
        if self.places is None:
            return within
        return torch.cat([self.places[kind, None], within], dim=1)


def _main_directions(values: torch.Tensor, count: int) -> torch.Tensor:
    """The main directions (K, count) of deviations (N, K), scaled: scores have unit spread."""
    directions = torch.linalg.eigh(values.T @ values)[1].flip(1)[:, :count]
    scores = values @ directions
    spread = scores.square().mean(0).sqrt().clamp_min(1e-6)
    brighter = torch.where((scores * values[:, :1]).sum(0) < 0, -1.0, 1.0)
    return brighter * directions / spread
