"""What the rVAE is compared with: two older ways and the published form of the same idea.

Principal components and an ordinary VAE know nothing of a turn and have to spend their numbers on
it. The coordinate VAE (spatial-VAE: Bepler et al., arXiv:1909.11663; AtomAI and pyroVED use the
like) keeps the angle apart: a small network draws each pixel from its turned coordinates.

All three are written to be read, not to be fast, and run on the processor. Pixels are put on one
scale (mean 0, standard deviation 1 over the stack), and::

    loss = sum over pixels of (x - drawn)^2 / 2  +  KL(q(z|x) || prior)
"""

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from ..device import one_thread
from ..images import as_positive, as_stack, as_whole
from ..results.angles import fold_angles
from ..rvae.training import descend, network
from ..subimages.harmonics import as_finite, disk_mask, paint, pixel_offsets

LEARNING_RATE = 1e-3


def principal_components(stack: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Leading principal components of sub-images (M, w, w), by SVD of the pixels of the disk.

    Returns
    -------
    mean : (w, w)
    components : (count, w, w)
        Of unit norm over the disk; NaN outside it, as in the mean.
    scores : (M, count)
    share : (count,)
        Of the variance, largest first.

    Raises
    ------
    ValueError
        If the stack has another shape, holds NaN or no variance, or has not `count` components.
    """
    mask = disk_mask(max(np.shape(stack)[-1:], default=0))
    pixels = _pixels(stack, mask)
    count = as_whole("count", count, 1, min(pixels.shape))
    mean = pixels.mean(axis=0)
    u, size, parts = np.linalg.svd(pixels - mean, full_matrices=False)
    drawn = paint([mean, *parts[:count]], mask)
    share = (size**2 / np.sum(size**2))[:count]
    return drawn[0], drawn[1:], u[:, :count] * size[:count], share


def _pixels(stack: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The pixels (M, D) float32 of the sub-images that lie in the mask (w, w)."""
    pixels = as_finite(np.asarray(as_stack(stack, len(mask)))[:, mask].astype(np.float32))
    if not pixels.std(dtype=np.float64) > 1e-6 * abs(pixels.mean(dtype=np.float64)):
        raise ValueError(f"all pixels are {pixels[0, 0]:g}: there is no motif; check the image")
    return pixels


class PlainVAE:
    """An ordinary variational autoencoder on the pixels of the disk.

    Parameters
    ----------
    window_px : int
    latent_dim : int
    seed : int
        Same seed, same machine: same model. The global random state is left as it was.

    Attributes
    ----------
    history : list of dict
        One row a pass: epoch, loss, misfit, kl (averages over the pass, per sub-image).
    """

    batch = 100

    def __init__(self, window_px: int, *, latent_dim: int = 2, seed: int = 0):
        self._mask = disk_mask(as_whole("window_px", window_px, 2))
        self.latent_dim = as_whole("latent_dim", latent_dim, 1)
        self.seed, self.history = int(seed), []
        self._prior_sd = torch.ones(self.latent_dim)  # of each number that is encoded
        self._decoder_shape = self.latent_dim, int(self._mask.sum()), 2  # in, out, hidden layers

    def fit(
        self, stack: np.ndarray, *, epochs: int, progress: bool = False, watch=None
    ) -> "PlainVAE":
        """Train with exactly `epochs` passes over sub-images (M, w, w); return the model.

        `watch`, as that of `RVAE.fit`, is called after each pass with its row of `history`;
        training stops where it returns true.
        """
        epochs = as_whole("epochs", epochs, 1)
        pixels = _pixels(stack, self._mask)
        self._offset, self._gain = float(pixels.mean()), float(pixels.std())
        x, self.history = torch.as_tensor((pixels - self._offset) / self._gain), []
        with torch.random.fork_rng(devices=[]), one_thread():
            torch.manual_seed(self.seed)
            self._encoder = network(x.shape[1], 2 * len(self._prior_sd), activation=nn.Tanh)
            self._decoder = network(*self._decoder_shape, activation=nn.Tanh)
            weights = [*self._encoder.parameters(), *self._decoder.parameters()]
            optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE)
            for epoch in tqdm(range(1, epochs + 1), unit="epoch", disable=not progress):
                batches = torch.randperm(len(x)).split(self.batch)
                averages = descend(lambda batch: self._loss(x[batch]), batches, optimiser)
                self.history.append({"epoch": epoch, **averages})
                if watch and watch(self.history[-1]):
                    break
        return self

    def _loss(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """misfit + KL of pixels (B, D), then its parts; averages over the batch."""
        mean, log_sd = self._encoder(x).chunk(2, dim=-1)  # (B, d) each
        z = mean + log_sd.exp() * torch.randn(mean.shape)
        misfit = (x - self._draw(z)).square().sum(-1).mean() / 2
        spread = (mean**2 + (2 * log_sd).exp()) / self._prior_sd**2
        kl = (spread / 2 - 0.5 + self._prior_sd.log() - log_sd).sum(-1).mean()
        return misfit + kl, misfit, kl

    def _draw(self, z: torch.Tensor) -> torch.Tensor:
        """Pixels (B, D) of the mask."""
        return self._decoder(z)

    @torch.no_grad()
    def encode(self, stack: np.ndarray) -> np.ndarray:
        """Latents (M, d) of sub-images (M, w, w); RuntimeError if the model is not trained."""
        self._require_training()
        pixels = (_pixels(stack, self._mask) - self._offset) / self._gain
        return self._encoder(torch.as_tensor(pixels)).chunk(2, dim=-1)[0].double().numpy()

    @torch.no_grad()
    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Draw sub-images (M, w, w) of `latent` (M, d), in input units, NaN outside the disk."""
        self._require_training()
        z = torch.as_tensor(np.atleast_2d(latent), dtype=torch.float32)
        if z.shape[1] != len(self._prior_sd):
            given = z.shape[1] - len(self._prior_sd) + self.latent_dim  # the angle apart
            raise ValueError(f"{given} latents, but this model has latent_dim={self.latent_dim}")
        drawn = torch.cat([self._draw(part) for part in z.split(self.batch)]).numpy()
        return paint(drawn * self._gain + self._offset, self._mask)

    def _require_training(self) -> None:
        if not self.history:
            raise RuntimeError("this model is not trained yet: call fit(stack, epochs=...) first")


class CoordinateVAE(PlainVAE):
    """The published rVAE: an encoded angle, and a network that draws pixel by pixel.

    The decoder maps a pixel's place, turned by the angle, and z to one intensity. The angle is a
    Gaussian number like the latents, on a line and not on a circle. All w * w pixels take part.

    Parameters
    ----------
    window_px, latent_dim, seed
        As for `PlainVAE`.
    angle_prior_sd : float
        Standard deviation of the prior on the angle, radians.
    """

    batch = 25  # every hidden layer holds 128 numbers a pixel: more would leave the cache

    def __init__(
        self, window_px: int, *, latent_dim: int = 2, seed: int = 0, angle_prior_sd: float = np.pi
    ):
        super().__init__(window_px, latent_dim=latent_dim, seed=seed)
        prior_sd = as_positive("angle_prior_sd", angle_prior_sd)
        self._prior_sd = torch.tensor([prior_sd, *self._prior_sd.tolist()])
        self._mask = np.ones_like(self._mask)
        self._decoder_shape = 2 + self.latent_dim, 1, 3  # the size of AtomAI's and pyroVED's
        offset = torch.as_tensor(pixel_offsets(window_px) / (window_px / 2), dtype=torch.float32)
        y, x = torch.meshgrid(-offset, offset, indexing="ij")  # rows run down
        self._x, self._y = x.ravel(), y.ravel()  # (w * w,), in half windows

    def _draw(self, z: torch.Tensor) -> torch.Tensor:
        """Pixels (B, w * w): what is drawn at p, turned by t, is the motif at p turned by -t."""
        cos, sin = z[:, :1].cos(), z[:, :1].sin()
        place = [self._x * cos + self._y * sin, self._y * cos - self._x * sin]  # (B, w * w) each
        motif = z[:, None, 1:].expand(-1, len(self._x), -1)  # (B, w * w, d)
        return self._decoder(torch.cat([torch.stack(place, -1), motif], -1))[..., 0]

    def encode(self, stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angle (M,), wrapped into (-pi, pi], and latents (M, d) of sub-images (M, w, w)."""
        z = super().encode(stack)
        return fold_angles(z[:, 0], 1), z[:, 1:]

    def decode(self, latent: np.ndarray, angle: np.ndarray | float = 0.0) -> np.ndarray:
        """Draw sub-images (M, w, w), turned counter-clockwise by `angle`, in input units."""
        latent = np.atleast_2d(latent)
        angle = np.broadcast_to(angle, len(latent))[:, None]
        return super().decode(np.concatenate([angle, latent], axis=1))
