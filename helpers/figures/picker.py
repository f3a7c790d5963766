"""Choose the window by looking: what it holds, what it costs, and what a model makes of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from traitlets import Int, observe

from ..images import as_image, as_positions, pixel_size_nm
from ..rvae.model import RVAE
from ..subimages.cut import cut_subimages, inside_image
from ..subimages.harmonics import disk_mask
from ..subimages.window import window_report
from . import drawing, plots
from .player import Player, as_webp, in_picture, shown

EXAMPLES = 3  # sub-images of each kind beside their mean
AVERAGED = 200  # sub-images of each kind, at most, in that mean
VIEW = 1.6  # half the side of the view, in units of the largest window


class WindowPicker(Player):
    """A slider for the window, what each size shows, and a button that trains at that size.

    Above: the window on the image (click on another column to move it), the mean motif of each kind
    with some examples, and the curves of the report. Below: the angle and the first two latents of
    the model that was trained last.

    Parameters
    ----------
    image : (H, W) array or Signal2D
    positions : (N, 2) array or Columns
    sizes_px : sequence of int, optional
        Compared in the report; the slider runs from the smallest to the largest in steps of 2 px.
    kinds : (N,) of str, optional
        What is known of each column, such as its sublattice; a row of motifs for each kind.

    Attributes
    ----------
    report : WindowReport
    window_px : int
        The size that the slider shows.
    """

    spot = shown(Int(0))

    def __init__(self, image, positions, *, sizes_px=None, kinds=None):
        values = as_image(image)
        self._image = image
        self._places = as_positions(positions)
        self.report = window_report(image, positions, sizes_px, kinds=kinds)
        sizes = self._sizes()
        largest = sizes[-1]
        self._tiles = self._cut_tiles(values, kinds, largest)
        self._find_near(values.shape, largest)
        self._lay_out()
        off_recommended = np.abs(np.array(sizes) - self.report.recommended_px)
        super().__init__(
            self._draw_size,
            sizes,
            name="window (px)",
            label="{} px",
            start=int(np.argmin(off_recommended)),
            alt="A window of {} px on the image, the motifs it holds, and the curves of the report",
            caption="The window on the image, what it holds, and what the report expects of each.",
        )
        near_xy = self._places[self._near][:, ::-1]
        self.points = in_picture(self._figure, near_xy).tolist()
        self.clicks = "spot"
        self.action = "train at this size"
        nm = pixel_size_nm(image)
        if nm:
            self.labels = [f"{size} px = {size * nm:.2f} nm" for size in sizes]

    @property
    def window_px(self) -> int:
        return self._values[self.index]

    def train(self):
        """Train a model at the present size, show its maps, and return model and encoding."""
        stack, kept = cut_subimages(self._image, self._places, self.window_px)
        self.status = f"training at {self.window_px} px …"
        model = RVAE(self.window_px).fit(stack, progress=False, watch=self._tell)
        encoding = model.encode(stack)
        maps = self._draw_maps(self._places[kept], encoding)
        self.below_alt = f"Maps of the angle and of two latents, trained at {self.window_px} px"
        self.below = as_webp(maps)
        passes = len(model.history)
        self.status = f"trained at {self.window_px} px, {passes} passes"
        return model, encoding

    # ------------------------------------------------------------- what it is made of

    def _sizes(self) -> list[int]:
        """Sizes from the smallest to the largest at which the report could keep columns."""
        table = self.report.table
        compared = table["window_px"][table["kept"] > 0]
        smallest = compared.min()
        downwards = np.arange(compared.max(), smallest - 1, -2)
        return downwards[::-1].tolist()

    def _find_near(self, shape: tuple[int, int], largest: int) -> None:
        """Start at the column nearest to the middle; those in its view can be clicked on."""
        middle = (np.array(shape) - 1) / 2
        off = np.abs(self._places - middle).max(axis=1)
        nearest = np.argmin(off)
        self._near = np.flatnonzero(off < VIEW * largest)
        self._centre = self._places[nearest]

    def _draw_maps(self, positions: np.ndarray, encoding):
        """A figure with the angle and two latents of the columns that were encoded."""
        figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.4), layout="constrained")
        nm = pixel_size_nm(self._image)
        plots.plot_angle_map(positions, encoding.angle, ax=axes[0], pixel_size_nm=nm)
        for ax, value, number in zip(axes[1:], encoding.latent.T, (1, 2), strict=True):
            plots.plot_value_map(
                positions,
                value,
                label=f"latent {number}",
                ax=ax,
                pixel_size_nm=nm,
            )
        return figure

    def _cut_tiles(self, values, kinds, largest: int) -> np.ndarray:
        """Mean and examples of each kind at the largest size, (kinds, 1 + EXAMPLES, w, w)."""
        kept = inside_image(values.shape, self._places, largest)
        kinds = np.full(len(self._places), "all") if kinds is None else np.asarray(kinds)
        self._names = np.unique(kinds[kept]).tolist()
        rows = []
        for name in self._names:
            of_kind = kept[kinds[kept] == name]
            count = min(len(of_kind), AVERAGED)
            evenly = np.linspace(0, len(of_kind) - 1, count)
            some = of_kind[evenly.astype(int)]
            stack, _ = cut_subimages(values, self._places[some], largest)
            mean = stack.mean(axis=0)
            # Where there are fewer than EXAMPLES, they come again.
            examples = np.resize(stack, (EXAMPLES, *mean.shape))
            rows.append([mean, *examples])
        return np.array(rows)

    def _sheet(self, size: int) -> np.ndarray:
        """All tiles in one image, nothing outside the disk of this size."""
        kinds, count, side, _ = self._tiles.shape
        margin = (side - size) // 2
        mask = np.pad(disk_mask(size), margin)
        tiles = np.where(mask, self._tiles, np.nan)
        in_rows = tiles.transpose(0, 2, 1, 3)
        return in_rows.reshape(kinds * side, count * side)

    def _lay_out(self) -> None:
        """Draw once what stays, and keep apart what moves with the size and the column."""
        figure, (view, sheet, curves) = plt.subplots(
            nrows=1,
            ncols=3,
            figsize=(9.6, 4.0),
            layout="constrained",
            width_ratios=(1, 1.15, 1.15),
        )
        plt.close(figure)  # no second picture under the cell
        size = self._tiles.shape[2]  # the largest
        plots.show_window(self._image, self._centre, size, reach_px=VIEW * size, ax=view)
        drawing.picture(sheet, self._sheet(size))
        row = np.arange(len(self._names))
        sheet.set(title="mean, and examples", yticks=size * (row + 0.5))
        sheet.set_yticklabels(self._names)
        plots.plot_window_report(self.report, ax=curves)
        _legend_below(figure, curves)
        mark = curves.axvline(size, color="black", lw=1.5)
        self._moving = (*view.patches[:2], view.lines[-1], sheet.images[0], mark)
        for artist in self._moving:
            artist.set_animated(True)
        self._figure = figure
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def _draw_size(self, size: int) -> np.ndarray:
        row, col = self._centre
        box, disk, cross, motifs, mark = self._moving
        sheet = self._sheet(size)
        box.set_bounds(col - size / 2, row - size / 2, size, size)
        disk.set(center=(col, row), radius=size / 2)
        cross.set_data([col], [row])
        motifs.set_data(np.ma.masked_invalid(sheet))
        mark.set_xdata([size, size])
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            artist.axes.draw_artist(artist)
        rgba = np.array(self._canvas.buffer_rgba())
        return rgba[..., :3]

    # ---------------------------------------------------------- what the browser asks

    @observe("spot")
    def _move(self, change) -> None:
        self._centre = self._places[self._near[change.new]]
        self._drawn.clear()
        self.picture = self.frame(self.index)

    @observe("asked")
    def _train(self, _) -> None:
        try:
            self.train()
        except ValueError as error:  # said beside the button; nobody would see it in a callback
            self.status = str(error)

    def _tell(self, row: dict) -> None:
        self.status = f"pass {row['epoch']}, loss {row['loss']:.1f}"


def _legend_below(figure, ax) -> None:
    """Move the legend of an axes out to the lower edge of the figure."""
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    figure.legend(legend.legend_handles, names, loc="outside lower center", ncols=5)
    legend.remove()
