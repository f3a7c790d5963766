"""A window is centred on its column to a fraction of a pixel, and turns with the image."""

import numpy as np
import pytest
from scipy import ndimage

from helpers import cut_subimages


@pytest.fixture
def image():
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(90, 110))
    return ndimage.gaussian_filter(noise, 2).astype(np.float32)


@pytest.mark.parametrize("window_px", [15, 16])
def test_ramp_is_reproduced_exactly(window_px):
    rows, cols = np.mgrid[:60, :70].astype(np.float32)
    positions = np.array([[30.3, 35.85], [22.5, 40.0]])
    ramp = 2 * rows - 0.5 * cols
    stack, _ = cut_subimages(ramp, positions, window_px)
    offset = np.arange(window_px) - (window_px - 1) / 2
    for window, (row, col) in zip(stack, positions, strict=True):
        expected = 2 * (row + offset[:, None]) - 0.5 * (col + offset)
        # A ramp mirrored at the border has a kink there; its trace fades by 3.7 a pixel.
        np.testing.assert_allclose(window, expected, atol=1e-4)


@pytest.mark.parametrize(("window_px", "centre"), [(7, (40.0, 50.0)), (8, (40.5, 50.5))])
def test_whole_pixels_are_copied(image, window_px, centre):
    stack, kept = cut_subimages(image, [centre], window_px)
    reach = (window_px - 1) / 2
    row, col = centre
    first_row = round(row - reach)
    first_col = round(col - reach)
    rows = slice(first_row, first_row + window_px)
    cols = slice(first_col, first_col + window_px)
    np.testing.assert_allclose(stack[0], image[rows, cols], atol=1e-6)
    assert kept.tolist() == [0]
    assert stack.dtype == np.float32


def test_agrees_with_scipy_between_pixels(image):
    positions = np.random.default_rng(0).uniform(10, 80, (20, 2))
    stack, kept = cut_subimages(image, positions, 13)
    offset = np.arange(13) - 6
    row, col = positions[kept].T[..., None] + offset
    at = np.broadcast_arrays(row[:, :, None], col[:, None, :])
    expected = ndimage.map_coordinates(
        image,
        at,
        order=3,
        mode="mirror",
        output=np.float64,
    )
    np.testing.assert_allclose(stack, expected, atol=1e-6)


@pytest.mark.parametrize("window_px", [20, 21])
def test_turning_the_image_turns_the_windows(image, window_px):
    positions = np.random.default_rng(1).uniform(15, 70, (30, 2))
    last_col = image.shape[1] - 1
    row, col = positions.T
    turned = np.column_stack([last_col - col, row])
    turned_image = np.rot90(image)
    stack, kept = cut_subimages(image, positions, window_px)
    stack_turned, kept_turned = cut_subimages(turned_image, turned, window_px)
    assert kept.tolist() == kept_turned.tolist()
    expected = np.rot90(stack, axes=(1, 2))
    np.testing.assert_allclose(stack_turned, expected, atol=1e-6)


@pytest.mark.parametrize("window_px", [20, 21])
def test_a_turned_grid_shows_the_turned_surroundings(image, window_px):
    """By right angles to the last digit; by others as the gradient of a ramp turns."""
    positions = np.random.default_rng(1).uniform(30, 60, (30, 2))
    stack, _ = cut_subimages(image, positions, window_px)
    for quarters in (1, 2, -1):
        turned, kept = cut_subimages(image, positions, window_px, turn=quarters * np.pi / 2)
        assert len(kept) == 30
        expected = np.rot90(stack, quarters, axes=(1, 2))
        np.testing.assert_allclose(turned, expected, atol=1e-5)
    angle = np.linspace(-3, 3, 30)
    cols = np.arange(110, dtype=np.float32)
    ramp = np.tile(cols, (90, 1))  # its gradient points along 0
    turned, _ = cut_subimages(ramp, positions, window_px, turn=angle)
    down, right = np.gradient(turned, axis=(1, 2))
    down = down[:, 5:-5, 5:-5].mean((1, 2))
    right = right[:, 5:-5, 5:-5].mean((1, 2))
    found = np.arctan2(-down, right)
    np.testing.assert_allclose(found, angle, atol=1e-4)


def test_a_turned_window_needs_more_room(image):
    positions = np.array([[6.0, 50.0], [8.5, 50.0]])
    _, kept = cut_subimages(image, positions, 13)
    assert kept.tolist() == [0, 1]
    _, kept = cut_subimages(image, positions, 13, turn=np.pi / 4)
    assert kept.tolist() == [1]
    with pytest.raises(ValueError, match="turn has shape"):
        cut_subimages(image, positions, 13, turn=[0.1, 0.2, 0.3])


def test_kept_windows_lie_inside_to_the_last_sample(image):
    last = np.array(image.shape) - 1
    positions = [
        [4.0, 4.0],
        [3.99, 50],
        last - 4.0,
        last - 3.99,
        [np.nan, 50],
        [50, 50],
        [-9, 500],
    ]
    stack, kept = cut_subimages(image, positions, 9)
    assert kept.tolist() == [0, 2, 5]
    np.testing.assert_allclose(stack[0], image[:9, :9], atol=1e-6)
    np.testing.assert_allclose(stack[1], image[-9:, -9:], atol=1e-6)


def test_many_windows_come_in_parts_without_a_seam(image, monkeypatch):
    rng = np.random.default_rng(2)
    positions = rng.uniform(10, 75, (50, 2))
    whole, _ = cut_subimages(image, positions, 12)
    monkeypatch.setattr("helpers.subimages.cut.CHUNK_SAMPLES", 1000)
    parts, _ = cut_subimages(image, positions, 12)
    np.testing.assert_array_equal(whole, parts)


def test_a_large_constant_is_kept_raw(image):
    positions = [[40.3, 50.6]]
    raised, _ = cut_subimages(image + 30000, positions, 11)
    plain, _ = cut_subimages(image, positions, 11)
    np.testing.assert_allclose(raised - 30000, plain, atol=0.01)


@pytest.mark.parametrize("window_px", [0, -3, 1, 7.5, np.nan, "40", None, True])
def test_refuses_a_window_that_is_none(image, window_px):
    with pytest.raises(ValueError, match="window_px="):
        cut_subimages(image, [[40, 50]], window_px)


def test_a_window_too_large_says_what_would_fit(image):
    positions = [[40, 50], [45, 60], [20, 50]]
    with pytest.raises(ValueError, match="window_px=141 leaves none of 3 col") as error:
        cut_subimages(image, positions, 141)
    message = str(error.value)
    _, advice = message.split("use ")
    fits = int(advice.split()[0])
    _, kept = cut_subimages(image, positions, fits)
    assert len(kept) >= 2


@pytest.mark.parametrize("positions", [[], [[np.nan, 1.0]], [1.0, 2.0], [[1, 2, 3]]])
def test_refuses_positions_that_are_none(image, positions):
    with pytest.raises(ValueError, match="position"):
        cut_subimages(image, positions, 9)


def test_refuses_a_stack_of_frames(image):
    frames = np.stack([image, image])
    with pytest.raises(ValueError, match="align_stack"):
        cut_subimages(frames, [[40, 50]], 9)
