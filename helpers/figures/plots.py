"""The figure style of the book: arrays in, one drawn `ax` out; nothing is computed from the data.

Images are grey with a scale bar, angles wear a cyclic colour map with a wheel, everything else a
perceptual map with a bar. Every function draws on the `ax` it is given, or on a new figure, and
returns it. Positions are [row, column] in pixels; angles are radians, counter-clockwise as
displayed.
"""

import numpy as np
from matplotlib.patches import Circle, Rectangle

from ..images import as_positive, as_stack, as_whole, one_each, values_of
from ..subimages.harmonics import disk_mask
from . import drawing as draw
from .drawing import ACCENT, GREY, PALETTE, angle_colours, use_style

__all__ = ["ACCENT", "GREY", "angle_colours", "use_style"]


def show_image(
    image,
    *,
    pixel_size_nm=None,
    ax=None,
    title=None,
    clip=(1, 99.8),
    columns=None,
):
    """Show an image in grey with a scale bar.

    Parameters
    ----------
    image : (H, W) array or Signal2D
        Missing pixels (NaN) are left white.
    pixel_size_nm : float, optional
        Read from a calibrated Signal2D when not given.
    clip : (float, float)
        Percentiles shown as black and white, so that single hot pixels do not set the contrast.
    columns : (N, 2) array or Columns, optional
        Positions to mark.
    """
    ax = draw.axes_or_new(ax)
    draw.picture(ax, image, clip=clip)
    if columns is not None:
        show_columns(columns, ax=ax)
    ax.set_title(title or "")
    return draw.scale_bar(ax, pixel_size_nm, image)


def show_columns(positions, *, ax=None, values=None, colour=ACCENT, size=0.7):
    """Ring each position on an image, in one colour or coloured by `values` (N,).

    `size` is the diameter of the rings as a share of the spacing of neighbouring positions.
    """
    ax = draw.axes_or_new(ax)
    rings = draw.circles(ax, positions, size=size)
    edge = colour if values is None else None
    rings.set(facecolor="none", edgecolor=edge, linewidth=1.2)
    if values is not None:
        values = one_each(values, positions, "values")
        draw.colour_by(rings, values, "viridis", (1, 99))
    return rings.axes


def show_window(image, position, window_px, *, pixel_size_nm=None, reach_px=None, ax=None):
    """Show the surroundings of one column with its window (box), the disk in it and its centre.

    Parameters
    ----------
    image : (H, W) array or Signal2D
    position : (2,) [row, column] in pixels
    window_px : int
    reach_px : float, optional
        How far around the position to look; by default three quarters of the window.
    """
    ax = draw.axes_or_new(ax)
    row, col = position
    draw.picture(ax, image)
    reach = reach_px or 0.75 * as_positive("window_px", window_px)
    ax.set(xlim=(col - reach, col + reach), ylim=(row + reach, row - reach))
    half = window_px / 2
    line = {"fill": False, "edgecolor": ACCENT, "linewidth": 1.8}
    corner = (col - half, row - half)
    box = Rectangle(corner, window_px, window_px, linestyle="--", **line)
    disk = Circle((col, row), half, **line)
    ax.add_patch(box)
    ax.add_patch(disk)
    ax.plot(col, row, "+", color=ACCENT, ms=10)
    return draw.scale_bar(ax, pixel_size_nm, image)


