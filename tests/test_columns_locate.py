"""Columns are found where they were put, within the error that is stated and near the bound."""

import numpy as np
import pytest
from benchmarks.gaussians import (
    AMPLITUDE,
    BACKGROUND,
    SIGMA_PX,
    column_probability,
    match,
    render_columns,
    square_lattice,
)

from helpers import locate_columns
from helpers.simulate.limit import cramer_rao_px

BOUND_PX = cramer_rao_px(AMPLITUDE, SIGMA_PX, BACKGROUND)


def locate(truth, *, seed=None, amplitude=AMPLITUDE, gain=1.0, offset=0.0, radius=SIGMA_PX):
    """Locate the columns of a rendered image; with a seed, in Poisson noise."""
    image = render_columns(truth, amplitude=amplitude) + BACKGROUND
    probability = column_probability(truth, image.shape, radius=radius)
    if seed is not None:
        image = np.random.default_rng(seed).poisson(image)
    return locate_columns(gain * image + offset, probability)


def dumbbells(distance_px, *, seed=0):
    """Pairs of columns (2 N, 2) side by side along the columns of the image, far apart."""
    left = square_lattice(16, 14 * SIGMA_PX, seed=seed)
    return np.concatenate([left, left + [0, distance_px]])


@pytest.fixture(scope="module")
def lattice():
    return square_lattice(24, 12.0, seed=3)


@pytest.fixture(scope="module")
def found(lattice):
    return locate(lattice, seed=5)


def test_without_noise_every_parameter_comes_back(lattice):
    columns = locate(lattice)
    assert len(columns) == len(lattice)
    order = match(columns.positions, lattice)
    np.testing.assert_allclose(columns.positions[order], lattice, atol=0.01)
    np.testing.assert_allclose(columns.sigma_px, SIGMA_PX, rtol=0.01)
    np.testing.assert_allclose(columns.amplitude, AMPLITUDE, rtol=0.01)
    np.testing.assert_allclose(columns.background, BACKGROUND, atol=0.2)
    assert columns.probability.min() > 0.9


def test_a_shifted_column_shifts_by_that(lattice):
    moved = lattice.copy()
    middle = len(lattice) // 2
    moved[middle] += [0.3, -0.7]
    before, after = locate(lattice).positions, locate(moved).positions
    shift = after[match(after, moved)] - before[match(before, lattice)]
    np.testing.assert_allclose(shift[middle], [0.3, -0.7], atol=0.01)
    np.testing.assert_allclose(np.delete(shift, middle, axis=0), 0, atol=0.01)


def test_rms_is_near_the_cramer_rao_bound(lattice, found):
    error = found.positions[match(found.positions, lattice)] - lattice
    assert np.sqrt(np.mean(error**2)) < 1.15 * BOUND_PX
    assert np.abs(error.mean(axis=0)).max() < 0.02


def test_standard_errors_are_honest(lattice, found):
    order = match(found.positions, lattice)
    pulls = (found.positions[order] - lattice) / found.position_sd_px[order, None]
    assert 0.9 < pulls.std() < 1.15


@pytest.mark.parametrize(("gain", "offset"), [(37.0, 0.0), (1e-3, 0.0), (10.0, 30000.0)])
def test_gain_and_offset_of_the_detector_need_not_be_known(lattice, found, gain, offset):
    scaled = locate(lattice, seed=5, gain=gain, offset=offset)
    np.testing.assert_allclose(scaled.positions, found.positions, atol=0.02)
    np.testing.assert_allclose(scaled.position_sd_px, found.position_sd_px, rtol=0.05)
    np.testing.assert_allclose(scaled.amplitude, gain * found.amplitude, rtol=0.05)


def test_noise_twice_as_strong_doubles_the_error_stated():
    truth = square_lattice(20, 12.0)
    image = render_columns(truth) + BACKGROUND
    probability = column_probability(truth, image.shape)
    noise = np.random.default_rng(1).normal(size=image.shape)
    once, twice = (locate_columns(image + sd * noise, probability) for sd in (1.0, 2.0))
    ratio = np.median(twice.position_sd_px) / np.median(once.position_sd_px)
    assert ratio == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("distance_in_sigma", [2.5, 3.5])
