"""What training leaves free, fixed by a rule: the axes of the latents and the zero of the angle.

Any rotation of the latent space, and any turn of all motifs, explains the data as well. These
choices are conventions, not physics.
"""

import torch


def choose_axes(decoder, z: torch.Tensor, fixed: int = 0) -> torch.Tensor:
    """Orthonormal directions (d, d) of latents z (M, d), one a row, in the order reported.

    `decoder(z)` draws the motifs (M, K). The first `fixed` latents are axes already: their prior
    tells them from the others.

    Of the others one axis follows the brightness as far as a straight line can; the rest, at right
    angles to it, does not. All are sorted by the variance of the decoded motif along each, and + is
    the brighter end.
    """
    middle = z.mean(0)
    spread = z - middle
    axes = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    if fixed < z.shape[1]:
        motif = decoder(z)
        change = motif - motif.mean(0)
        together = spread[:, fixed:].T @ change / len(z)  # (d - fixed, K)
        axes[fixed:, fixed:] = _brightness_first(together)
    # The motifs that are drawn as the latents vary along one axis alone.
    places = [spread @ axis for axis in axes]
    alone = []
    for axis, place in zip(axes, places, strict=True):
        motif = decoder(middle + place[:, None] * axis)
        alone.append(motif)
    explained = [motif.var(dim=0).sum() for motif in alone]
    order = torch.stack(explained).argsort(descending=True)
    slopes = []
    for j in order:
        brightness = alone[j][:, 0]
        slopes.append((places[j] * brightness).mean())
    is_darker = torch.stack(slopes) < 0
    sign = torch.where(is_darker, -1.0, 1.0)
    return axes[order] * sign[:, None]


def _brightness_first(together: torch.Tensor) -> torch.Tensor:
    """Orthonormal axes (d, d), the first along brightness, from how latents and motifs vary
    together, (d, K)."""
    brightness = together[:, :1]
    length = brightness.norm().clamp_min(1e-12)
    bright = brightness / length
    rest = together - bright @ (bright.T @ together)
    others, _, _ = torch.linalg.svd(rest)
    candidates = torch.cat([bright, others], dim=1)
    orthonormal, _ = torch.linalg.qr(candidates)
    return orthonormal.T


def reference_motif(series, g: torch.Tensor) -> torch.Tensor:
    """The motif (K,) whose angle is zero: the mean of all motifs g (M, K), turned alike.

    `series` is the `AngleSeries` that turns them.

    All sub-images were turned to agree with one motif before they were encoded, so that decoded
    motifs stand nearly alike already. Only a small turn is left to find: of several ways to align
    two motifs of nearly fourfold symmetry, the one nearest to zero.
    """
    if len(g) == 0:
        return g.new_zeros(g.shape[1])
    from_mean = g - g.mean(0)
    middlemost = from_mean.norm(dim=-1).argmin()
    reference = g[middlemost]
    for _ in range(5):  # each motif turned onto the last mean
        overlap = series.of(g, reference.expand_as(g))
        turn = series.nearest_angle(overlap)
        turned = series.rotate(g, -turn)
        reference = turned.mean(0)
    return reference
