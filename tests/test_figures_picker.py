"""The window picker shows what each size holds, moves with a click, and trains when asked."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from benchmarks.gaussians import render_columns
from PIL import Image

from helpers.figures.picker import WindowPicker
from helpers.subimages.cut import inside_image


@pytest.fixture(scope="module")
def square():
    """A square lattice with a fainter one in its centres, in noise; its places and kinds."""
    heavy = 10.0 + 12 * np.stack(np.mgrid[:14, :14], axis=-1).reshape(-1, 2)
    light = heavy + 6
    image = render_columns(heavy, amplitude=10, shape=(180, 180))
    image = image + render_columns(light, amplitude=6, shape=(180, 180))
    image += np.random.default_rng(0).normal(0, 0.3, image.shape)
    places = np.concatenate([heavy, light])
    kinds = np.repeat(["heavy", "light"], len(heavy))
    inside = inside_image(image.shape, places, 8)
    return image, places[inside], kinds[inside]


@pytest.fixture
def picker(square):
    image, places, kinds = square
    return WindowPicker(image, places, sizes_px=[12, 20, 30], kinds=kinds)


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(picture)).convert("RGB")).astype(int)


def test_the_slider_starts_at_the_recommended_size_and_shows_all_between(picker):
    assert picker.window_px == picker.report.recommended_px
    assert picker._values == list(range(12, 31, 2)) and len(picker.labels) == 10
    assert not plt.get_fignums()


def test_another_size_draws_another_picture(picker):
    picker.index = 0
    small = pixels(picker.picture)
    picker.index = 9
    assert picker.window_px == 30
    assert (np.abs(pixels(picker.picture) - small).max(axis=2) > 50).sum() > 500


def test_tiles_hold_nothing_outside_the_disk(picker):
    small, large = (np.isfinite(picker._sheet(size)).mean() for size in (12, 30))
    assert large == pytest.approx(np.pi / 4, abs=0.03)
    assert small / large == pytest.approx((12 / 30) ** 2, rel=0.1)


def test_a_click_moves_the_window(picker):
    before = pixels(picker.picture)
    assert picker.clicks == "spot"
    x, y = np.array(picker.points).T
    distance = np.hypot(x - 0.1, y - 0.3)
    spot = int(np.argmin(distance))
    picker.spot = spot
    orange = np.abs(pixels(picker.picture) - [213, 94, 0]).sum(axis=2) < 60
    orange[:, before.shape[1] // 3 :] = False  # the curves
    rows, cols = np.nonzero(orange)
    height, width, _ = before.shape
    assert cols.mean() / width == pytest.approx(x[spot], abs=0.02)
    assert rows.mean() / height == pytest.approx(y[spot], abs=0.02)


def test_training_shows_maps_of_that_size(picker):
    picker.index = picker._values.index(20)
    said = []
    picker.observe(lambda change: said.append(change.new), "status")
    picker.asked = 1
    assert picker.below and "20 px" in picker.below_alt
    assert "trained at 20 px" in picker.status
    assert any(text.startswith("pass 1,") for text in said)


def test_what_hinders_training_is_said_beside_the_button(square):
    image, places, _ = square
    picker = WindowPicker(image, places[60:72], sizes_px=[12, 20])
    picker.asked = 1
    assert "at least 16 are needed" in picker.status and not picker.below


def test_the_page_without_a_kernel_has_every_size(picker):
    html = picker.html()
    assert html.count("data:image/webp") == len(picker.labels) + 1
    assert "train at" not in html.split("const state")[1].split("</script>")[0]