def test_overlapping_neighbours_do_not_pull(distance_in_sigma):
    truth = dumbbells(distance_in_sigma * SIGMA_PX)
    amplitude = np.repeat([36.0, 24.0], len(truth) // 2)
    columns = locate(truth, amplitude=amplitude, radius=2.0)
    assert len(columns) == len(truth)
    order = match(columns.positions, truth)
    np.testing.assert_allclose(columns.positions[order], truth, atol=0.05)
    np.testing.assert_allclose(columns.amplitude[order], amplitude, rtol=0.03)


def test_dumbbells_in_noise_are_unbiased_and_their_errors_honest():
    truth = dumbbells(2.5 * SIGMA_PX, seed=1)
    columns = locate(truth, seed=2, radius=2.0)
    order = match(columns.positions, truth)
    error = columns.positions[order] - truth
    left, right = np.split(error[:, 1], 2)
    standard = error[:, 1].std() / np.sqrt(len(left))
    assert abs(left.mean()) < 4 * standard and abs(right.mean()) < 4 * standard
    assert 0.8 < (error / columns.position_sd_px[order, None]).std() < 1.25


def test_columns_at_the_border_are_located_with_a_larger_error():
    truth = np.stack(np.mgrid[:8, :8], axis=-1).reshape(-1, 2) * 12.0 + 0.4
    image = render_columns(truth, shape=(90, 90)) + BACKGROUND
    image = np.random.default_rng(0).poisson(image)
    columns = locate_columns(image, column_probability(truth, image.shape))
    order = match(columns.positions, truth)
    assert len(columns) == 64
    assert np.abs(columns.positions[order] - truth).max() < 1
    corner, inner = columns.position_sd_px[order[0]], columns.position_sd_px[order[27]]
    assert corner > 1.3 * inner


def test_columns_beyond_the_border_are_not_counted():
    truth = np.stack(np.mgrid[:9, :9], axis=-1).reshape(-1, 2) * 12.0 - 2.5
    inside = truth[(truth > 0).all(axis=1)]
    image = render_columns(truth, shape=(100, 100)) + BACKGROUND
    image = np.random.default_rng(0).poisson(image)
    columns = locate_columns(image, column_probability(truth, image.shape, radius=4))
    assert len(columns) == len(inside)
    assert np.abs(columns.positions[match(columns.positions, inside)] - inside).max() < 0.5


@pytest.mark.parametrize("missing", [30, 77, 100])
def test_a_peak_without_a_column_keeps_its_place_and_says_so(missing):
    truth = square_lattice(12, 12.0)
    others = np.delete(truth, missing, axis=0)
    image = render_columns(others) + BACKGROUND
    image = np.random.default_rng(missing).normal(image, 0.5)
    columns = locate_columns(image, column_probability(truth, image.shape))
    empty = match(columns.positions, truth)[missing]
    assert np.linalg.norm(columns.positions[empty] - truth[missing]) < 1
    assert columns.position_sd_px[empty] == pytest.approx(12 / 4, rel=0.1)
    assert np.flatnonzero(np.isnan(columns.amplitude)).tolist() == [empty]
    assert np.abs(columns.positions[match(columns.positions, others)] - others).max() < 0.1


def test_a_single_column():
    truth = np.array([[30.3, 25.8]])
    image = render_columns(truth, shape=(60, 50)) + BACKGROUND
    columns = locate_columns(image, column_probability(truth, image.shape))
    np.testing.assert_allclose(columns.positions, truth, atol=0.01)


def test_a_few_missing_pixels_are_filled(lattice, found):
    image = render_columns(lattice) + BACKGROUND
    image[50, 60] = np.nan
    with pytest.warns(UserWarning, match="1 NaN"):
        columns = locate_columns(image, column_probability(lattice, image.shape))
    assert len(columns) == len(lattice)


def test_no_lattice_is_a_warning_and_an_empty_table():
    image = np.random.default_rng(0).poisson(5, (64, 64))
    with pytest.warns(UserWarning, match="no column found"):
        columns = locate_columns(image, np.zeros((64, 64)))
    assert len(columns) == 0 and columns.positions.shape == (0, 2)
    assert columns.amplitude.shape == columns.position_sd_px.shape == (0,)
    assert repr(columns) == "<Columns: none>"


@pytest.mark.parametrize(
    "probability",
    [
        np.zeros((9, 9)),
        np.full((64, 64), np.nan),
        np.ma.masked_less(np.zeros((64, 64)), 1),
        np.full((64, 64), 2.0),
        np.full((64, 64), -1.0),
    ],
)
def test_refuses_a_probability_that_is_none(probability):
    image = np.random.default_rng(0).poisson(5, (64, 64))
    with pytest.raises(ValueError, match="probability"):
        locate_columns(image, probability)


def test_peaks_without_columns_are_a_warning():
    image = np.random.default_rng(0).poisson(5, (64, 64))
    places = 8.0 + 12 * np.stack(np.mgrid[:5, :5], axis=-1).reshape(-1, 2)
    with pytest.warns(UserWarning, match="no bright spot"):
        columns = locate_columns(image, column_probability(places, image.shape))
    assert np.isnan(columns.amplitude).sum() > len(columns) / 2
    assert "not fitted" in repr(columns)


def test_refuses_stacks_and_constants():
    with pytest.raises(ValueError, match="align_stack"):
        locate_columns(np.ones((3, 64, 64)))
    with pytest.raises(ValueError, match="constant"):
        locate_columns(np.ones((64, 64)), np.zeros((64, 64)))


def test_some_columns_by_mask(found):
    few = found[found.amplitude > np.median(found.amplitude)]
    assert len(few) == len(found) // 2
    assert f"{len(few)}" in repr(few) and "px" in repr(few)
