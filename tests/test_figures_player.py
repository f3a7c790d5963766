"""A player shows each of its pictures, by mouse and keyboard, with Python behind it and without."""

from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from test_site import browser  # noqa: F401

from helpers.figures.player import Player

GREYS = [0.1, 0.4, 0.7, 1.0]


def draw_grey(grey):
    figure, ax = plt.subplots(figsize=(2, 1))
    ax.imshow([[grey, grey]], cmap="gray", vmin=0, vmax=1, aspect="auto", extent=(0, 4, 0, 1))
    ax.set_axis_off()
    return figure


@pytest.fixture
def player():
    places = np.column_stack([np.arange(4) + 0.5, np.full(4, 0.5)])
    return Player(draw_grey, GREYS, name="grey", alt="a grey of {}", start=1, points=places)


def middle_of(picture: bytes) -> float:
    pixels = np.asarray(Image.open(BytesIO(picture)).convert("L")) / 255
    return float(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2])


def test_python_draws_the_picture_that_is_asked_for(player):
    for index in (1, 3, 0, 2):
        player.index = index
        assert middle_of(player.picture) == pytest.approx(GREYS[index], abs=0.02)


def test_a_picture_is_drawn_once():
    drawn = []

    def draw(grey):
        drawn.append(grey)
        return draw_grey(grey)

    player = Player(draw, GREYS, name="grey", alt="{}")
    assert drawn == [0.1]
    for index in (1, 0, 1):
        player.index = index
    assert drawn == [0.1, 0.4] and not plt.get_fignums()
    player.html()
    assert drawn == GREYS


def test_points_lie_where_they_are_seen(player):
    points = np.array(player.points)
    assert (np.diff(points[:, 0]) > 0).all() and 0 < points.min() and points.max() < 1
    np.testing.assert_allclose(points[[0, 3], 0].sum(), 1, atol=0.1)


def test_both_faces_are_in_one_bundle(player):
    faces, _ = player._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in faces
    assert faces["text/html"].count("data:image/webp") == len(GREYS) + 1
    assert "http" not in faces["text/html"].replace("http://www.w3.org", "")


def test_text_cannot_break_out_of_the_page():
    player = Player(draw_grey, [0.5], name="</script><b>", alt='"><i>{}')
    assert "</script><b>" not in player.html() and "><i>" not in player.html().split("<script")[0]


def test_the_caption_stands_below_on_any_page(browser, tmp_path):  # noqa: F811
    player = Player(draw_grey, GREYS, name="grey", alt="{}", caption="Grey < white")
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><body>{player.html()}")
    for scripts in (True, False):
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto(path.as_uri())
        caption = page.get_by_text("Grey < white")
        picture = page.locator(".player img")
        assert caption.bounding_box()["y"] > picture.bounding_box()["y"]
        context.close()


def test_refuses_a_start_that_is_not_there():
    with pytest.raises(ValueError, match="start=4, but there are 4 values"):
        Player(draw_grey, GREYS, name="grey", alt="{}", start=4)
    with pytest.raises(ValueError, match="start=0, but there are 0 values"):
        Player(draw_grey, [], name="grey", alt="{}")


SEEN = """() => {
  const canvas = document.createElement('canvas');
  const image = document.querySelector('.player img');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [context.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[0], image.alt];
}"""


def test_a_page_alone_plays_by_keyboard_mouse_and_button(player, browser, tmp_path):  # noqa: F811
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    path = tmp_path / "page.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><body>{player.html()}')
    page.goto(path.as_uri())

    def assert_shown(index):
        page.wait_for_function(f"document.querySelector('.player img').dataset.index == {index}")
        page.wait_for_function("document.querySelector('.player img').complete")
        grey, alt = page.evaluate(SEEN)
        assert grey / 255 == pytest.approx(GREYS[index], abs=0.02) and str(GREYS[index]) in alt

    assert_shown(1)
    slider = page.get_by_role("slider", name="grey")
    slider.press("ArrowRight")
    assert_shown(2)
    slider.press("Home")
    assert_shown(0)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    assert_shown(3)
    picture = page.locator(".player img")
    shape = picture.bounding_box()
    x, y = player.points[1]
    picture.click(position={"x": shape["width"] * x, "y": shape["height"] * y})
    assert_shown(1)
    page.get_by_role("button", name="play").click()
    assert_shown(2)
    page.close()
    assert not errors


def test_without_scripts_the_first_picture_is_there(player, browser, tmp_path):  # noqa: F811
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><body>{player.html()}")
    page.goto(path.as_uri())
    assert page.locator(".player img").get_attribute("alt") == "a grey of 0.4"
    assert page.locator(".player img").bounding_box()["width"] > 100
    context.close()
