"""A column moved off its centre says so, and rows of them are a wave of the right period."""

import numpy as np
import pytest
from benchmarks.judge import spatial_order

from helpers.compare.neighbours import handedness, off_centre, strongest_wave

SPACING = 20.0


def turned(points, degrees):
    """Points (N, 2), [row, column], turned counter-clockwise as displayed."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([[c, s], [-s, c]])


def rows_two_by_two(points):
    """Rows 0, 1, 4, 5, … move to the right, the others to the left."""
    row = np.rint(points[:, 0] / SPACING - 0.5).astype(int)
    return np.where(row % 4 < 2, 1.0, -1.0)[:, None] * [0.0, 1.0], row


@pytest.fixture
def corners():
    return np.stack(np.mgrid[:17, :17], axis=-1).reshape(-1, 2) * SPACING


@pytest.fixture
def centres():
    return (np.stack(np.mgrid[:16, :16], axis=-1).reshape(-1, 2) + 0.5) * SPACING


def test_a_column_in_the_centre_is_not_displaced(centres, corners):
    np.testing.assert_allclose(off_centre(centres, corners), 0, atol=1e-9)


def test_the_displacement_is_what_the_column_was_moved_by(centres, corners):
    moved = centres.copy()
    moved[27] += [1.5, -0.75]
    found = off_centre(moved, corners)
    np.testing.assert_allclose(found[27], [1.5, -0.75])
    np.testing.assert_allclose(np.delete(found, 27, axis=0), 0, atol=1e-9)


def test_displacements_turn_with_the_crystal_and_ignore_a_shift(centres, corners):
    moved = centres + np.random.default_rng(0).normal(0, 1, centres.shape)
    found = off_centre(turned(moved, 33) + [7, -4], turned(corners, 33) + [7, -4])
    np.testing.assert_allclose(found, turned(off_centre(moved, corners), 33), atol=1e-9)


def test_a_column_with_an_open_side_has_no_displacement(centres, corners):
    missing = ~np.all(corners == corners.min(axis=0), axis=1)
    found = off_centre(centres, corners[missing])
    assert np.isnan(found[0]).all() and np.isfinite(found[1:]).all()


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_count_that_makes_no_centre_is_refused(centres, corners, count):
    with pytest.raises(ValueError, match="count="):
        off_centre(centres, corners, count=count)


@pytest.mark.parametrize("direction", [0, 30, 105])
def test_rows_two_by_two_are_a_wave_of_four_rows(centres, direction):
    moves = rows_two_by_two(centres)[0]
    wave, share = strongest_wave(turned(centres, direction), moves, shortest_px=2 * SPACING)
    assert 1 / np.hypot(*wave) == pytest.approx(4 * SPACING, rel=0.03)
    angle = np.rad2deg(np.arctan2(-wave[0], wave[1]))  # rows lie one above the other: 90 degrees
    assert (angle - 90 - direction + 90) % 180 == pytest.approx(90, abs=2)
    assert share > 0.95


def test_noise_has_no_strong_wave(centres):
    noise = np.random.default_rng(1).normal(size=(len(centres), 2))
    assert strongest_wave(centres, noise, shortest_px=2 * SPACING)[1] < 0.35


def test_missing_values_are_left_out(centres):
    values = np.cos(2 * np.pi * centres[:, 1] / 80)
    whole = strongest_wave(centres, values, shortest_px=40)
    values[5] = np.nan
    part = strongest_wave(centres, values, shortest_px=40)
    np.testing.assert_allclose(part[0], whole[0])
    assert part[1] == pytest.approx(whole[1], abs=0.05)


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
    expected = np.array([-1, 1, 1, -1])[row % 4]
    np.testing.assert_array_equal(np.sign(found[inside]), expected[inside])


def test_handedness_survives_a_turn_and_changes_in_a_mirror(centres):
    moves = rows_two_by_two(centres)[0]
    found = handedness(centres, moves)
    np.testing.assert_allclose(handedness(turned(centres, 50), turned(moves, 50)), found)
    np.testing.assert_allclose(handedness(centres * [-1, 1], moves * [-1, 1]), -found)


def test_handedness_needs_a_displacement_for_each_column(centres):
    with pytest.raises(ValueError, match="displacements of shape"):
        handedness(centres, np.ones((3, 2)))
    with pytest.raises(ValueError, match="more than count=4"):
        handedness(centres[:4], np.ones((4, 2)))


def test_order_in_space_and_its_absence():
    places = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), -1).reshape(-1, 2)
    wave = np.sin(places[:, 0] / 4)
    moran, deviations = spatial_order(places, wave)
    assert moran > 0.8 and deviations > 20
    shuffled = np.random.default_rng(0).permutation(wave)
    assert abs(spatial_order(places, shuffled)[1]) < 3.5
    checkers = np.where(places.sum(axis=1) % 2, 1.0, -1.0)
    assert spatial_order(places, checkers, count=4)[0] < -0.8


@pytest.mark.parametrize("values", [np.ones(30), np.zeros(29), np.zeros(3)])
def test_order_in_space_refuses(values):
    places = np.random.default_rng(0).uniform(size=(30, 2))
    with pytest.raises(ValueError, match="not all equal"):
        spatial_order(places, values)
