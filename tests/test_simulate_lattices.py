"""Simulated lattices: the truth says what the image shows."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from helpers.simulate.lattices import (
    CELLS,
    column_target,
    lattice_image,
    nearest_distance,
    render_columns,
)


def perfect(kind, spacing_px=14.0, seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"peak_counts": 1e4, **options}
    return lattice_image((160, 192), rng=rng, kind=kind, spacing_px=spacing_px, **options)


@pytest.mark.parametrize("kind", CELLS)
def test_columns_stand_at_the_stated_distance(kind):
    drawn = perfect(kind)
    distance_px, _ = cKDTree(drawn.positions).query(drawn.positions, k=2)
    assert distance_px[:, 1].min() == pytest.approx(14.0, rel=1e-6)
    assert drawn.image.shape == (160, 192) and len(drawn.light) == len(drawn.positions)
    assert drawn.image.dtype == np.float32


@pytest.mark.parametrize("kind", CELLS)
def test_image_and_target_are_brightest_at_the_columns(kind):
    drawn = perfect(kind)
    rows, cols = np.rint(drawn.positions).astype(int).T
    target = column_target(drawn.image.shape, drawn.positions, 3.0)
    assert drawn.image[rows, cols].min() > np.median(drawn.image[target == 0])
    assert target[rows, cols].min() == target.max() == 1


@pytest.mark.parametrize("kind", ["perovskite", "honeycomb", "rock_salt", "dumbbells"])
def test_light_columns_are_as_faint_as_asked(kind):
    drawn = perfect(kind, second_intensity=0.4, background=0.0, spacing_px=20.0)
    inner = ((drawn.positions > 8) & (drawn.positions < [150, 180])).all(axis=1)
    rows, cols = np.rint(drawn.positions).astype(int).T
    height = ndimage.gaussian_filter(drawn.image, 1)[rows, cols]
    light = np.median(height[inner & drawn.light])
    heavy = np.median(height[inner & ~drawn.light])
    assert light / heavy == pytest.approx(0.4, abs=0.05)


def test_a_rendered_column_is_a_gaussian_with_its_own_sum_and_centre():
    image = render_columns((41, 51), np.array([[20.3, 24.8]]), np.array([2.0]), 3.0)
    rows, cols = np.indices(image.shape)
    total = image.sum()
    assert total == pytest.approx(2 * np.pi * 2.0 * 3.0**2, rel=1e-3)
    centre = ((rows * image).sum() / total, (cols * image).sum() / total)
    assert centre == pytest.approx((20.3, 24.8), abs=1e-3)


def test_columns_beyond_the_edge_reach_in_and_wrap_nowhere():
    image = render_columns((20, 20), np.array([[-2.0, 10.0], [50.0, 50.0]]), np.ones(2), 2.0)
    assert image[0, 10] == pytest.approx(np.exp(-0.5), rel=1e-6)
    assert image[-3:].max() == 0
    assert not render_columns((5, 6), np.empty((0, 2)), np.empty(0), 2.0).any()


def test_turning_the_lattice_turns_the_positions():
    straight = perfect("square", angle_rad=0.0)
    turned = perfect("square", angle_rad=np.pi / 6)
    directions = []
    for drawn in (straight, turned):
        distance, index = cKDTree(drawn.positions).query([80.0, 96.0], k=2)
        step = np.diff(drawn.positions[index], axis=0)[0]
        directions.append(np.arctan2(-step[0], step[1]))  # counter-clockwise, rows point down
    turn = np.mod(directions[1] - directions[0], np.pi / 2)
    assert turn == pytest.approx(np.pi / 6, abs=1e-6)


def test_dose_sets_the_noise():
    """Gain and offset apart, shot noise over contrast falls as the root of the dose."""
    ratios = []
    for counts in (25, 2500):
        image = perfect("square", peak_counts=counts, seed=3).image
        clean = perfect("square", peak_counts=1e8, seed=3).image
        slope, offset = np.polyfit(clean.ravel(), image.ravel(), 1)
        noise = image - slope * clean - offset
        contrast = slope * clean
        ratios.append(noise.std() / contrast.std())
    assert ratios[0] / ratios[1] == pytest.approx(10, rel=0.1)


def test_seed_repeats_and_other_seeds_differ():
    first, again, other = (
        lattice_image(rng=np.random.default_rng(seed), kind="oblique") for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert not np.array_equal(first.image, other.image)


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="kind='kagome'"):
        perfect("kagome")


def test_nearest_distance_by_hand():
    assert nearest_distance(np.eye(2) * 4, np.array([[0, 0], [0.5, 0.5]])) == pytest.approx(8**0.5)
    target = column_target((9, 9), np.array([[4.0, 4.0]]), 2.0)
    assert [target[4, c] for c in (5, 6, 7)] == [1, 0.5, 0]
    assert target.sum() == pytest.approx(np.pi * 2**2, rel=0.1)
