"""Disk harmonics: a rotation is exact, and symmetry shows in the angular orders."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.subimages.harmonics import DiskHarmonics, angular_power, disk_mask, pixel_offsets


def motif(window_px: int, turn: float = 0.0, fold: int = 1) -> np.ndarray:
    """A smooth motif of `fold` equal satellites, turned counter-clockwise by `turn`."""
    offset = pixel_offsets(window_px)
    row = offset[:, None]
    col = offset[None, :]
    image = np.exp(-(row**2 + col**2) / 20)
    for satellite in range(fold):
        angle = turn + 2 * np.pi * satellite / fold
        up = row + 9 * np.sin(angle)  # rows run down
        right = col - 9 * np.cos(angle)
        image = image + 0.7 * np.exp(-(up**2 + right**2) / 16)
    return image.astype(np.float32)


@pytest.mark.parametrize("window_px", [40, 41])
@pytest.mark.parametrize("turn", [0.3, -2.0, np.pi / 2])
def test_turning_the_coefficients_is_turning_the_motif(window_px, turn):
    basis = DiskHarmonics.build(window_px)
    image = motif(window_px)
    turned_image = motif(window_px, turn)
    at_rest = basis.project(image[None])
    expected = basis.project(turned_image[None])
    found = basis.rotate(at_rest, turn)
    error = np.linalg.norm(found - expected)
    assert error < 0.01 * np.linalg.norm(expected)


def test_rot90_adds_a_quarter_turn():
    basis = DiskHarmonics.build(32)
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 32, 32)).astype(np.float32)
    turned_image = np.rot90(image, axes=(1, 2))
    expected = basis.project(turned_image)
    at_rest = basis.project(image)
    found = basis.rotate(at_rest, np.pi / 2)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_full_turn_and_there_and_back_change_nothing():
    basis = DiskHarmonics.build(24)
    rng = np.random.default_rng(1)
    c = rng.normal(size=(5, len(basis))).astype(np.float32)
    around = basis.rotate(c, 2 * np.pi)
    np.testing.assert_allclose(around, c, atol=1e-5)
    angle = np.linspace(-3, 3, 5)
    there = basis.rotate(c, angle)
    back = basis.rotate(there, -angle)
    np.testing.assert_allclose(back, c, atol=1e-5)


def test_one_motif_turns_to_many():
    basis = DiskHarmonics.build(24)
    rng = np.random.default_rng(1)
    c = rng.normal(size=(1, len(basis))).astype(np.float32)
    angles = np.array([0.0, 0.4])
    many = basis.rotate(c, angles)
    turned = basis.rotate(c, 0.4)
    expected = np.concatenate([c, turned])
    np.testing.assert_allclose(many, expected, atol=1e-6)


def test_projection_after_synthesis_gives_the_coefficients_back():
    basis = DiskHarmonics.build(40)
    rng = np.random.default_rng(2)
    c = rng.normal(size=(3, len(basis))).astype(np.float32)
    drawn = basis.synthesise(c)
    drawn = np.nan_to_num(drawn)
    found = basis.project(drawn)
    np.testing.assert_allclose(found, c, atol=1e-4)


def test_corners_take_no_part():
    basis = DiskHarmonics.build(21)
    image = motif(21)
    spoiled = np.where(disk_mask(21), image, np.nan)
    c = basis.project(image[None])
    c_spoiled = basis.project(spoiled[None])
    np.testing.assert_array_equal(c, c_spoiled)
    drawn = basis.synthesise(c)
    assert np.isnan(drawn[0, 0, 0])


def test_masked_pixels_are_missing_ones():
    basis = DiskHarmonics.build(21)
    stack = np.stack([motif(21), motif(21, 1.0)])
    corner = np.zeros(stack.shape, bool)
    corner[0, 0, 0] = True
    centre = np.roll(corner, (10, 10), axis=(1, 2))
    c = basis.project(np.ma.array(stack, mask=corner))
    np.testing.assert_array_equal(c, basis.project(stack))
    with pytest.raises(ValueError, match="1 of 2 sub-images hold NaN"):
        basis.project(np.ma.array(stack, mask=centre))


def test_well_conditioned_and_noise_stays_white():
    basis = DiskHarmonics.build(40, band_limit=25)
    assert 155 <= len(basis) <= 175
    assert np.linalg.cond(basis.functions) < 1.25
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(4000, 40, 40))
    c = basis.project(noise)
    spread = c.std(axis=0)
    assert spread.min() > 0.9
    assert spread.max() < 1.15


@pytest.mark.parametrize("fold", [2, 3, 4, 6])
def test_n_fold_motif_has_power_only_in_multiples_of_n(fold):
    basis = DiskHarmonics.build(40)
    image = motif(40, 0.37, fold)
    c = basis.project(image[None])
    (power,) = angular_power(c, basis)
    total = power.sum()
    orders = np.arange(len(power))
    other = orders % fold != 0
    assert power[other].sum() < 1e-3 * total
    assert power[fold] > 0.01 * total


def test_power_does_not_see_a_rotation():
    basis = DiskHarmonics.build(40)
    image = motif(40, 0.0)
    turned_image = motif(40, 1.1)
    at_rest = basis.project(image[None])
    turned = basis.project(turned_image[None])
    np.testing.assert_allclose(
        angular_power(at_rest, basis),
        angular_power(turned, basis),
        rtol=0.02,
        atol=0.02,
    )


def test_agrees_with_an_interpolated_rotation():
    """An oracle that knows nothing of Bessel functions; positive is counter-clockwise."""
    basis = DiskHarmonics.build(41)
    image = motif(41, 0.2, 3)
    turned = ndimage.rotate(
        image,
        25,
        reshape=False,
        order=3,
        mode="nearest",
    )
    expected = basis.project(turned[None])
    at_rest = basis.project(image[None])
    found = basis.rotate(at_rest, np.deg2rad(25))
    error = np.linalg.norm(found - expected)
    assert error < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("window_px", [0, -3, 4, 7.5])
def test_refuses_a_useless_window(window_px):
    with pytest.raises(ValueError, match="window_px"):
        DiskHarmonics.build(window_px)


@pytest.mark.parametrize("limit", [80, 1.8, 0, -3, np.nan])
def test_refuses_a_band_limit_beyond_the_pixels_or_below_the_first_wave(limit):
    with pytest.raises(ValueError, match="band_limit"):
        DiskHarmonics.build(20, band_limit=limit)


def test_refuses_another_window():
    basis = DiskHarmonics.build(20)
    stack = np.zeros((3, 21, 21))
    with pytest.raises(ValueError, match="cut_subimages"):
        basis.project(stack)
