"""The figure style of the book: arrays in, one drawn `ax` out; nothing is computed from the data.

Images are grey with a scale bar, angles wear a cyclic colour map with a wheel, everything else a
perceptual map with a bar. Every function draws on the `ax` it is given, or on a new figure, and
returns it. Positions are [row, column] in pixels; angles are radians, counter-clockwise as
displayed.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from . import images

GREY = "0.62"  # values that are missing
ACCENT = "#D55E00"
_PALETTE = ["#0072B2", ACCENT, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


def use_style() -> None:
    """Set matplotlib up once: light, without grid, readable at phone width, small files."""
    import matplotlib as mpl

    mpl.rc("figure", figsize=(6.4, 4.0), dpi=120, facecolor="white")
    mpl.rc("figure.constrained_layout", use=True)
    mpl.rc("savefig", dpi=120, facecolor="white")
    mpl.rc("font", size=12)
    mpl.rc("axes", grid=False, titlesize=12.5, labelsize=12, prop_cycle=mpl.cycler(color=_PALETTE))
    mpl.rc("axes.spines", top=False, right=False)
    mpl.rc(("xtick", "ytick"), labelsize=11)
    mpl.rc("legend", fontsize=11, frameon=False)
    mpl.rc("lines", linewidth=1.8)


@cache
def angle_colormap():
    """Cyclic colour map for angles: 0 ochre, pi/2 light green, pi blue, -pi/2 dark wine red.

    A tilted circle in CIELAB, so equal turns are equal steps in colour. One axis of the circle is
    lightness and the other blue against yellow: both survive red-green colour blindness, in which
    a circle of hues folds onto itself. Unlike 'twilight' it stays clear of white and black, which
    paper and image own already.
    """
    from matplotlib.colors import ListedColormap
    from skimage.color import lab2rgb

    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    lab = np.stack([56 + 24 * np.sin(turn), -34 * np.sin(turn), 44 * np.cos(turn)], axis=-1)
    return ListedColormap(lab2rgb(lab[None])[0], name="angle").with_extremes(bad=GREY)


def angle_colours(angle, *, order: int = 1) -> np.ndarray:
    """RGBA colours (..., 4) of angles known up to 2 pi / `order`; missing angles are grey."""
    turns = np.asarray(angle, dtype=float) * _positive(order, "order") / (2 * np.pi)
    return np.array(angle_colormap()(np.ma.masked_invalid(turns % 1.0)))


def add_scale_bar(ax, pixel_size_nm=None, *, longest_px=None, below=False):
    """Draw a scale bar of round length (1, 2 or 5 times a power of ten) at the lower left.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes in pixels, with their limits set.
    pixel_size_nm : float, optional
        Without it the bar is labelled in px.
    longest_px : float, optional
        Longest bar allowed; a quarter of the width by default.
    below : bool
        Under the axes instead of on the image.
    """
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    size = 1.0 if pixel_size_nm is None else _positive(pixel_size_nm, "pixel_size_nm")
    width, height = (abs(np.ptp(limits)) for limits in (ax.get_xlim(), ax.get_ylim()))
    longest = (longest_px or width / 4) * size
    decade = 10.0 ** np.floor(np.log10(longest))
    length = decade * max(step for step in (1, 2, 5) if step * decade <= longest * (1 + 1e-9))
    label = f"{length:g} " + ("px" if pixel_size_nm is None else "nm")
    place = {"loc": "lower left", "borderpad": 0.4}
    if below:
        place = {"loc": "upper left", "borderpad": 0.2, "bbox_to_anchor": (0, 0)}
        place["bbox_transform"] = ax.transAxes
    bar = AnchoredSizeBar(
        ax.transData, length / size, label, size_vertical=height / 80, color="white", pad=0.35,
        sep=3, fill_bar=True, **place,
    )  # fmt: skip
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.6)
    bar.set_zorder(6)
    ax.add_artist(bar)
    return ax


def show_image(image, *, pixel_size_nm=None, ax=None, title=None, clip=(1, 99.8), columns=None):
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
    ax = _axes(ax)
    _draw_image(ax, image, clip=clip)
    if columns is not None:
        show_columns(columns, ax=ax)
    add_scale_bar(ax, _pixel_size(image, pixel_size_nm))
    ax.set_title(title or "")
    return ax


def show_columns(positions, *, ax=None, values=None, cmap="viridis", colour=ACCENT, size=0.7):
    """Ring each position on an image, in one colour or coloured by `values` (N,).

    `size` is the diameter of the rings as a share of the spacing of neighbouring positions.
    """
    ax = _axes(ax)
    rings = _dots(ax, positions, size=size)
    rings.set(facecolor="none", edgecolor=colour, linewidth=1.2)
    if values is not None:
        rings.set_edgecolor(None)  # the values colour them now
        _colour_by(rings, _one_each(values, positions, "values"), cmap, (1, 99))
    return ax


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
    from matplotlib.patches import Circle, Rectangle

    ax = _axes(ax)
    row, col = position
    _draw_image(ax, image)
    reach = reach_px or 0.75 * _positive(window_px, "window_px")
    ax.set(xlim=(col - reach, col + reach), ylim=(row + reach, row - reach))
    half = window_px / 2
    line = {"fill": False, "edgecolor": ACCENT, "linewidth": 1.8}
    ax.add_patch(Rectangle((col - half, row - half), window_px, window_px, linestyle="--", **line))
    ax.add_patch(Circle((col, row), half, **line))
    ax.plot(col, row, "+", color=ACCENT, ms=10)
    return add_scale_bar(ax, _pixel_size(image, pixel_size_nm))


def plot_angle_map(
    positions, angle, *, order=1, image=None, pixel_size_nm=None, angle_sd=None, ticks=False,
    ax=None,
):  # fmt: skip
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
    ax = _axes(ax)
    angle = _one_each(angle, positions, "angle")
    colours = angle_colours(angle, order=order)
    if angle_sd is not None:
        # The length of the mean of exp(i order angle): 1 when certain, 0 when any angle may be.
        length = np.exp(-((order * _one_each(angle_sd, positions, "angle_sd")) ** 2) / 2)
        colours[:, 3] = np.clip(np.nan_to_num(length), 0.12, 1.0)
    dots = _dots_on(ax, positions, image, pixel_size_nm)
    dots.set_facecolor(colours)
    if ticks:
        _draw_ticks(ax, positions, angle, order)
    _add_wheel(ax, order)
    return ax


def plot_value_map(
    positions, value, *, label, image=None, pixel_size_nm=None, cmap="viridis", clip=(1, 99),
    ax=None,
):  # fmt: skip
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
    ax = _axes(ax)
    value = _one_each(value, positions, "value")
    dots = _dots_on(ax, positions, image, pixel_size_nm)
    _colour_by(dots, value, cmap, clip)
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
    tiles = np.array(stack, dtype=float)
    if tiles.ndim != 3 or tiles.size == 0 or tiles.shape[1] != tiles.shape[2]:
        raise ValueError(
            f"the stack has shape {tiles.shape}, but (M, w, w) is needed: "
            "pass a single motif as motif[None]"
        )
    labels = [""] * len(tiles) if labels is None else list(labels)
    if len(labels) != len(tiles):
        raise ValueError(f"{len(labels)} labels for {len(tiles)} sub-images: give one for each")
    width = tiles.shape[1]
    if disk:
        offset = np.arange(width) - (width - 1) / 2
        tiles[:, np.hypot(offset[:, None], offset) > width / 2] = np.nan
    columns = min(int(_positive(columns, "columns")), len(tiles))
    pitch = np.array([width * (1.25 if any(labels) else 1.0), width]).astype(int) + max(
        1, width // 16
    )
    corners = np.transpose(np.divmod(np.arange(len(tiles)), columns)) * pitch  # (M, 2)
    canvas = np.full(corners.max(axis=0) + width, np.nan)
    ax = _axes(ax)
    for tile, label, (top, left) in zip(tiles, labels, corners, strict=True):
        canvas[top : top + width, left : left + width] = tile
        ax.text(left + width / 2, top - 1, label, ha="center", va="bottom", fontsize=11)
    _draw_image(ax, canvas)
    return add_scale_bar(ax, pixel_size_nm, longest_px=0.7 * width, below=True)


def plot_rose(angle, *, order=1, directions=None, bins=72, ax=None):
    """Histogram of angles (N,) around the circle; the *area* of a bar is its count.

    Angles known up to 2 pi / `order` are repeated `order` times around. `directions` (radians)
    are drawn as lines: those of the lattice, to compare with. Missing angles are left out.
    """
    angle = np.ravel(np.asarray(angle, dtype=float))
    angle = angle[np.isfinite(angle)]
    if angle.size == 0:
        raise ValueError("none of the angles is finite: there is nothing to draw")
    ax = _axes(ax, projection="polar")
    copies = angle[:, None] + 2 * np.pi / _positive(order, "order") * np.arange(order)
    edges = np.linspace(-np.pi, np.pi, bins + 1)
    radius = np.sqrt(np.histogram(np.angle(np.exp(1j * copies)), edges)[0])
    middle = (edges[:-1] + edges[1:]) / 2
    ax.bar(middle, radius, width=2 * np.pi / bins, color=angle_colours(middle, order=order))
    top = radius.max() * 1.08
    ax.vlines(
        [] if directions is None else directions, 0, top, color="black", linestyle="--", lw=1.2
    )
    ax.set(ylim=(0, top), yticks=[], thetalim=(-np.pi, np.pi))
    ax.set_thetagrids(np.arange(-135, 181, 45))
    ax.grid(False)
    return ax


def plot_history(history, *, ax=None):
    """Draw the loss of a training run and its parts, pass by pass.

    Parameters
    ----------
    history : list of dict, or dict of lists
        `epoch` (counted when absent), `loss` and, where there, its parts: `misfit` or
        `reconstruction` on the same scale, `kl` and `beta` dashed on the scale at the right.
        Other entries are left out.
    """
    table = _as_table(history)
    if np.size(table.get("loss", ())) == 0:
        raise ValueError(f"the history has {sorted(table)}, but a loss for each pass is needed")
    ax = _axes(ax)
    epoch = table.get("epoch", np.arange(1, len(table["loss"]) + 1))
    marker = "o" if len(epoch) == 1 else None  # a line through one point would not show
    lines = []
    for name in [name for name in ("loss", "misfit", "reconstruction") if name in table]:
        lines += ax.plot(epoch, table[name], marker=marker, label=name)
    if dashed := {"kl", "beta"} & table.keys():
        right = ax.twinx()
        right.set_ylabel(" and ".join(sorted(dashed)) + " (dashed)")
        right.spines["right"].set_visible(True)
        for name, colour in zip(sorted(dashed), _PALETTE[2:], strict=False):
            lines += right.plot(epoch, table[name], "--", color=colour, marker=marker, label=name)
    ax.set(xlabel="pass over the sub-images (epoch)", ylabel="loss (nats per sub-image)")
    ax.legend(handles=lines, loc="upper right")
    return ax


def plot_truth(truth, measured, *, sd=None, label="", ax=None):
    """Draw measured against true values (N,), with the line on which they agree.

    Many points become a density (hexagons, logarithmic), few become dots, with error bars of one
    standard error `sd` (N,) when given. `label` names the quantity and its unit.
    """
    truth, measured = (np.asarray(values, dtype=float) for values in (truth, measured))
    if truth.ndim != 1 or truth.shape != measured.shape:
        raise ValueError(f"truth {truth.shape} and measured {measured.shape} must both be (N,)")
    good = np.isfinite(truth) & np.isfinite(measured)
    if not good.any():
        raise ValueError("no pair of a true and a measured value is finite")
    ax = _axes(ax)
    x, y = truth[good], measured[good]
    if len(x) > 2000 and sd is None:
        ax.hexbin(x, y, gridsize=60, bins="log", mincnt=1, cmap="viridis_r", linewidths=0)
    else:
        bars = None if sd is None else np.broadcast_to(sd, truth.shape)[good]
        ax.errorbar(x, y, bars, fmt="o", ms=3.5, lw=0.8, mew=0, color=_PALETTE[0], alpha=0.6)
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    ax.plot(ends, ends, color="black", linewidth=1, label="equal")
    ax.set(xlabel=f"true {label}".strip(), ylabel=f"measured {label}".strip(), aspect="equal")
    return ax


def plot_window_report(report, *, ax=None):
    """Draw what a `WindowReport` says of each window size, and the size that it recommends.

    Shares (0 to 1) have the scale at the left; the expected angle error is dashed, with a
    logarithmic scale at the right. Sizes are in px, and above them in nm where those are known.
    """
    table, ax = report.table, _axes(ax)
    size, error = table["window_px"], table["angle_error_deg"]
    lines = []
    for name in ("score", "share_kept", "overlap"):
        lines += ax.plot(size, table[name], "o-", ms=4, label=name.replace("_", " "))
    right = ax.twinx()
    lines += right.plot(size, error, "s--", ms=4, color=_PALETTE[3], label="angle error")
    right.set(yscale="log", ylabel="expected angle error (°, dashed)")
    right.set_ylim(top=min(180, 2 * np.nanmax(error, initial=0.1)))  # beyond half a turn: unknown
    right.yaxis.set_major_formatter("{x:g}")
    right.spines["right"].set_visible(True)
    lines.append(ax.axvline(report.recommended_px, color=GREY, lw=5, alpha=0.5, zorder=0))
    lines[-1].set_label(f"{report.recommended_px} px recommended")
    nm = float(table["window_nm"][0] / size[0])
    if np.isfinite(nm):
        above = ax.secondary_xaxis("top", functions=(lambda px: px * nm, lambda nms: nms / nm))
        above.set_xlabel("window (nm)")
    ax.set(xlabel="window (px)", ylabel="share", ylim=(0, 1.05))
    ax.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3)
    return ax


def _axes(ax, **options):
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(layout="constrained", subplot_kw=options)[1]
    if options.get("projection", ax.name) != ax.name:
        raise ValueError(f"ax is {ax.name}, but a rose needs one made with projection='polar'")
    return ax


def _draw_image(ax, image, *, alpha=1.0, clip=(1, 99.8)):
    """Draw an image in grey with rows downwards and no ticks; missing pixels stay white."""
    values = np.asarray(getattr(image, "data", image), dtype=float)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(
            f"the image has shape {values.shape}, but (rows, columns) is needed: "
            "show one frame, or the mean of align_stack(stack)"
        )
    shown = ax.imshow(np.ma.masked_invalid(values), alpha=alpha)
    _colour_by(shown, values, "gray", clip, missing="white")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _dots(ax, positions, size=0.85):
    """Circles at the finite positions, of a diameter that follows zoom and layout."""
    from matplotlib.collections import EllipseCollection

    points = images.as_positions(positions)[:, ::-1]
    spacing = _spacing(points)
    if not (ax.images or ax.collections):  # a blank field that fits the dots
        left, top = np.nanmin(points, axis=0) - spacing
        right, bottom = np.nanmax(points, axis=0) + spacing
        ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    width = size * spacing
    dots = EllipseCollection(
        width, width, 0, units="xy", offsets=points, offset_transform=ax.transData
    )
    return ax.add_collection(dots, autolim=False)


def _dots_on(ax, positions, image, pixel_size_nm):
    """Dots with a scale bar, over a faint image when there is one."""
    if image is not None:
        _draw_image(ax, image, alpha=0.16)
    dots = _dots(ax, positions)
    add_scale_bar(ax, _pixel_size(image, pixel_size_nm))
    return dots


def _colour_by(artist, values, cmap, clip, missing=GREY):
    """Colour by values between two percentiles; constant and missing values can be drawn too."""
    import matplotlib as mpl

    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, clip) if finite.size else (0.0, 1.0)
    pad = 0.0 if high > low else 0.5
    colours = mpl.colormaps.get_cmap(cmap).with_extremes(bad=missing)
    artist.set(array=np.ma.masked_invalid(values), cmap=colours, clim=(low - pad, high + pad))


def _draw_ticks(ax, positions, angle, order):
    from matplotlib.collections import LineCollection

    points = images.as_positions(positions)[:, ::-1]
    for turn in 2 * np.pi / order * np.arange(order):
        step = np.stack([np.cos(angle + turn), -np.sin(angle + turn)], axis=-1)  # rows go down
        segments = np.stack([points, points + 0.5 * _spacing(points) * step], axis=1)
        ax.add_collection(LineCollection(segments, colors="black", linewidths=1.2), autolim=False)


def _add_wheel(ax, order):
    """The key of an angle map: a wheel, counter-clockwise from the right, in the margin."""
    from matplotlib.transforms import ScaledTranslation

    # Bounds in inches from the upper right corner of `ax`, so that all wheels are one size.
    inches = ax.figure.dpi_scale_trans + ScaledTranslation(1, 1, ax.transAxes)
    wheel = ax.inset_axes([0.5, -1.15, 0.85, 0.85], transform=inches, label="wheel")
    x = np.linspace(-1, 1, 241)
    radius = np.hypot(x[:, None], x)
    colours = angle_colours(np.arctan2(-x[:, None], x), order=order)  # the row axis is down
    colours[..., 3] = np.clip(60 * np.minimum(1 - radius, radius - 0.5), 0, 1)
    wheel.imshow(colours, extent=(-1, 1, -1, 1))
    for x, y, text in ((1.3, 0, "0°"), (0, 1.22, "90°"), (-1.45, 0, "180°"), (0, -1.22, "−90°")):
        wheel.text(x, y, text, fontsize=10, ha="center", va="center")
    if order > 1:
        wheel.text(0, 0, f"{order}-fold", fontsize=9, ha="center", va="center")
    wheel.axis("off")


def _spacing(points):
    """Median distance from a point to its nearest neighbour."""
    from scipy.spatial import KDTree

    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return 10.0
    return max(float(np.median(KDTree(points).query(points, k=2)[0][:, 1])), 1e-6)


def _one_each(values, positions, name):
    values = np.asarray(values, dtype=float)
    count = len(images.as_positions(positions))
    if values.shape != (count,):
        raise ValueError(
            f"{name} has shape {values.shape}, but ({count},) is needed, one for each position: "
            "pass positions[kept], as cut_subimages kept them"
        )
    return values


def _pixel_size(image, pixel_size_nm):
    return images.pixel_size_nm(image) if pixel_size_nm is None else pixel_size_nm


def _positive(value, name):
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value} must be greater than 0")
    return value


def _as_table(history):
    """Arrays by name, from a dict of lists or from one dict for each pass."""
    if isinstance(history, dict):
        return {name: np.asarray(values) for name, values in history.items()}
    names = history[0] if len(history) else ()
    return {name: np.array([row[name] for row in history]) for name in names}
