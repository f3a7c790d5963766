"""What the rVAE believes of a sub-image: a motif, turned by any angle, in noise.

A sub-image is a motif g(z), turned by an unknown angle theta, plus noise. The motif depends on a
few latent numbers z; the angle does not have to be learned, because in disk harmonics a rotation
is exact and the overlap of data and turned motif is a short Fourier series in theta. The likelihood
is summed over *all* angles::

    log p(c|z) = log mean_theta exp(-|c - R_theta g(z)|^2 / 2 s^2) - K log s
    loss       = -E_q(z|c) log p(c|z) + beta * KL(q(z|c) || p(z|kind))

An encoder network proposes z from the coefficients c of a sub-image that stands as the motifs of
its kind do (`helpers.rvae.kinds`); a decoder network draws g(z). While they learn, the angle that
is left is held near zero, so that no motif can turn away from the others of its kind. The noise
level s is learned, so that the data themselves weigh misfit against prior (as in the calibrated
decoders of Rybkin, Daniilidis and Levine, ICML 2021).

The prior of z is normal, of unit spread, but for the first latent where there are several kinds:
there each kind has a narrow place of its own. So one latent tells the kinds apart, and the others
what varies within them. Nothing ties the zero of the others from kind to kind, so it is held to the
mean of each kind: trainings would otherwise differ in it.

The idea of a VAE with the rotation kept apart from z is that of Bepler et al., arXiv:1909.11663.
What differs: no network draws pixels, and the angle is marginalised, not encoded.
"""

import numpy as np
import torch
from scipy import special
from torch import nn

from ..subimages.harmonics import DiskHarmonics
from .posterior import AngleSeries
from .shifts import START, ShiftedSeries
from .training import network

CLASS_SIZE = 3.0  # of the entry that marks a class: farther apart than latents of one class
PLACE_SD = 0.15  # of a kind along the first latent
LEVEL = 10.0  # nats for the mean of a kind that is off the middle of the other latents by one
HELD = 400.0  # concentration of the von Mises prior on the angle left while motifs learn: 3 degrees


