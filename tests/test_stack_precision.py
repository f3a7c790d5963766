"""The scatter between frames is the error of one frame, also where the fit's own error is not."""

import dask.array as da
import numpy as np
import pytest
from benchmarks.gaussians import (
    AMPLITUDE,
    BACKGROUND,
    SIGMA_PX,
    column_probability,
    render_columns,
    square_lattice,
)

from helpers import locate_columns, locate_in_frames
from helpers.columns.locate import refine_columns
from helpers.simulate.limit import cramer_rao_px

FRAMES = 8
BOUND_PX = cramer_rao_px(AMPLITUDE, SIGMA_PX, BACKGROUND)


def record(truth, shifts, *, jitter_px=0.0, shape=None):
    rng = np.random.default_rng(0)
    shape = shape or tuple(np.ceil(truth.max(axis=0) + 16).astype(int))
    frames = []
    for shift in shifts:
        moved = truth + shift
        line = jitter_px * rng.normal(size=shape[0] + 20)  # columns on one line move together
        moved = moved + np.column_stack([0 * moved[:, 0], line[np.rint(moved[:, 0]).astype(int)]])
        frames.append(rng.poisson(render_columns(moved, shape=shape) + BACKGROUND))
    return np.array(frames, dtype=np.float32)


@pytest.fixture(scope="module")
def case():
    truth = square_lattice(14, 14.0, seed=1)
    shifts = np.random.default_rng(1).uniform(-2, 2, (FRAMES, 2))
    shifts -= shifts[0]
    mean = render_columns(truth) + BACKGROUND
    columns = locate_columns(mean, column_probability(truth, mean.shape))
    return truth, shifts, columns


def test_scatter_is_the_cramer_rao_bound_without_jitter(case):
    truth, shifts, columns = case
    found = locate_in_frames(record(truth, shifts), columns, shifts, progress=False)
    assert found.positions.shape == (FRAMES, len(columns), 2)
    assert found.position_sd_px.shape == (FRAMES, len(columns))
    rms = np.sqrt(np.nanmean(found.scatter_px**2))
    assert rms == pytest.approx(BOUND_PX, rel=0.1)
    assert rms == pytest.approx(np.nanmedian(found.position_sd_px), rel=0.1)


def test_jitter_shows_in_the_scatter_along_the_line_only(case):
    truth, shifts, columns = case
    frames = record(truth, shifts, jitter_px=0.3)
    found = locate_in_frames(frames, columns, shifts, progress=False)
    across, along = np.sqrt(np.nanmean(found.scatter_px**2, axis=0))
    assert across == pytest.approx(BOUND_PX, rel=0.1)
    assert along == pytest.approx(np.hypot(BOUND_PX, 0.3), rel=0.1)


@pytest.mark.parametrize("jitter_px", [0.0, 0.2, 0.4])
def test_line_jitter_is_told_from_the_noise_of_each_column(case, jitter_px):
    truth, shifts, columns = case[:3]
    frames = record(truth, shifts, jitter_px=jitter_px)
    found = locate_in_frames(frames, columns, shifts, progress=False)
    along_rows, along_columns = found.line_jitter_px
    assert along_rows < 0.05 and along_columns == pytest.approx(jitter_px, abs=0.04, rel=0.15)


def test_an_error_in_the_shifts_is_taken_off(case):
    truth, shifts, columns = case
    frames = record(truth, shifts)
    wrong = shifts + np.random.default_rng(2).normal(size=shifts.shape) * 0.2
    right = locate_in_frames(frames, columns, shifts, progress=False).positions
    again = locate_in_frames(frames, columns, wrong, progress=False).positions
    assert np.nanmax(np.abs(again - right)) < 0.05


def test_a_column_out_of_the_field_is_missing(case):
    truth, shifts, columns = case
    far = np.array([[0.0, 0.0], [25.0, 0.0]])
    frames = record(truth, far)
    found = locate_in_frames(frames, columns, far, progress=False)
    gone = (columns.positions + far[1])[:, 0] > frames.shape[1] - 0.5
    assert gone.any() and np.isnan(found.positions[1, gone]).all()
    assert np.isfinite(found.positions[:, ~gone]).mean() > 0.95
    assert np.isnan(found.scatter_px[gone]).all()


