"""Figures with a slider that stay alive on a page without a kernel.

One object, two faces: where a kernel runs, a widget that asks Python for each picture; on a built
page, a player that holds all its pictures and needs nothing but the page itself.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from traitlets import Bool, Bytes, Int, List, Unicode, observe

SCRIPT = Path(__file__).with_name("player.js")
QUALITY = 80  # of the WebP pictures
# What a page without a kernel knows of the widget.
ON_PAGE = ("index", "name", "labels", "alts", "points", "clicks", "hover", "caption")


def shown(default):
    """A property of the widget that Python and the browser share."""
    return default.tag(sync=True)


class Player(anywidget.AnyWidget):
    """A figure with a slider, and if wished with points to click on.

    Parameters
    ----------
    draw : callable
        `draw(value)` returns a new matplotlib figure, or its axes, or pixels (H, W, 3) uint8.
    values : sequence
        What the slider runs through, one picture each.
    name : str
        What the slider sets, with its unit.
    alt, label : str
        What is seen in the picture of a value, and the value as it stands beside the slider;
        `str.format` patterns.
    start : int
        Index of the value shown first.
    points : (N, 2) array, optional
        x, y of each value in the first axes of the figure: a click chooses the nearest.
    hover : bool
        Let the pointer choose without a click.
    caption : str
        What the figure means; stands below it.

    Examples
    --------
    >>> Player(draw, range(8), name="frame", alt="frame {}")            # doctest: +SKIP
    """

    _esm = SCRIPT
    index = shown(Int(0))
    name = shown(Unicode())
    labels = shown(List())
    alts = shown(List())
    points = shown(List())
    clicks = shown(Unicode("index"))  # name of the property that a click sets
    hover = shown(Bool(False))
    caption = shown(Unicode())
    picture = shown(Bytes())  # WebP
    # There for subclasses: a button, what is said beside it, and a second picture.
    action = shown(Unicode())
    asked = shown(Int(0))
    status = shown(Unicode())
    below = shown(Bytes())  # WebP
    below_alt = shown(Unicode())

    def __init__(
        self,
        draw: Callable,
        values: Sequence,
        *,
        name: str,
        alt: str,
        label: str = "{}",
        start: int = 0,
        points=None,
        hover: bool = False,
        caption: str = "",
    ):
        self._draw = draw
        self._values = list(values)
        if not 0 <= start < len(self._values):
            raise ValueError(f"start={start}, but there are {len(self._values)} values, from 0 on")
        drawn = draw(self._values[start])
        self._drawn = {start: as_webp(drawn)}
        super().__init__(
            index=start,
            picture=self._drawn[start],
            labels=[label.format(value) for value in self._values],
            alts=[alt.format(value) for value in self._values],
            points=[] if points is None else in_picture(drawn.figure, points).tolist(),
            name=name,
            hover=hover,
            caption=caption,
        )

    def frame(self, index: int) -> bytes:
        """The picture of one value, as WebP; drawn when it is first asked for."""
        if index not in self._drawn:
            drawn = self._draw(self._values[index])
            self._drawn[index] = as_webp(drawn)
        return self._drawn[index]

    @observe("index")
    def _show(self, change) -> None:
        self.picture = self.frame(change.new)

    def html(self) -> str:
        """The player as HTML that needs neither a kernel nor anything from outside."""
        frames = [as_url(self.frame(index)) for index in range(len(self._values))]
        state = {name: getattr(self, name) for name in ON_PAGE}
        state["frames"] = frames
        state = json.dumps(state)
        state = state.replace("</", "<\\/")  # nothing in it can end the script
        module = SCRIPT.read_text(encoding="utf-8")
        code = module.replace("export default { render };", "")
        alt = escape(self.alts[self.index])
        first = frames[self.index]
        caption = escape(self.caption)
        return (
            f'<div class="player" id="{self.model_id}"><img alt="{alt}" src="{first}">'
            f"<p>{caption}</p></div>"
            f'<script type="module">\n{code}\nconst state = {state};\n'
            "const model = { get: (name) => state[name], on() {}, save_changes() {} };\n"
            "model.set = (name, value) => (state[name] = value);\n"
            f'render({{ model, el: document.getElementById("{self.model_id}") }});\n</script>'
        )

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        data, about = super()._repr_mimebundle_(**options)
        data_and_page = data | {"text/html": self.html()}
        return data_and_page, about


def as_webp(drawn) -> bytes:
    """A drawn figure, which is closed, or pixels (H, W, 3) uint8 as a WebP picture."""
    buffer = BytesIO()
    options = {"quality": QUALITY, "method": 1}
    if isinstance(drawn, np.ndarray):
        image = Image.fromarray(drawn)
        image.save(buffer, "webp", **options)
    else:
        drawn.figure.savefig(buffer, format="webp", pil_kwargs=options)
        plt.close(drawn.figure)
    return buffer.getvalue()


def as_url(webp: bytes) -> str:
    """A WebP picture as an address that holds all of it."""
    text = b64encode(webp).decode()
    return f"data:image/webp;base64,{text}"


def in_picture(figure, points) -> np.ndarray:
    """Data points (N, 2) of the first axes as shares of the picture's width and height."""
    to_picture = figure.axes[0].transData
    share = to_picture.transform(points) / figure.bbox.size
    x = share[:, 0]
    y = 1 - share[:, 1]  # rows go down
    return np.column_stack([x, y])
