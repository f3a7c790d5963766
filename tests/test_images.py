"""What is handed in becomes a clean image; what no detector can have recorded is left out of it."""

import re
import warnings

import numpy as np
import pytest
from benchmarks.gaussians import BACKGROUND, column_probability, render_columns, square_lattice

from helpers import (
    align_stack,
    check_quality,
    cut_subimages,
    locate_columns,
    segment,
    window_report,
)
from helpers.columns import measure_spacing, refine_columns
from helpers.images import as_image

SPACING_PX = 12.0
ROW, COL = 100, 104

# What a fault of a detector or of a file puts into an image of counts, and at which places.
WILD = {
    "1e10": (1e10, [(ROW, COL)]),
    "1e30": (1e30, [(ROW, COL)]),
    "-3e38": (-3e38, [(ROW, COL)]),
    "1e39, which single precision cannot hold": (1e39, [(ROW, COL)]),
    "a hot pixel": (65535.0, [(ROW, COL)]),
    "five": ([1e10, -3e38, 1e30, 4e5, 1e20], [(ROW, COL), (40, 41), (0, 0), (66, 120), (141, 7)]),
    "a dead line": (1e10, [(ROW, col) for col in range(144)]),
    "a cluster": (1e12, [(ROW, COL), (ROW, COL + 1), (ROW + 1, COL), (ROW + 1, COL + 1)]),
}


@pytest.fixture(scope="module")
def truth():
    return square_lattice(16, SPACING_PX, seed=3)


@pytest.fixture(scope="module")
def counts(truth):
    image = render_columns(truth, amplitude=150.0) + BACKGROUND
    return np.random.default_rng(0).poisson(image).astype(np.float64)


@pytest.fixture(scope="module")
def probability(truth, counts):
    return column_probability(truth, counts.shape)


def spoilt(image, fault: str):
    """A copy of the image with a fault, and its places (n, 2)."""
    value, places = WILD[fault]
    image = image.copy()
    rows, cols = np.transpose(places)
    image[rows, cols] = value
    return image, np.array(places)


def away_from(places, positions) -> np.ndarray:
    """Which positions (N, 2) lie farther from all places than a fit looks."""
    apart = np.linalg.norm(positions[:, None] - places, axis=2)
    return apart.min(axis=1) > 1.5 * SPACING_PX


@pytest.mark.parametrize("fault", WILD)
@pytest.mark.filterwarnings("ignore:.*far outside:UserWarning")
def test_columns_away_from_a_wild_pixel_are_as_without_it(counts, probability, fault):
    image, places = spoilt(counts, fault)
    found = locate_columns(image, probability)
    expected = locate_columns(counts, probability)
    away = away_from(places, expected.positions)
    assert len(found) == len(expected)
    assert away.sum() > 150
    np.testing.assert_allclose(found.positions[away], expected.positions[away], atol=0.01)
    np.testing.assert_allclose(found.amplitude[away], expected.amplitude[away], rtol=0.01)
    sd_px = expected.position_sd_px[away]
    np.testing.assert_allclose(found.position_sd_px[away], sd_px, rtol=0.1)
    assert not np.isnan(found.amplitude).any()


@pytest.mark.parametrize("fault", ["-3e38", "five", "a dead line"])
@pytest.mark.filterwarnings("ignore:.*far outside:UserWarning")
def test_every_step_does_without_a_wild_pixel(counts, fault):
    counts = counts[:144, :144]
    image, places = spoilt(counts, fault)
    assert measure_spacing(image) == pytest.approx(measure_spacing(counts), rel=0.01)
    probability = segment(image, progress=False)
    changed = np.abs(probability - segment(counts, progress=False))
    far = np.ones(counts.shape, bool)
    for row, col in places:
        far[max(0, row - 30) : row + 30, max(0, col - 30) : col + 30] = False
    assert changed[far].max() < 0.05
    columns = refine_columns(image, locate_columns(image, probability))
    stack, _ = cut_subimages(image, columns, 24)
    assert stack.max() < 300
    report = window_report(image, columns, [16, 24])
    expected = window_report(counts, columns, [16, 24])
    assert report.recommended_px == expected.recommended_px
    np.testing.assert_allclose(
        report.table["angle_error_deg"], expected.table["angle_error_deg"], rtol=0.2
    )
    quality = check_quality(image, columns)
    assert sum("far outside" in text for text in quality.warnings) == 1


def test_a_wild_pixel_is_counted_and_named_with_its_place(counts):
    image, _ = spoilt(counts, "1e10")
    rest = f"{counts.min():g} to {counts.max():g}"
    message = f"1 pixel is far outside all others ({rest}) and was filled from neighbours: "
    with pytest.warns(UserWarning, match=re.escape(message + "1e+10 at [100, 104]")):
        as_image(image)
    image, _ = spoilt(counts, "five")
    with pytest.warns(UserWarning, match=r"5 pixels are .*: 1e\+30 at \[0, 0\], .* and 2 more"):
        as_image(image)


