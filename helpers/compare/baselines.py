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
from ..images import as_positive, as_stack, as_whole, values_of
from ..results.angles import fold_angles
from ..rvae.training import descend, network
from ..subimages.harmonics import as_finite, disk_mask, paint, pixel_offsets

LEARNING_RATE = 1e-3


def principal_components(
    stack: np.ndarray,
    count: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
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
    shape = np.shape(stack)
    window_px = shape[-1] if shape else 0
    mask = disk_mask(window_px)
    pixels = _pixels(stack, mask)
    count = as_whole("count", count, 1, min(pixels.shape))
    mean = pixels.mean(axis=0)
    u, size, parts = np.linalg.svd(pixels - mean, full_matrices=False)
    drawn = paint([mean, *parts[:count]], mask)
    scores = u[:, :count] * size[:count]
    variance = size**2
    share = variance / np.sum(variance)
    return drawn[0], drawn[1:], scores, share[:count]


def _pixels(
    stack: np.ndarray,
    mask: np.ndarray,
) -> np.ndarray:
    """The pixels (M, D) float32 of the sub-images that lie in the mask (w, w)."""
    stack = as_stack(stack, len(mask))
    pixels = values_of(stack)[:, mask].astype(np.float32)
    pixels = as_finite(pixels)
    contrast = pixels.std(dtype=np.float64)
    level = abs(pixels.mean(dtype=np.float64))
    if not contrast > 1e-6 * level:
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

    def __init__(
        self,
        window_px: int,
        *,
        latent_dim: int = 2,
        seed: int = 0,
    ):
        window_px = as_whole("window_px", window_px, 2)
        self._mask = disk_mask(window_px)
        self.latent_dim = as_whole("latent_dim", latent_dim, 1)
        self.seed = int(seed)
        self.history = []
        self._prior_sd = torch.ones(self.latent_dim)  # of each number that is encoded
        pixel_count = int(self._mask.sum())
        self._decoder_shape = (self.latent_dim, pixel_count, 2)  # in, out, hidden layers

    def fit(
        self,
        stack: np.ndarray,
        *,
        epochs: int,
        progress: bool = False,
        watch=None,
    ) -> "PlainVAE":
        """Train with exactly `epochs` passes over sub-images (M, w, w); return the model.

        `watch`, as that of `RVAE.fit`, is called after each pass with its row of `history`;
        training stops where it returns true.
        """
        epochs = as_whole("epochs", epochs, 1)
        pixels = _pixels(stack, self._mask)
        self._offset = float(pixels.mean())
        self._gain = float(pixels.std())
        x = self._normalised(pixels)
        self.history = []
        passes = tqdm(range(1, epochs + 1), unit="epoch", disable=not progress)
        with torch.random.fork_rng(devices=[]), one_thread():
            torch.manual_seed(self.seed)
            optimiser = self._start(x.shape[1])
            for epoch in passes:
                batches = torch.randperm(len(x)).split(self.batch)
                averages = descend(
                    lambda batch: self._loss(x[batch]),
                    batches,
                    optimiser,
                )
                row = {"epoch": epoch, **averages}
                self.history.append(row)
                if watch and watch(row):
                    break
        return self

    def _normalised(self, pixels: np.ndarray) -> torch.Tensor:
        """Pixels on the scale of the stack trained on: mean 0, standard deviation 1."""
        values = (pixels - self._offset) / self._gain
        return torch.as_tensor(values)

    def _start(self, pixel_count: int) -> torch.optim.Optimizer:
        """Make the two networks, with random weights, and what trains them."""
        encoded = 2 * len(self._prior_sd)  # a mean and a standard deviation each
        self._encoder = network(
            pixel_count,
            encoded,
            activation=nn.Tanh,
        )
        self._decoder = network(
            *self._decoder_shape,
            activation=nn.Tanh,
        )
        weights = [
            *self._encoder.parameters(),
            *self._decoder.parameters(),
        ]
        return torch.optim.Adam(weights, lr=LEARNING_RATE)

    def _loss(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """misfit + KL of pixels (B, D), then its parts; averages over the batch."""
        encoded = self._encoder(x)
        mean, log_sd = encoded.chunk(2, dim=-1)  # (B, d) each
        z = mean + log_sd.exp() * torch.randn(mean.shape)
        squared_error = (x - self._draw(z)).square()
        misfit = squared_error.sum(-1).mean() / 2
        variance = (2 * log_sd).exp()
        spread = (mean**2 + variance) / self._prior_sd**2
        kl_each = spread / 2 - 0.5 + self._prior_sd.log() - log_sd
        kl = kl_each.sum(-1).mean()
        loss = misfit + kl
        return loss, misfit, kl

    def _draw(self, z: torch.Tensor) -> torch.Tensor:
        """Pixels (B, D) of the mask."""
        return self._decoder(z)

    @torch.no_grad()
    def encode(self, stack: np.ndarray) -> np.ndarray:
        """Latents (M, d) of sub-images (M, w, w); RuntimeError if the model is not trained."""
        self._require_training()
        pixels = _pixels(stack, self._mask)
        x = self._normalised(pixels)
        del pixels
        mean, _ = self._encoder(x).chunk(2, dim=-1)
        return mean.double().numpy()

    @torch.no_grad()
    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Draw sub-images (M, w, w) of `latent` (M, d), in input units, NaN outside the disk."""
        self._require_training()
        latent = np.atleast_2d(latent)
        z = torch.as_tensor(latent, dtype=torch.float32)
        encoded = len(self._prior_sd)
        if z.shape[1] != encoded:
            given = z.shape[1] - encoded + self.latent_dim  # the angle apart
            raise ValueError(f"{given} latents, but this model has latent_dim={self.latent_dim}")
        parts = [self._draw(part) for part in z.split(self.batch)]
        drawn = torch.cat(parts).numpy()
        del parts
        pixels = drawn * self._gain + self._offset
        return paint(pixels, self._mask)

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
        self,
        window_px: int,
        *,
        latent_dim: int = 2,
        seed: int = 0,
        angle_prior_sd: float = np.pi,
    ):
        super().__init__(
            window_px,
            latent_dim=latent_dim,
            seed=seed,
        )
        angle_prior_sd = as_positive("angle_prior_sd", angle_prior_sd)
        latent_prior_sd = self._prior_sd.tolist()
        self._prior_sd = torch.tensor([angle_prior_sd, *latent_prior_sd])
        self._mask = np.ones_like(self._mask)
        self._decoder_shape = (2 + self.latent_dim, 1, 3)  # the size of AtomAI's and pyroVED's
        offset = pixel_offsets(window_px) / (window_px / 2)  # in half windows
        offset = torch.as_tensor(offset, dtype=torch.float32)
        y, x = torch.meshgrid(
            -offset,  # rows run down
            offset,
            indexing="ij",
        )
        self._x = x.ravel()  # (w * w,)
        self._y = y.ravel()

    def _draw(self, z: torch.Tensor) -> torch.Tensor:
        """Pixels (B, w * w): what is drawn at p, turned by t, is the motif at p turned by -t."""
        angle = z[:, :1]
        cos = angle.cos()
        sin = angle.sin()
        x = self._x * cos + self._y * sin  # (B, w * w)
        y = self._y * cos - self._x * sin
        latent = z[:, None, 1:]
        motif = latent.expand(-1, len(self._x), -1)  # (B, w * w, d)
        inputs = torch.cat([x[..., None], y[..., None], motif], -1)
        return self._decoder(inputs)[..., 0]

    def encode(self, stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angle (M,), wrapped into (-pi, pi], and latents (M, d) of sub-images (M, w, w)."""
        z = super().encode(stack)
        angle = fold_angles(z[:, 0], 1)
        latent = z[:, 1:]
        return angle, latent

    def decode(
        self,
        latent: np.ndarray,
        angle: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """Draw sub-images (M, w, w), turned counter-clockwise by `angle`, in input units."""
        latent = np.atleast_2d(latent)
        angle = np.broadcast_to(angle, len(latent))
        z = np.concatenate([angle[:, None], latent], axis=1)
        return super().decode(z)
