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
    middle, spread = z.mean(0), z - z.mean(0)
    motif = decoder(z)
    axes = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    if fixed < z.shape[1]:
        together = spread[:, fixed:].T @ (motif - motif.mean(0)) / len(z)  # (d - fixed, K)
        bright = together[:, :1] / together[:, :1].norm().clamp_min(1e-12)
        others = torch.linalg.svd(together - bright @ (bright.T @ together))[0]
        turned = torch.linalg.qr(torch.cat([bright, others], dim=1))[0].T
        axes[fixed:, fixed:] = turned
    alone = [decoder(middle + (spread @ axis)[:, None] * axis) for axis in axes]
    order = torch.stack([g.var(dim=0).sum() for g in alone]).argsort(descending=True)
    slopes = torch.stack([((spread @ axes[j]) * alone[j][:, 0]).mean() for j in order])
    return axes[order] * torch.where(slopes < 0, -1.0, 1.0)[:, None]


def reference_motif(series, g: torch.Tensor) -> torch.Tensor:
    """The motif (K,) whose angle is zero: the mean of all motifs g (M, K), turned alike.

    `series` is the `AngleSeries` that turns them.

    All sub-images were turned to agree with one motif before they were encoded, so that decoded
    motifs stand nearly alike already. Only a small turn is left to find: of several ways to align
    two motifs of nearly fourfold symmetry, the one nearest to zero.
    """
    if len(g) == 0:
        return g.new_zeros(g.shape[1])
    reference = g[(g - g.mean(0)).norm(dim=-1).argmin()]
    for _ in range(5):  # each motif turned onto the last mean
        turn = series.nearest_angle(series.of(g, reference.expand_as(g)))
        reference = series.rotate(g, -turn).mean(0)
    return reference
