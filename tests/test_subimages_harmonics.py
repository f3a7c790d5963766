"""Disk harmonics: a rotation is exact, and symmetry shows in the angular orders."""

import numpy as np
import pytest
from scipy import ndimage

from helpers.subimages.harmonics import DiskHarmonics, angular_power, disk_mask, pixel_offsets


def motif(window_px: int, turn: float = 0.0, fold: int = 1) -> np.ndarray:
    """A smooth motif of `fold` equal satellites, turned counter-clockwise by `turn`."""
    offset = pixel_offsets(window_px)
    row, col = offset[:, None], offset[None, :]
    image = np.exp(-(row**2 + col**2) / 20)
    for satellite in range(fold):
        angle = turn + 2 * np.pi * satellite / fold
        image = image + 0.7 * np.exp(
            -((row + 9 * np.sin(angle)) ** 2 + (col - 9 * np.cos(angle)) ** 2) / 16
        )
    return image.astype(np.float32)


@pytest.mark.parametrize("window_px", [40, 41])
@pytest.mark.parametrize("turn", [0.3, -2.0, np.pi / 2])
def test_turning_the_coefficients_is_turning_the_motif(window_px, turn):
    basis = DiskHarmonics.build(window_px)
    at_rest = basis.project(motif(window_px)[None])
    turned = basis.project(motif(window_px, turn)[None])
    error = np.linalg.norm(basis.rotate(at_rest, turn) - turned) / np.linalg.norm(turned)
    assert error < 0.01


def test_rot90_adds_a_quarter_turn():
    basis = DiskHarmonics.build(32)
    image = np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.float32)
    turned = basis.project(np.rot90(image, axes=(1, 2)))
    np.testing.assert_allclose(turned, basis.rotate(basis.project(image), np.pi / 2), atol=2e-5)


def test_full_turn_and_there_and_back_change_nothing():
    basis = DiskHarmonics.build(24)
    c = np.random.default_rng(1).normal(size=(5, len(basis))).astype(np.float32)
    np.testing.assert_allclose(basis.rotate(c, 2 * np.pi), c, atol=1e-5)
    there = basis.rotate(c, np.linspace(-3, 3, 5))
    np.testing.assert_allclose(basis.rotate(there, -np.linspace(-3, 3, 5)), c, atol=1e-5)


def test_one_motif_turns_to_many():
    basis = DiskHarmonics.build(24)
    c = np.random.default_rng(1).normal(size=(1, len(basis))).astype(np.float32)
    many = basis.rotate(c, np.array([0.0, 0.4]))
    np.testing.assert_allclose(many, np.concatenate([c, basis.rotate(c, 0.4)]), atol=1e-6)


def test_projection_after_synthesis_gives_the_coefficients_back():
    basis = DiskHarmonics.build(40)
    c = np.random.default_rng(2).normal(size=(3, len(basis))).astype(np.float32)
    np.testing.assert_allclose(basis.project(np.nan_to_num(basis.synthesise(c))), c, atol=1e-4)


def test_corners_take_no_part():
    basis = DiskHarmonics.build(21)
    image = motif(21)
    spoiled = np.where(disk_mask(21), image, np.nan)
    np.testing.assert_array_equal(basis.project(image[None]), basis.project(spoiled[None]))
    assert np.isnan(basis.synthesise(basis.project(image[None]))[0, 0, 0])


def test_well_conditioned_and_noise_stays_white():
    basis = DiskHarmonics.build(40, band_limit=25)
    assert 155 <= len(basis) <= 175
    assert np.linalg.cond(basis.functions) < 1.25
    noise = np.random.default_rng(3).normal(size=(4000, 40, 40))
    spread = basis.project(noise).std(axis=0)
    assert 0.9 < spread.min() and spread.max() < 1.15


@pytest.mark.parametrize("fold", [2, 3, 4, 6])
def test_n_fold_motif_has_power_only_in_multiples_of_n(fold):
    basis = DiskHarmonics.build(40)
    power = angular_power(basis.project(motif(40, 0.37, fold)[None]), basis)[0]
    orders = np.arange(len(power))
    assert power[orders % fold != 0].sum() < 1e-3 * power.sum()
    assert power[fold] > 0.01 * power.sum()


def test_power_does_not_see_a_rotation():
    basis = DiskHarmonics.build(40)
    at_rest, turned = (basis.project(motif(40, t)[None]) for t in (0.0, 1.1))
    np.testing.assert_allclose(
        angular_power(at_rest, basis), angular_power(turned, basis), rtol=0.02, atol=0.02
    )


def test_agrees_with_an_interpolated_rotation():
    """An oracle that knows nothing of Bessel functions; positive is counter-clockwise."""
    basis = DiskHarmonics.build(41)
    image = motif(41, 0.2, 3)
    turned = ndimage.rotate(image, 25, reshape=False, order=3, mode="nearest")
    expected = basis.project(turned[None])
    found = basis.rotate(basis.project(image[None]), np.deg2rad(25))
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("window_px", [0, -3, 4, 7.5])
def test_refuses_a_useless_window(window_px):
    with pytest.raises(ValueError, match="window_px"):
        DiskHarmonics.build(window_px)


@pytest.mark.parametrize("limit", [80, 1.8, 0, -3, np.nan])
def test_refuses_a_band_limit_beyond_the_pixels_or_below_the_first_wave(limit):
    with pytest.raises(ValueError, match="band_limit"):
        DiskHarmonics.build(20, band_limit=limit)


def test_refuses_another_window():
    with pytest.raises(ValueError, match="cut_subimages"):
        DiskHarmonics.build(20).project(np.zeros((3, 21, 21)))