def plot_angle_map(
    positions,
    angle,
    *,
    order=1,
    image=None,
    pixel_size_nm=None,
    angle_sd=None,
    ticks=False,
    ax=None,
):
    """Show the angle of each column as a coloured dot, with a colour wheel as the key.

    Parameters
    ----------
    positions : (N, 2) array or Columns
    angle : (N,) array
        Radians; missing angles (NaN) are drawn grey.
    order : int
        The angles are known up to 2 pi / `order` (see `fold_angles`): the wheel repeats as often.
    image : (H, W) array or Signal2D, optional
        Drawn faintly behind the dots.
    angle_sd : (N,) array, optional
        Standard errors in radians: dots fade as the angle gets lost.
    ticks : bool
        Draw the direction of each angle as a short line from its dot's centre, all `order` of them.
    """
    angle = one_each(angle, positions, "angle")
    colours = angle_colours(angle, order=order)
    if angle_sd is not None:
        # The length of the mean of exp(i order angle): 1 when certain, 0 when any angle may be.
        angle_sd = one_each(angle_sd, positions, "angle_sd")
        length = np.exp(-((order * angle_sd) ** 2) / 2)
        length = np.nan_to_num(length)
        colours[:, 3] = np.clip(length, 0.12, 1.0)
    ax, dots = draw.dots_on(ax, positions, image, pixel_size_nm)
    dots.set_facecolor(colours)
    if ticks:
        draw.ticks(ax, positions, angle, order)
    draw.wheel(ax, order)
    return ax


def plot_value_map(
    positions,
    value,
    *,
    label,
    image=None,
    pixel_size_nm=None,
    clip=(1, 99),
    ax=None,
):
    """Show a value of each column (a latent, a score) as a coloured dot, with a colour bar.

    Parameters
    ----------
    positions : (N, 2) array or Columns
    value : (N,) array
        Missing values (NaN) are drawn grey.
    label : str
        What the bar measures, with its unit.
    clip : (float, float)
        Percentiles at which the colours end; unless (0, 100) the bar is pointed.
    """
    value = one_each(value, positions, "value")
    ax, dots = draw.dots_on(ax, positions, image, pixel_size_nm)
    draw.colour_by(dots, value, "viridis", clip)
    extend = "neither" if tuple(clip) == (0, 100) else "both"
    ax.figure.colorbar(dots, ax=ax, label=label, extend=extend, shrink=0.85, pad=0.02)
    return ax


def plot_montage(stack, *, columns=8, pixel_size_nm=None, labels=None, disk=True, ax=None):
    """Lay sub-images (M, w, w) out as a grid, all in one grey scale.

    Parameters
    ----------
    columns : int
        Sub-images in a row.
    labels : sequence of str, optional
        One above each sub-image.
    disk : bool
        Leave the corners blank, which take no part in training.
    """
    tiles = values_of(as_stack(stack)).astype(float)
    labels = [""] * len(tiles) if labels is None else list(labels)
    if len(labels) != len(tiles):
        raise ValueError(f"{len(labels)} labels for {len(tiles)} sub-images: give one for each")
    width = tiles.shape[1]
    if disk:
        tiles[:, ~disk_mask(width)] = np.nan
    columns = as_whole("columns", columns, 1)
    columns = min(columns, len(tiles))
    corners = _tile_corners(len(tiles), columns, width, labelled=any(labels))
    bottom_right = corners.max(axis=0) + width
    canvas = np.full(bottom_right, np.nan)
    ax = draw.axes_or_new(ax)
    for tile, label, (top, left) in zip(tiles, labels, corners, strict=True):
        canvas[top : top + width, left : left + width] = tile
        ax.text(left + width / 2, top - 1, label, ha="center", va="bottom", fontsize=11)
    draw.picture(ax, canvas)
    return draw.scale_bar(ax, pixel_size_nm, longest_px=0.7 * width, below=True)


