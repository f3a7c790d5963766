"""A variational autoencoder that knows what a rotation is.

A sub-image is a motif g(z), turned by an unknown angle theta, plus noise. The motif depends on a
few latent numbers z; the angle does not have to be learned, because in disk harmonics a rotation
is exact and the overlap of data and turned motif is a short Fourier series in theta. The likelihood
is summed over *all* angles::

    log p(c|z) = log mean_theta exp(-|c - R_theta g(z)|^2 / 2 s^2) - K log s
    loss       = -E_q(z|c) log p(c|z) + beta * KL(q(z|c) || N(0, 1))

An encoder network proposes z from the coefficients c of a sub-image, a decoder network draws g(z).
The idea of a VAE with the rotation kept apart from z is that of Bepler et al., arXiv:1909.11663.
What differs: no network draws pixels, and the angle is marginalised, not encoded.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from .contrast import Contrast, warn_of_other_pixel_size
from .device import one_thread, pick_device
from .gauge import choose_axes, reference_motif
from .harmonics import DiskHarmonics
from .model_file import read_model, refusing_damaged, write_model
from .posterior import AngleSeries, Encoding, posterior_sd, wrap
from .schedule import LEARNING_RATE, Schedule

BATCH = 128
SIGMA_PACE = 5  # one number falls by a factor of ten: it may move faster than the networks
N_TURNS = 16  # inputs are encoded at this many turns and averaged, so that z does not see the turn
MIN_SUBIMAGES = 16
ENOUGH_SUBIMAGES = 200


class Motifs(nn.Module):
    """The two networks: coefficients (B, K) -> z (B, d), and z -> the motif at rest (B, K)."""

    def __init__(self, n_coefficients: int, latent_dim: int, hidden: int = 128):
        super().__init__()
        self.encoder = _three_layers(n_coefficients, hidden, 2 * latent_dim)
        self.decoder = _three_layers(latent_dim, hidden, n_coefficients)
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.register_buffer("axes", torch.eye(latent_dim))  # (d, d), rows: latents in terms of z

    def encode(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log-variance of z, (B, d) each."""
        mean, log_variance = self.encoder(c).chunk(2, dim=-1)
        return mean, log_variance.clamp(-12, 6)


def _three_layers(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    widths = (n_in, hidden, hidden, n_out)
    first, second, third = (nn.Linear(a, b) for a, b in pairwise(widths))
    return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), third)


