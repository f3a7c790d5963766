"""What the book's figures are made of: style, colours, scale bar, wheel, dots on an image."""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import ListedColormap
from matplotlib.transforms import ScaledTranslation
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from skimage.color import lab2rgb

from .. import images

SHEET = Path(__file__).with_name("book.mplstyle")
STYLE = mpl.rc_params_from_file(SHEET, use_default_template=False)
PALETTE = STYLE["axes.prop_cycle"].by_key()["color"]
ACCENT = PALETTE[1]
GREY = "0.62"  # values that are missing
LONE_SPACING_PX = 10.0  # where there is one position only
WHEEL_LABELS = (  # x and y in radii of the wheel
    (1.3, 0, "0°"),
    (0, 1.22, "90°"),
    (-1.45, 0, "180°"),
    (0, -1.22, "−90°"),
)


def use_style() -> None:
    """Set matplotlib up once: light, without grid, readable at phone width, small files."""
    mpl.rcParams.update(STYLE)


@cache
def angle_colormap():
    """Cyclic colour map for angles: 0 ochre, pi/2 light green, pi blue, -pi/2 dark wine red.

    A tilted circle in CIELAB, so equal turns are equal steps in colour. One axis of the circle is
    lightness and the other blue against yellow: both survive red-green colour blindness, in which
    a circle of hues folds onto itself. Unlike 'twilight' it stays clear of white and black, which
    paper and image own already.
    """
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    lightness = 56 + 24 * np.sin(turn)
    green_red = -34 * np.sin(turn)
    blue_yellow = 44 * np.cos(turn)
    lab = np.stack([lightness, green_red, blue_yellow], axis=-1)
    colours = lab2rgb(lab[None])[0]
    colormap = ListedColormap(colours, name="angle")
    return colormap.with_extremes(bad=GREY)


def angle_colours(angle, *, order: int = 1) -> np.ndarray:
    """RGBA colours (..., 4) of angles known up to 2 pi / `order`; missing angles are grey."""
    angle = images.values_of(angle, float)
    order = images.as_positive("order", order)
    turns = angle * order / (2 * np.pi)
    known = np.ma.masked_invalid(turns % 1.0)
    colormap = angle_colormap()
    return np.array(colormap(known))


def scale_bar(ax, pixel_size_nm, image=None, *, longest_px=None, below=False):
    """Draw a scale bar of round length (1, 2 or 5 times a power of ten) at the lower left.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes in pixels, with their limits set.
    pixel_size_nm : float or None
        None takes the calibration of `image`; without any the bar is labelled in px.
    image : (H, W) array or Signal2D, optional
    longest_px : float, optional
        Longest bar allowed; a quarter of the width by default.
    below : bool
        Under the axes instead of on the image.
    """
    if pixel_size_nm is None:
        pixel_size_nm = images.pixel_size_nm(image)
    calibrated = pixel_size_nm is not None
    pixel_size = images.as_positive("pixel_size_nm", pixel_size_nm) if calibrated else 1.0
    unit = "nm" if calibrated else "px"
    quarter_px = np.ptp(ax.get_xlim()) / 4
    length = _round_length((longest_px or quarter_px) * pixel_size)
    height_px = np.ptp(ax.get_ylim())
    bar = AnchoredSizeBar(
        ax.transData,
        size=length / pixel_size,
        label=f"{length:g} {unit}",
        loc="upper left" if below else "lower left",
        size_vertical=height_px / 80,
        fill_bar=True,
        color="white",
        pad=0.35,
        sep=3,
        borderpad=0.3,
        bbox_to_anchor=(0, 0, 1, 0 if below else 1),
        bbox_transform=ax.transAxes,
    )
    bar.patch.set(facecolor="black", edgecolor="none", alpha=0.6)
    bar.set_zorder(6)
    ax.add_artist(bar)
    return ax