@pytest.mark.filterwarnings("error")
def test_a_damaged_frame_is_left_out_and_changes_nothing_else(case):
    truth, shifts, columns = case
    frames = record(truth, shifts, jitter_px=0.3)
    others = [0, 1, 2, 4, 5, 6, 7]
    expected = locate_in_frames(frames[others], columns, shifts[others], progress=False)
    frames[3] = 7  # constant
    unknown = shifts.copy()
    unknown[3] = np.nan  # as align_stack(..., skip_damaged=True) gives it
    found = locate_in_frames(frames, columns, unknown, progress=False)
    assert np.isnan(found.positions[3]).all() and np.isnan(found.position_sd_px[3]).all()
    np.testing.assert_array_equal(found.positions[others], expected.positions)
    np.testing.assert_allclose(found.scatter_px, expected.scatter_px)
    np.testing.assert_allclose(found.line_jitter_px, expected.line_jitter_px)


@pytest.mark.filterwarnings("error")
def test_a_frame_without_columns_has_no_positions_and_changes_nothing_else(case):
    """As one that was recorded while the beam was off."""
    truth, shifts, columns = case
    frames = record(truth, shifts)
    others = [0, 1, 2, 4, 5, 6, 7]
    expected = locate_in_frames(frames[others], columns, shifts[others], progress=False)
    frames[3] = np.linspace(3, 4, frames.shape[2])
    found = locate_in_frames(frames, columns, shifts, progress=False)
    assert np.isnan(found.positions[3]).all()
    np.testing.assert_array_equal(found.positions[others], expected.positions)


@pytest.mark.parametrize("wrap", [np.ma.asarray, lambda x: da.from_array(x, chunks=(1, -1, -1))])
@pytest.mark.filterwarnings("ignore:1 NaN or infinite pixels:UserWarning")
def test_a_masked_pixel_moves_no_column(case, wrap):
    truth, shifts, columns = case
    frames = record(truth, shifts)
    row, col = np.rint(truth[100] + shifts[2]).astype(int) + 3
    frames[2, row, col] = 1e6  # hot, on the flank of a column
    masked = np.ma.masked_equal(frames, 1e6)
    unknown = np.ma.array(shifts)
    unknown[5] = np.ma.masked  # what is masked is not known
    found = locate_in_frames(wrap(masked), columns, unknown, progress=False)
    filled = masked.filled(np.nan)
    expected = locate_in_frames(filled, columns, unknown.filled(np.nan), progress=False)
    np.testing.assert_array_equal(found.positions, expected.positions)
    assert np.isnan(found.positions[5]).all()


@pytest.mark.parametrize("frames", [np.ones((50, 50)), np.ones((1, 50, 50)), np.ones((3, 50, 50))])
def test_refuses_what_is_no_stack_with_shifts(case, frames):
    with pytest.raises(ValueError, match="align_stack"):
        locate_in_frames(frames, case[2], np.zeros((2, 2)), progress=False)


def test_refining_keeps_every_row(case):
    truth, _, _ = case
    image = np.random.default_rng(0).poisson(render_columns(truth) + BACKGROUND)
    places = np.concatenate([truth + 0.8, [[-9.0, 4.0], [np.nan, 3.0]]])
    columns = refine_columns(image, places)
    assert len(columns) == len(places)
    assert np.abs(columns.positions[:-2] - truth).max() < 1
    assert np.isnan(columns.amplitude[-2:]).all() and (columns.position_sd_px[-2:] > 3).all()
    assert (columns.probability == 1).all()
    with pytest.raises(ValueError, match="none of the 1 positions"):
        refine_columns(image, [[-5.0, -5.0]])


def test_refining_keeps_the_confidence_and_leaves_the_table_it_was_given_alone(case):
    _, _, columns = case
    before = columns.probability.copy()
    image = np.random.default_rng(0).poisson(render_columns(columns.positions) + BACKGROUND)
    again = refine_columns(image, columns)
    np.testing.assert_array_equal(again.probability, before)
    np.testing.assert_array_equal(columns.probability, before)
    assert again.probability is not columns.probability