class RVAE:
    """Learn the motifs of a stack of sub-images and the turn of each.

    Parameters
    ----------
    window_px : int
        Side of the sub-images. Only the inscribed disk takes part.
    latent_dim : int
        How many numbers besides the angle describe a motif.
    seed : int
        Same seed, same machine: same model.
    beta : float
        Weight of the prior on z; annealed from 31 times this value.
    band_limit : float, optional
        Of the disk harmonics; by default features down to a period of 5 px are kept.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    history : list of dict
        One row a pass: epoch, loss, misfit (-log p), kl, beta, sigma, learning_rate.

    Examples
    --------
    >>> model = RVAE(40).fit(stack)                                     # doctest: +SKIP
    >>> encoding = model.encode(stack)                                  # doctest: +SKIP
    """

    def __init__(
        self,
        window_px: int,
        *,
        latent_dim: int = 2,
        seed: int = 0,
        beta: float = 1.0,
        band_limit: float | None = None,
        device: str = "auto",
    ):
        if int(latent_dim) != latent_dim or latent_dim < 1:
            raise ValueError(f"latent_dim={latent_dim}, but a whole number of at least 1 is needed")
        if not beta > 0:
            raise ValueError(f"beta={beta}, but a positive number is needed; 1 is the plain VAE")
        self.basis = DiskHarmonics.build(window_px, band_limit)
        self.latent_dim, self.seed, self.beta = int(latent_dim), int(seed), float(beta)
        self.device = pick_device(device)
        self.pixel_size_nm: float | None = None
        self.history: list[dict] = []
        self._contrast: Contrast | None = None  # of the training stack
        self._reference: torch.Tensor | None = None  # (K,), the motif whose angle is zero
        self._motifs = self._untrained()
        self._series = AngleSeries(self.basis, self.device)

    def _untrained(self) -> Motifs:
        """New networks; the global random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return Motifs(len(self.basis), self.latent_dim).to(self.device)

    def __repr__(self) -> str:
        state = "untrained" if self._reference is None else f"trained, {len(self.history)} epochs"
        size = f"window_px={self.basis.window_px}, latent_dim={self.latent_dim}"
        return f"RVAE({size}, {len(self.basis)} harmonics, {state})"

    # ---------------------------------------------------------------- training

    def fit(
        self,
        stack: np.ndarray,
        *,
        epochs: int | None = None,
        progress: bool = True,
        pixel_size_nm: float | None = None,
    ) -> RVAE:
        """Train on sub-images (M, w, w) and return the model.

        Parameters
        ----------
        epochs : int, optional
            Exactly this many passes over all sub-images; by default training stops by itself.
        progress : bool
            Show a bar with the loss.
        pixel_size_nm : float, optional
            Remembered, and compared when the model encodes another image.

        Raises
        ------
        ValueError
            If the stack has the wrong shape, holds too few sub-images, NaN, or no contrast.
        """
        if epochs is not None and (int(epochs) != epochs or epochs < 1):
            raise ValueError(f"epochs={epochs}, but a whole number of at least 1 is needed")
        c = self.basis.project(stack)
        if len(c) < MIN_SUBIMAGES:
            raise ValueError(
                f"{len(c)} sub-images, but at least {MIN_SUBIMAGES} are needed to learn a motif: "
                "use a larger image or a smaller window"
            )
        self._contrast = Contrast.of(c, self.basis)
        self.pixel_size_nm = pixel_size_nm
        self._motifs, self._reference = self._untrained(), None  # a second fit starts anew
        with one_thread():
            self._train(self._prepare(c, self._contrast), epochs, progress)
        return self

    def _train(self, c: torch.Tensor, epochs: int | None, progress: bool) -> None:
        chance = torch.Generator(self.device).manual_seed(self.seed)
        noise = self._motifs.log_sigma
        networks = [p for p in self._motifs.parameters() if p is not noise]
        groups = [{"params": networks, "pace": 1}, {"params": [noise], "pace": SIGMA_PACE}]
        optimiser = torch.optim.Adam(groups, lr=LEARNING_RATE)
        plan = Schedule(-(-len(c) // BATCH), epochs)
        self.history = []
        bar = tqdm(total=epochs, desc="rVAE", unit="epoch", disable=not progress)
        while not plan.done(self.history):
            for group in optimiser.param_groups:
                group["lr"] = plan.learning_rate * group["pace"]
            beta = self.beta * plan.beta_factor(len(self.history))
            row = self._one_pass(c, beta, optimiser, chance)
            row = {"epoch": len(self.history) + 1, **row, "learning_rate": plan.learning_rate}
            self.history.append(row)
            bar.set_postfix(loss=f"{row['loss']:.2f}", kl=f"{row['kl']:.2f}")
            bar.update()
        bar.close()
        self._settle(c)

    def _one_pass(self, c, beta: float, optimiser, chance: torch.Generator) -> dict:
        """One pass over all sub-images, each turned at random; returns the averages of the pass."""
        totals = torch.zeros(3, device=c.device)
        for batch in torch.randperm(len(c), generator=chance, device=c.device).split(BATCH):
            angle = torch.rand(len(batch), generator=chance, device=c.device) * 2 * torch.pi
            turned = self._series.rotate(c[batch], angle)
            mean, log_variance = self._motifs.encode(turned)
            noise = torch.randn(mean.shape, generator=chance, device=c.device)
            z = mean + (log_variance / 2).exp() * noise
            misfit = -self._series.log_likelihood(
                turned, self._motifs.decoder(z), self._motifs.log_sigma
            ).mean()
            kl = (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1).mean() / 2
            loss = misfit + beta * kl
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            totals += len(batch) / len(c) * torch.stack([loss, misfit, kl]).detach()
        loss, misfit, kl = totals.tolist()
        sigma = self._motifs.log_sigma.exp().item()
        return {"loss": loss, "misfit": misfit, "kl": kl, "beta": beta, "sigma": sigma}

    # ------------------------------------------------------- after the training

    @torch.no_grad()
    def _settle(self, c: torch.Tensor) -> None:
        """Choose the axes of the latents, and fix the zero of the angle."""
        z = self._encode_invariantly(c[:: max(1, len(c) // 4000)])[0]
        self._motifs.axes.copy_(choose_axes(self._motifs.decoder, z))
        self._reference = reference_motif(self._series, self._motifs.decoder(z))

    def _encode_invariantly(self, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of z, (B, d), averaged over turns of the input."""
        means, squares = 0.0, 0.0
        for turn in torch.arange(N_TURNS, device=c.device) * (2 * torch.pi / N_TURNS):
            mean, log_variance = self._motifs.encode(self._series.rotate(c, turn.expand(len(c))))
            means = means + mean / N_TURNS
            squares = squares + (mean**2 + log_variance.exp()) / N_TURNS
        return means, (squares - means**2).clamp_min(0).sqrt()

    def _gauge(self, g: torch.Tensor) -> torch.Tensor:
        """Turn (B,) of each decoded motif against the reference motif."""
        return self._series.nearest_angle(self._series.of(g, self._reference.expand_as(g)))

    # ------------------------------------------------------------------- using

    @torch.no_grad()
    def encode(
        self,
        stack: np.ndarray,
        *,
        normalization: str = "stack",
        pixel_size_nm: float | None = None,
    ) -> Encoding:
        """Angle and latents of sub-images (M, w, w), with their uncertainty.

        Parameters
        ----------
        normalization : {"stack", "model"}
            "stack" estimates offset and gain from the whole stack handed in, for another image;
            "model" keeps those of the training, for parts of the same image and single columns.
        pixel_size_nm : float, optional
            A warning says so when it differs by more than 3 % from the training's.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        ValueError
            If the stack does not fit the model, or `normalization` is another word.
        """
        self._require_training()
        if normalization not in ("stack", "model"):
            raise ValueError(f'normalization={normalization!r}, but "stack" or "model" is needed')
        warn_of_other_pixel_size(self.pixel_size_nm, pixel_size_nm)
        c = self.basis.project(stack)
        contrast = self._contrast
        if normalization == "stack":
            contrast = Contrast.of(c, self.basis)
            if len(c) < ENOUGH_SUBIMAGES:
                warnings.warn(
                    f"offset and gain were estimated from {len(c)} sub-images; under "
                    f'{ENOUGH_SUBIMAGES} use normalization="model" for parts of the same image',
                    stacklevel=2,
                )
        parts = [self._encode_part(part) for part in self._prepare(c, contrast).split(4096)]
        angle, *rest, series = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Encoding(angle, posterior_sd(series, angle, 1), *rest, series)

    def _encode_part(self, c: torch.Tensor) -> tuple[np.ndarray, ...]:
        z, z_sd = self._encode_invariantly(c)
        g = self._motifs.decoder(z)
        latent = z @ self._motifs.axes.T
        latent_sd = (z_sd**2 @ (self._motifs.axes**2).T).sqrt()
        series = self._series.of(c, g)
        turn = self._series.best_angle(series)
        misfit = (c - self._series.rotate(g, turn)).square().mean(-1)
        sigma = self._motifs.log_sigma.exp()
        gauge = self._gauge(g)
        angle = wrap(turn + gauge)
        log_posterior = self._series.turn(series, gauge) / sigma**2
        values = (angle, latent, latent_sd, misfit.sqrt() / sigma, log_posterior)
        return tuple(v.double().cpu().numpy() for v in values)

    @torch.no_grad()
    def decode(self, latent: np.ndarray, angle: np.ndarray | float = 0.0) -> np.ndarray:
        """Draw motifs (M, w, w) of `latent` (M, d), turned by `angle`, in the input's units.

        NaN outside the disk. `decode(e.latent, e.angle)` reconstructs what was encoded.
        """
        self._require_training()
        latent = np.atleast_2d(np.asarray(latent, dtype=np.float32))
        if latent.shape[1] != self.latent_dim:
            raise ValueError(
                f"latent has shape {latent.shape}, but this model has latent_dim={self.latent_dim}"
            )
        g = self._motifs.decoder(torch.as_tensor(latent, device=self.device) @ self._motifs.axes)
        angle = torch.as_tensor(np.broadcast_to(angle, len(g)).astype(np.float32).copy())
        g = self._series.rotate(g, angle.to(self.device) - self._gauge(g))
        motifs = self.basis.synthesise(g.cpu().numpy())
        return motifs * np.float32(self._contrast.gain) + np.float32(self._contrast.offset)

    def _prepare(self, c: np.ndarray, contrast: Contrast) -> torch.Tensor:
        return torch.as_tensor(contrast.remove(c, self.basis), device=self.device)

    def _require_training(self) -> None:
        if self._reference is None:
            raise RuntimeError("this model is not trained yet: call fit(stack) first")

    # ------------------------------------------------------------------ keeping

    def save(self, path: str | Path) -> Path:
        """Write the model to a safetensors file; see `helpers.model_file`."""
        self._require_training()
        settings = {
            "window_px": self.basis.window_px,
            "band_limit": self.basis.band_limit,
            "latent_dim": self.latent_dim,
            "seed": self.seed,
            "beta": self.beta,
            "pixel_size_nm": self.pixel_size_nm,
            "contrast": asdict(self._contrast),
            "history": self.history,
        }
        weights = self._motifs.state_dict() | {"reference": self._reference}
        return write_model(path, weights, settings)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> RVAE:
        """Read a model that `save` wrote. Nothing in the file is executed.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a whole model of this package.
        """
        path, device = Path(path), pick_device(device)
        weights, settings = read_model(path)
        with refusing_damaged(path):
            chosen = {name: settings[name] for name in ("latent_dim", "seed", "beta", "band_limit")}
            model = cls(settings["window_px"], device=device, **chosen)
            model._reference = weights.pop("reference").to(device)
            model._motifs.load_state_dict(weights)
            model._contrast = Contrast(**settings["contrast"])
            model.pixel_size_nm, model.history = settings["pixel_size_nm"], settings["history"]
        return model
