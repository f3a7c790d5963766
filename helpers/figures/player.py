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
    index, asked = shown(Int(0)), shown(Int(0))
    picture, below = shown(Bytes()), shown(Bytes())  # WebP; the second is there for subclasses
    labels, alts, points = shown(List()), shown(List()), shown(List())
    name, caption, clicks = shown(Unicode()), shown(Unicode()), shown(Unicode("index"))
    action, status, below_alt = shown(Unicode()), shown(Unicode()), shown(Unicode())
    hover = shown(Bool(False))

    def __init__(
        self, draw: Callable, values: Sequence, *, name: str, alt: str, label: str = "{}",
        start: int = 0, points=None, hover: bool = False, caption: str = "",
    ):  # fmt: skip
        self._draw, self._values = draw, list(values)
        if not 0 <= start < len(self._values):
            raise ValueError(f"start={start}, but there are {len(self._values)} values, from 0 on")
        drawn = draw(self._values[start])
        self._drawn = {start: as_webp(drawn)}
        labels, alts = ([text.format(value) for value in self._values] for text in (label, alt))
        points = [] if points is None else in_picture(drawn.figure, points).tolist()
        super().__init__(
            index=start, picture=self._drawn[start], labels=labels, alts=alts, points=points,
            name=name, hover=hover, caption=caption,
        )  # fmt: skip

    def frame(self, index: int) -> bytes:
        """The picture of one value, as WebP; drawn when it is first asked for."""
        if index not in self._drawn:
            self._drawn[index] = as_webp(self._draw(self._values[index]))
        return self._drawn[index]

    @observe("index")
    def _show(self, change) -> None:
        self.picture = self.frame(change.new)

    def html(self) -> str:
        """The player as HTML that needs neither a kernel nor anything from outside."""
        pictures = [b64encode(self.frame(i)).decode() for i in range(len(self._values))]
        frames = [f"data:image/webp;base64,{picture}" for picture in pictures]
        names = ("index", "name", "labels", "alts", "points", "clicks", "hover", "caption")
        state = {name: getattr(self, name) for name in names}
        alt, first = escape(self.alts[self.index]), frames[self.index]
        state = json.dumps(state | {"frames": frames}).replace("</", "<\\/")
        code = SCRIPT.read_text(encoding="utf-8").replace("export default { render };", "")
        return (
            f'<div class="player" id="{self.model_id}"><img alt="{alt}" src="{first}">'
            f"<p>{escape(self.caption)}</p></div>"
            f'<script type="module">\n{code}\nconst state = {state};\n'
            "const model = { get: (name) => state[name], on() {}, save_changes() {} };\n"
            "model.set = (name, value) => (state[name] = value);\n"
            f'render({{ model, el: document.getElementById("{self.model_id}") }});\n</script>'
        )

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        data, about = super()._repr_mimebundle_(**options)
        return data | {"text/html": self.html()}, about


def as_webp(drawn) -> bytes:
    """A drawn figure, which is closed, or pixels (H, W, 3) uint8 as a WebP picture."""
    buffer, options = BytesIO(), {"quality": QUALITY, "method": 1}
    if isinstance(drawn, np.ndarray):
        Image.fromarray(drawn).save(buffer, "webp", **options)
    else:
        drawn.figure.savefig(buffer, format="webp", pil_kwargs=options)
        plt.close(drawn.figure)
    return buffer.getvalue()


def in_picture(figure, points) -> np.ndarray:
    """Data points (N, 2) of the first axes as shares of the picture's width and height."""
    at = figure.axes[0].transData.transform(points) / figure.bbox.size
    return np.column_stack([at[:, 0], 1 - at[:, 1]])