def _round_length(longest: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is no longer than this."""
    decade = 10.0 ** np.floor(np.log10(longest))
    limit = longest * (1 + 1e-9)
    return decade * max(step for step in (1, 2, 5) if step * decade <= limit)


def axes_or_new(ax, **options):
    if ax is not None:
        return ax
    _, new = plt.subplots(layout="constrained", subplot_kw=options)
    return new


def picture(ax, image, *, alpha=1.0, clip=(1, 99.8)):
    """Draw an image in grey with rows downwards and no ticks; missing pixels stay white."""
    frame = images.one_frame(image)
    values = frame.astype(float)
    shown = ax.imshow(values, alpha=alpha)
    colour_by(shown, values, "gray", clip, missing="white")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def circles(ax, positions, *, size=0.85):
    """Circles at the finite positions, of a diameter that follows zoom and layout."""
    points = images.as_positions(positions)[:, ::-1]
    spacing = images.median_spacing(points, LONE_SPACING_PX)
    if not (ax.images or ax.collections):  # a blank field that fits the circles
        left, top = np.nanmin(points, axis=0) - spacing
        right, bottom = np.nanmax(points, axis=0) + spacing
        ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal")
        ax.spines[:].set_visible(False)
    diameter = size * spacing
    drawn = EllipseCollection(
        widths=diameter,
        heights=diameter,
        angles=0,
        units="xy",
        offsets=points,
        offset_transform=ax.transData,
    )
    return ax.add_collection(drawn, autolim=False)


def dots_on(ax, positions, image, pixel_size_nm):
    """Dots with a scale bar, over a faint image when there is one."""
    ax = axes_or_new(ax)
    if image is not None:
        picture(ax, image, alpha=0.16)
    dots = circles(ax, positions)
    scale_bar(ax, pixel_size_nm, image)
    return ax, dots


def colour_by(artist, values, cmap, clip, missing=GREY):
    """Colour by values between two percentiles; constant and missing values can be drawn too."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, clip) if finite.size else (0.0, 1.0)
    pad = 0.0 if high > low else 0.5
    colormap = mpl.colormaps.get_cmap(cmap)
    artist.set(
        array=np.ma.masked_invalid(values),
        cmap=colormap.with_extremes(bad=missing),
        clim=(low - pad, high + pad),
    )


def ticks(ax, positions, angle, order):
    """A short line from each position along its angle, once for each of the `order` folds."""
    points = images.as_positions(positions)[:, ::-1]
    spacing = images.median_spacing(points, LONE_SPACING_PX)
    length = spacing / 2
    fold = np.arange(order)
    for turned in angle + 2 * np.pi / order * fold[:, None]:
        x = np.cos(turned)
        y = -np.sin(turned)  # rows go down
        step = length * np.stack([x, y], axis=-1)
        segments = np.stack([points, points + step], axis=1)
        lines = LineCollection(segments, colors="black", linewidths=1.2)
        ax.add_collection(lines, autolim=False)


def wheel(ax, order):
    """The key of an angle map: a wheel, counter-clockwise from the right, in the margin."""
    # Bounds in inches from the upper right corner of `ax`, so that all wheels are one size.
    corner = ScaledTranslation(1, 1, ax.transAxes)
    inches = ax.figure.dpi_scale_trans + corner
    inset = ax.inset_axes([0.5, -1.15, 0.85, 0.85], transform=inches, label="wheel")
    x = np.linspace(-1, 1, 241)
    y = -x[:, None]  # the row axis is down
    angle = np.arctan2(y, x)
    colours = angle_colours(angle, order=order)
    radius = np.hypot(x[:, None], x)
    inside_ring = np.minimum(1 - radius, radius - 0.5)
    colours[..., 3] = np.clip(60 * inside_ring, 0, 1)
    inset.imshow(colours, extent=(-1, 1, -1, 1))
    for x_text, y_text, text in WHEEL_LABELS:
        inset.text(x_text, y_text, text, fontsize=10, ha="center", va="center")
    folds = f"{order}-fold" if order > 1 else ""
    inset.text(0, 0, folds, fontsize=9, ha="center", va="center")
    inset.axis("off")
