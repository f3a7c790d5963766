"""What the rVAE believes of a sub-image: a motif, turned by any angle, in noise.

A sub-image is a motif g(z), turned by an unknown angle theta, plus noise. The motif depends on a
few latent numbers z; the angle does not have to be learned, because in disk harmonics a rotation
is exact and the overlap of data and turned motif is a short Fourier series in theta. The likelihood
is summed over *all* angles::

    log p(c|z) = log mean_theta exp(-|c - R_theta g(z)|^2 / 2 s^2) - K log s
    loss       = -E_q(z|c) log p(c|z) + beta * KL(q(z|c) || N(0, 1))

An encoder network proposes z from the coefficients c of a sub-image, turned upright beforehand; a
decoder network draws g(z). The noise level s is learned, so that the data themselves weigh misfit
against prior (as in the calibrated decoders of Rybkin, Daniilidis and Levine, ICML 2021), and beta
ends at 1 whatever the dose and the window.

The idea of a VAE with the rotation kept apart from z is that of Bepler et al., arXiv:1909.11663.
What differs: no network draws pixels, and the angle is marginalised, not encoded.
"""

import numpy as np
import torch
from torch import nn

from .harmonics import DiskHarmonics
from .posterior import AngleSeries
from .shifts import START, ShiftedSeries
from .training import network

CLASS_SIZE = 3.0  # of the entry that marks a class: farther apart than latents of one class


class Motifs(nn.Module):
    """What is believed of a sub-image: a motif drawn from z, turned by any angle, in noise.

    In the shapes below, B sub-images have K coefficients c (B, K) and d latents z (B, d), and
    `of_class` (B, n) is a row of zeros with one entry for the class of each; n may be 0.
    """

    def __init__(self, basis: DiskHarmonics, latent_dim: int, n_classes: int, offsets: bool):
        super().__init__()
        self.encoder = network(len(basis) + n_classes, 2 * latent_dim)
        self.decoder = network(latent_dim + n_classes, len(basis))
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.log_shift = nn.Parameter(torch.tensor(START))  # of the window's centre, in pixels
        self.register_buffer("axes", torch.eye(latent_dim))  # (d, d), rows: latents in terms of z
        self.register_buffer("reference", torch.zeros(len(basis)))  # (K,), its angle is zero
        self.register_buffer("usual", torch.zeros(max(1, n_classes), len(basis)))  # upright
        self.shifted = ShiftedSeries(basis)  # what is encoded may always lie off its centre
        self.series = self.shifted if offsets else AngleSeries(basis)

    def draw(self, z: torch.Tensor, of_class: torch.Tensor) -> torch.Tensor:
        """Motifs g(z) at rest, (B, K)."""
        return self.decoder(torch.cat([z, of_class], dim=-1))

    @torch.no_grad()
    def upright(self, c: torch.Tensor, of_class: torch.Tensor) -> torch.Tensor:
        """Sub-images (B, K), each turned to where it agrees best with the usual motif.

        The encoder sees all of them in one orientation, and latents are invariant by construction.
        """
        usual = self.usual[of_class.argmax(-1)] if of_class.shape[1] else self.usual.expand_as(c)
        turn = self.series.best_angle(self.series.of(c, usual))
        centred = self.series.centred(c, usual, turn, self.log_sigma, self.log_shift)
        return self.series.rotate(centred, -turn)

    @torch.no_grad()
    def renew_usual(self, of_class: torch.Tensor) -> None:
        """Take the motifs of z = 0 as the usual ones, one for each class.

        To be done early in training only: where two turns agree nearly as well, another usual motif
        may prefer the other one, and the encoder would have to learn such columns anew.
        """
        kinds = CLASS_SIZE * torch.eye(len(self.usual), of_class.shape[1], device=of_class.device)
        self.usual.copy_(self.draw(kinds.new_zeros(len(kinds), len(self.axes)), kinds))

    def propose(self, upright, of_class: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of z, (B, d) each, from sub-images that stand upright."""
        mean, log_variance = self.encoder(torch.cat([upright, of_class], dim=-1)).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 6)

    def propose_best(self, c: torch.Tensor, of_class) -> tuple[torch.Tensor, torch.Tensor]:
        """The same of sub-images (B, K) as they are, from the likeliest of four ways to stand.

        In noise a motif may agree better with the usual one when it stands wrong by 90 or 180
        degrees. What the encoder makes of a view it has not learned explains the data badly.
        """
        upright, tries = self.upright(c, of_class), []
        for quarter in range(4):
            turn = upright.new_full((len(c),), quarter * np.pi / 2)
            z, log_variance = self.propose(self.series.rotate(upright, turn), of_class)
            spread = self.log_sigma, self.log_shift
            evidence = self.shifted.evidence(c, self.draw(z, of_class), *spread)
            tries.append((evidence + (log_variance - z.square()).sum(-1) / 2, z, log_variance))
        evidence, z, log_variance = map(torch.stack, zip(*tries, strict=True))
        best = evidence.argmax(0), torch.arange(len(c), device=c.device)
        return z[best], log_variance[best]

    def evidence_of_turn(self, c: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """Nats by which motifs g (B, K), turned, explain c better than their round part, (B,)."""
        turning = torch.cat(self.series.split(g)[1:], dim=-1)
        series, _ = self.series.log_posterior(c, g, self.log_sigma, self.log_shift)
        cost = turning.square().sum(-1) / (2 * (2 * self.log_sigma).exp())
        return self.series.log_mean(series) - series[:, 0] - cost

    def gauge(self, g: torch.Tensor) -> torch.Tensor:
        """Turn (B,) of each motif (B, K) against the reference motif."""
        return self.series.nearest_angle(self.series.of(g, self.reference.expand_as(g)))

    def loss(self, c, upright, of_class, beta: float, chance) -> tuple[torch.Tensor, ...]:
        """misfit + beta * KL, then its parts; averages over the batch."""
        mean, log_variance = self.propose(upright, of_class)
        chosen = torch.randn(mean.shape, generator=chance, device=c.device)
        g = self.draw(mean + (log_variance / 2).exp() * chosen, of_class)
        series, rest = self.series.log_posterior(c, g, self.log_sigma, self.log_shift)
        misfit = -(self.series.log_mean(series) + rest).mean()
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean() / 2
        return misfit + beta * kl, misfit, kl
