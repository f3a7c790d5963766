"""A column moved off its centre says so, and rows of them are a wave of the right period."""

import numpy as np
import pytest
from benchmarks.judge import spatial_order

from helpers.compare.neighbours import handedness, off_centre, strongest_wave

SPACING = 20.0


def turned(points, degrees):
    """Points (N, 2), [row, column], turned counter-clockwise as displayed."""
    angle = np.deg2rad(degrees)
    cos = np.cos(angle)
    sin = np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def rows_two_by_two(points):
    """Rows 0, 1, 4, 5, … move to the right, the others to the left."""
    row = np.rint(points[:, 0] / SPACING - 0.5).astype(int)
    to_the_right = np.where(row % 4 < 2, 1.0, -1.0)
    moves = to_the_right[:, None] * [0.0, 1.0]
    return moves, row


@pytest.fixture
def corners():
    cells = np.stack(np.mgrid[:17, :17], axis=-1)
    return cells.reshape(-1, 2) * SPACING


@pytest.fixture
def centres():
    cells = np.stack(np.mgrid[:16, :16], axis=-1)
    return (cells.reshape(-1, 2) + 0.5) * SPACING


def test_a_column_in_the_centre_is_not_displaced(centres, corners):
    displacement = off_centre(centres, corners)
    np.testing.assert_allclose(displacement, 0, atol=1e-9)


def test_the_displacement_is_what_the_column_was_moved_by(centres, corners):
    moved = centres.copy()
    moved[27] += [1.5, -0.75]
    found = off_centre(moved, corners)
    np.testing.assert_allclose(found[27], [1.5, -0.75])
    others = np.delete(found, 27, axis=0)
    np.testing.assert_allclose(others, 0, atol=1e-9)


def test_displacements_turn_with_the_crystal_and_ignore_a_shift(centres, corners):
    rng = np.random.default_rng(0)
    moved = centres + rng.normal(0, 1, centres.shape)
    displacement = off_centre(moved, corners)
    expected = turned(displacement, 33)
    shift = [7, -4]
    elsewhere = turned(moved, 33) + shift
    around = turned(corners, 33) + shift
    found = off_centre(elsewhere, around)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_column_with_an_open_side_has_no_displacement(centres, corners):
    first = np.all(corners == corners.min(axis=0), axis=1)
    without_first = corners[~first]
    found = off_centre(centres, without_first)
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1:]).all()


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_count_that_makes_no_centre_is_refused(centres, corners, count):
    with pytest.raises(ValueError, match="count="):
        off_centre(centres, corners, count=count)


@pytest.mark.parametrize("direction", [0, 30, 105])
def test_rows_two_by_two_are_a_wave_of_four_rows(centres, direction):
    moves, _ = rows_two_by_two(centres)
    places = turned(centres, direction)
    wave, share = strongest_wave(places, moves, shortest_px=2 * SPACING)
    period_px = 1 / np.hypot(*wave)
    assert period_px == pytest.approx(4 * SPACING, rel=0.03)
    angle = np.rad2deg(np.arctan2(-wave[0], wave[1]))  # rows lie one above the other: 90 degrees
    assert (angle - 90 - direction + 90) % 180 == pytest.approx(90, abs=2)
    assert share > 0.95


def test_noise_has_no_strong_wave(centres):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(len(centres), 2))
    _, share = strongest_wave(centres, noise, shortest_px=2 * SPACING)
    assert share < 0.35


def test_missing_values_are_left_out(centres):
    values = np.cos(2 * np.pi * centres[:, 1] / 80)
    wave, share = strongest_wave(centres, values, shortest_px=40)
    values[5] = np.nan
    wave_of_part, share_of_part = strongest_wave(centres, values, shortest_px=40)
    np.testing.assert_allclose(wave_of_part, wave)
    assert share_of_part == pytest.approx(share, abs=0.05)
    masked = np.ma.masked_invalid(values)
    masked.data[5] = 1e6
    again = strongest_wave(centres, masked, shortest_px=40)
    assert again[1] == share_of_part


@pytest.mark.parametrize("values", [np.ones(256), np.full(256, np.nan)])
def test_values_that_hold_no_wave_are_refused(centres, values):
    with pytest.raises(ValueError, match="same at all|0 columns"):
        strongest_wave(centres, values, shortest_px=40)


def test_a_period_of_nothing_is_refused(centres):
    with pytest.raises(ValueError, match="shortest_px=0"):
        strongest_wave(centres, centres[:, 0], shortest_px=0)


def test_the_fellow_row_lies_on_one_hand(centres):
    moves, row = rows_two_by_two(centres)
    found = handedness(centres, moves)
    inside = np.isfinite(found)
    assert inside.sum() == 14 * 14  # the outermost columns lack a neighbour
    # Row 0 goes right, its fellow below it: on the right hand. Row 1 has it above: on the left.
    # Row 2 goes left, its fellow below it: on the left hand. Row 3 has it above: on the right.
    hand = np.array([-1, 1, 1, -1])
    expected = hand[row % 4]
    sign = np.sign(found)
    np.testing.assert_array_equal(sign[inside], expected[inside])


def test_handedness_survives_a_turn_and_changes_in_a_mirror(centres):
    moves, _ = rows_two_by_two(centres)
    found = handedness(centres, moves)
    places = turned(centres, 50)
    turned_moves = turned(moves, 50)
    after_turn = handedness(places, turned_moves)
    np.testing.assert_allclose(after_turn, found)
    mirror = [-1, 1]
    mirrored = handedness(centres * mirror, moves * mirror)
    np.testing.assert_allclose(mirrored, -found)


def test_handedness_needs_a_displacement_for_each_column(centres):
    displacement = np.ones((4, 2))
    with pytest.raises(ValueError, match="displacements of shape"):
        handedness(centres, displacement)
    with pytest.raises(ValueError, match="more than count=4"):
        handedness(centres[:4], displacement)


def test_order_in_space_and_its_absence():
    steps = np.arange(30.0)
    cells = np.stack(np.meshgrid(steps, steps), -1)
    places = cells.reshape(-1, 2)
    wave = np.sin(places[:, 0] / 4)
    moran, deviations = spatial_order(places, wave)
    assert moran > 0.8
    assert deviations > 20
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(wave)
    _, deviations = spatial_order(places, shuffled)
    assert abs(deviations) < 3.5
    is_odd = places.sum(axis=1) % 2
    checkers = np.where(is_odd, 1.0, -1.0)
    moran, _ = spatial_order(places, checkers, count=4)
    assert moran < -0.8


@pytest.mark.parametrize("values", [np.ones(30), np.zeros(29), np.zeros(3)])
def test_order_in_space_refuses(values):
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(30, 2))
    with pytest.raises(ValueError, match="not all equal"):
        spatial_order(places, values)