class Motifs(nn.Module):
    """What is believed of a sub-image: a motif drawn from z, turned by any angle, in noise.

    In the shapes below, B sub-images have K coefficients c (B, K) and d latents z (B, d), and
    `of_class` (B, n) is a row of zeros with one entry for the class of each; n may be 0.
    """

    def __init__(
        self,
        basis: DiskHarmonics,
        latent_dim: int,
        *,
        n_classes: int,
        n_kinds: int,
        offsets: bool,
    ):
        super().__init__()
        count = len(basis)
        self.encoder = network(count + n_classes, 2 * latent_dim)
        self.decoder = network(latent_dim + n_classes, count)
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.log_shift = nn.Parameter(torch.tensor(START))  # of the window's centre, in pixels
        several = n_kinds > 1 and latent_dim > 1
        self.fixed = int(several)  # latents whose meaning is settled: that of the kinds
        self._hold(latent_dim, n_kinds, count)
        self.shifted = ShiftedSeries(basis)  # what is encoded may always lie off its centre
        self.series = self.shifted if offsets else AngleSeries(basis)
        log_scaled_bessel = np.log(special.i0e(HELD))
        self.log_held = float(HELD + log_scaled_bessel)

    def _hold(self, latent_dim: int, n_kinds: int, count: int) -> None:
        """What is settled once, not learned, and saved with the model."""
        axes = torch.eye(latent_dim)  # (d, d), rows: latents in terms of z
        reference = torch.zeros(n_kinds, count)  # motifs whose angle is zero
        places = torch.zeros(n_kinds)  # of the kinds along the first latent
        prior_sd = torch.ones(latent_dim)
        prior_sd[: self.fixed] = PLACE_SD
        self.register_buffer("axes", axes)
        self.register_buffer("reference", reference)
        self.register_buffer("places", places)
        self.register_buffer("prior_sd", prior_sd)

    def draw(self, z: torch.Tensor, of_class: torch.Tensor) -> torch.Tensor:
        """Motifs g(z) at rest, (B, K)."""
        given = torch.cat([z, of_class], dim=-1)
        return self.decoder(given)

    def propose(self, upright, of_class: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of z, (B, d) each, from sub-images that stand upright."""
        seen = torch.cat([upright, of_class], dim=-1)
        proposal = self.encoder(seen)
        mean, log_variance = proposal.chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 6)

    def hold_places(self, places: torch.Tensor | None) -> None:
        """Settle where the kinds lie along the first latent (n,), if it is theirs."""
        if places is not None:
            self.places.copy_(places)

    def prior_mean(self, kind: torch.Tensor) -> torch.Tensor:
        """Mean (B, d) of the prior of z of sub-images of kinds (B,)."""
        latent_dim = len(self.prior_sd)
        mean = self.prior_sd.new_zeros(len(kind), latent_dim)
        mean[:, : self.fixed] = self.places[kind, None]
        return mean

    def log_prior(self, z: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """log p(z|kind) (B,), up to a constant."""
        off = (z - self.prior_mean(kind)) / self.prior_sd
        return -off.square().sum(-1) / 2

    def gauge(self, g: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """Turn (B,) of each motif (B, K) against the reference motif of its kind (B,)."""
        overlap = self.series.of(g, self.reference[kind])
        return self.series.nearest_angle(overlap)

    @torch.no_grad()
    def seen(self, upright: torch.Tensor, pieces) -> torch.Tensor:
        """What the encoder sees of sub-images (B, K) that stand upright.

        Where motifs may lie off their centre while they are learned, a shift against the mean of
        their kind is taken out: it shall not be told by the latents.
        """
        middle = pieces.middle()
        piece = pieces.nearest(upright)
        kind = pieces.kind[piece]
        variance = upright.new_tensor(pieces.mixture.variance)
        log_sigma = variance.log() / 2
        no_turn = upright.new_zeros(len(upright))
        return self.series.centred(upright, middle[kind], no_turn, log_sigma, self.log_shift)

    def off_level(self, z: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        """Mean square of how far off zero the kinds (B,) lie along the latents (B, d) that tell
        what varies within them."""
        number = torch.bincount(kind, minlength=len(self.places))
        n_kinds = len(number)
        within = z[:, self.fixed :]
        nothing = within.new_zeros(n_kinds, within.shape[1])
        sums = nothing.index_add(0, kind, within)
        at_least_one = number.clamp_min(1)
        means = sums / at_least_one[:, None]
        squares = number[:, None] * means.square()
        return squares.sum() / len(z)

    def loss(
        self,
        batch: dict,
        beta: float,
        pull: float,
        chance: torch.Generator,
    ) -> tuple[torch.Tensor, ...]:
        """misfit + beta * KL, then its parts; averages over a batch.

        The batch holds `upright` sub-images (B, K), what is `seen` of them (B, K), their classes
        `of_class` (B, n), their `kind` (B,), and the `first` latents (B, d); `pull` says how
        strongly these lead.
        """
        mean, log_variance = self.propose(batch["seen"], batch["of_class"])
        chosen = torch.randn(mean.shape, generator=chance, device=mean.device)
        sd = (log_variance / 2).exp()
        z = mean + sd * chosen
        g = self.draw(z, batch["of_class"])
        misfit = self._misfit(batch["upright"], g)
        kl = self._divergence(mean, log_variance, batch["kind"])
        loss = misfit + beta * kl
        if self.fixed:
            loss = loss + LEVEL * self.off_level(mean, batch["kind"])
        if pull > 0:
            apart = (mean - batch["first"]).square()
            loss = loss + pull * apart.sum(-1).mean()
        return loss, misfit, kl

    def _misfit(self, upright: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """Mean of -log p(c|z) over upright data c and motifs g, (B, K) each, held near zero."""
        series, rest = self.series.log_posterior(upright, g, self.log_sigma, self.log_shift)
        held = torch.zeros_like(series)
        held[:, 1] = HELD
        log_mean = self.series.log_mean_near_zero(series + held)
        log_likelihood = log_mean - self.log_held + rest
        return -log_likelihood.mean()

    def _divergence(
        self,
        mean: torch.Tensor,
        log_variance: torch.Tensor,
        kind: torch.Tensor,
    ) -> torch.Tensor:
        """Mean of KL(q(z|c) || p(z|kind)) over a batch."""
        off = (mean - self.prior_mean(kind)) / self.prior_sd
        log_ratio = log_variance - 2 * self.prior_sd.log()
        divergence = off.square() + log_ratio.exp() - 1 - log_ratio
        return divergence.sum(-1).mean() / 2