def _tile_corners(count: int, columns: int, width: int, *, labelled: bool) -> np.ndarray:
    """Upper left corners (count, 2) [row, column] of tiles in a grid, with room for labels."""
    gap = max(1, width // 16)
    head = width // 4 if labelled else 0
    number = np.arange(count)
    row, column = np.divmod(number, columns)
    place = np.stack([row, column], axis=1)
    return place * [width + head + gap, width + gap]


def plot_rose(angle, *, order=1, directions=(), bins=72, ax=None):
    """Histogram of angles (N,) around the circle; the *area* of a bar is its count.

    Angles known up to 2 pi / `order` are repeated `order` times around. `directions` (radians)
    are drawn as lines: those of the lattice, to compare with. Missing angles are left out.
    """
    angle = values_of(angle, float)
    angle = angle[np.isfinite(angle)]
    if angle.size == 0:
        raise ValueError("none of the angles is finite: there is nothing to draw")
    ax = draw.axes_or_new(ax, projection="polar")
    if ax.name != "polar":
        raise ValueError(f"ax is {ax.name}, but a rose needs one made with projection='polar'")
    order = as_whole("order", order, 1)
    copies = angle[:, None] + 2 * np.pi / order * np.arange(order)
    wrapped = np.angle(np.exp(1j * copies))
    edges = np.linspace(-np.pi, np.pi, bins + 1)
    count, _ = np.histogram(wrapped, edges)
    radius = np.sqrt(count)
    middle = (edges[:-1] + edges[1:]) / 2
    colours = angle_colours(middle, order=order)
    ax.bar(middle, radius, width=2 * np.pi / bins, color=colours)
    top = radius.max() * 1.08
    ax.vlines(directions, 0, top, color="black", linestyle="--", lw=1.2)
    ax.set(ylim=(0, top), yticks=[], thetalim=(-np.pi, np.pi))
    degrees = np.arange(-135, 181, 45)
    ax.set_thetagrids(degrees)
    ax.grid(False)
    return ax


def plot_window_report(report, *, ax=None):
    """Draw what a `WindowReport` says of each window size, and the size that it recommends.

    Shares (0 to 1) have the scale at the left; the expected angle error is dashed, with a
    logarithmic scale at the right. Sizes are in px, and above them in nm where those are known.
    """
    ax = draw.axes_or_new(ax)
    table = report.table
    size = table["window_px"]
    lines = []
    for name in ("score", "share_kept", "overlap"):
        label = name.replace("_", " ")
        lines += ax.plot(size, table[name], "o-", ms=4, label=label)
    lines += _angle_error(ax, size, table["angle_error_deg"])
    recommended = ax.axvline(
        report.recommended_px,
        color=GREY,
        lw=5,
        alpha=0.5,
        zorder=0,
        label=f"{report.recommended_px} px recommended",
    )
    lines.append(recommended)
    pixel_size_nm = float(table["window_nm"][0] / size[0])
    if np.isfinite(pixel_size_nm):
        _nm_above(ax, pixel_size_nm)
    ax.set(xlabel="window (px)", ylabel="share", ylim=(0, 1.05))
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    return ax


def _nm_above(ax, pixel_size_nm: float) -> None:
    """A second scale at the top, in nm."""

    def to_nm(px):
        return px * pixel_size_nm

    def to_px(nm):
        return nm / pixel_size_nm

    above = ax.secondary_xaxis("top", functions=(to_nm, to_px))
    above.set_xlabel("window (nm)")


def _angle_error(ax, size, error):
    """Draw the expected angle error (°) on a logarithmic scale at the right; its lines."""
    right = ax.twinx()
    lines = right.plot(size, error, "s--", ms=4, color=PALETTE[3], label="angle error")
    right.set(yscale="log", ylabel="expected angle error (°, dashed)")
    largest = np.nanmax(error, initial=0.1)
    top = min(180, 2 * largest)  # beyond half a turn: unknown
    right.set_ylim(top=top)
    right.yaxis.set_major_formatter("{x:g}")
    right.spines["right"].set_visible(True)
    return lines


def plot_quality(image, report, *, pixel_size_nm=None, ax=None):
    """Ring the columns of a `QualityReport` on the image: doubtful ones bold and red."""
    ax = show_image(image, pixel_size_nm=pixel_size_nm, ax=ax)
    if len(report.columns):
        show_columns(report.columns, ax=ax)
        rings = ax.collections[-1]
        colours = ["red" if doubtful else PALETTE[5] for doubtful in report.doubtful]
        rings.set(edgecolor=colours, linewidth=0.8 + 1.2 * report.doubtful)
    ax.set_title(f"{len(report.columns)} columns, {report.table['doubtful']} doubtful")
    return ax