def test_wild_pixels_are_filled_as_missing_ones_are(counts):
    image, places = spoilt(counts, "five")
    missing = counts.copy()
    missing[tuple(places.T)] = np.nan
    with pytest.warns(UserWarning, match="far outside"):
        filled = as_image(image)
    with pytest.warns(UserWarning, match="5 NaN"):
        np.testing.assert_array_equal(filled, as_image(missing))
    image[7, 7] = np.inf
    with pytest.warns(UserWarning) as caught:
        as_image(image)
    texts = [str(one.message) for one in caught]
    assert any(text.startswith("1 NaN or infinite pixel") for text in texts)
    assert any(text.startswith("5 pixels are far outside") for text in texts)


def test_too_many_wild_pixels_are_refused_by_name(counts):
    image = counts[:64, :64].copy()
    image[20] = 1e10  # one line of 64
    message = r"64 of 4096 pixels are .*far outside .*1e\+10 at \[20, 0\].* at most 1% can be"
    with pytest.raises(ValueError, match=message):
        as_image(image)


@pytest.mark.filterwarnings("ignore:.*far outside:UserWarning")
def test_in_a_stack_the_frame_is_named_and_the_drift_is_as_without(counts):
    frames = np.stack([counts[shift : shift + 128, :128] for shift in (0, 3, 5)])
    _, expected = align_stack(frames, progress=False)
    frames[1, 60, 61] = 1e30
    frames[:, 30, 31] = 65535  # of the detector, and so in every frame
    with pytest.warns(UserWarning) as caught:
        mean, shifts = align_stack(frames, progress=False)
    np.testing.assert_allclose(shifts - shifts[0], expected - expected[0], atol=0.05)
    assert mean.data.max() < 300
    texts = [str(one.message) for one in caught]
    assert any("1e+30 at [60, 61]" in text and "(frames [1])" in text for text in texts)
    assert any("65535 at [30, 31]" in text and "(frames [0, 2])" in text for text in texts)


def particle(rng):
    image = rng.normal(0, 1, (96, 96))
    image[40:47, 50:57] += 1e6
    return image


def lone_column(ground):
    truth = np.array([[48.3, 50.6]])
    return ground + render_columns(truth, amplitude=1e5, sigma=1.2, shape=ground.shape)


def first_and_last_count(rng):
    image = rng.poisson(0.001, (96, 96))
    image[10, 10] = 2**24 - 1
    return image


RNG = np.random.default_rng(0)
VALID = {
    "zeros and ones": RNG.integers(0, 2, (96, 96)),
    "few counts": RNG.poisson(0.001, (96, 96)),
    "few counts, as floats": RNG.poisson(0.02, (96, 96)).astype(np.float32),
    "one count": np.eye(1, 96 * 96, 77).reshape(96, 96),
    "one bright pixel on black": 1e10 * np.eye(1, 96 * 96, 77).reshape(96, 96),
    "a counter's first and last": first_and_last_count(RNG),
    "a lone column on black": lone_column(np.zeros((96, 96))),
    "a lone column on counts": lone_column(RNG.poisson(2, (96, 96))),
    "a particle on vacuum": particle(RNG),
    "a wide range": RNG.lognormal(0, 4, (96, 96)),
    "a ramp of 24 bits": np.geomspace(1, 2**24, 96 * 96).reshape(96, 96),
    "negative and positive": RNG.normal(0, 1, (96, 96)),
    "a large offset": RNG.normal(1e6, 3, (96, 96)),
    "bool": RNG.integers(0, 2, (96, 96)).astype(bool),
    "bytes": RNG.integers(0, 255, (96, 96)).astype(np.uint8),
    "half precision": RNG.normal(0, 1, (96, 96)).astype(np.float16),
    "thin bright lines": np.where(np.arange(96) % 8 == 0, 1e4, RNG.poisson(2, (96, 96))),
}


@pytest.mark.parametrize("name", VALID)
def test_valid_images_stay_as_they_are_bit_for_bit(name):
    image = VALID[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(as_image(image), image.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-13, 1e9])
def test_a_scaled_image_gives_the_same_columns(counts, probability, scale):
    expected = locate_columns(counts, probability)
    found = locate_columns(scale * counts, probability)
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-4)
    np.testing.assert_allclose(found.amplitude, scale * expected.amplitude, rtol=1e-4)
    np.testing.assert_allclose(found.position_sd_px, expected.position_sd_px, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-18, 1e15, 1e30, 1e200])
def test_values_of_another_order_are_refused_with_the_number_to_divide_by(counts, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="divide") as caught:
            segment(scale * counts)
    divisor = float(re.search(r"divide .* by (\S+),", str(caught.value))[1])
    assert 1 <= np.ptp(scale * counts / divisor) < 10
    assert as_image(scale * counts / divisor).shape == counts.shape


def test_positions_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="positions"):
        cut_subimages(VALID["bytes"], ["a", "b"], 8)
