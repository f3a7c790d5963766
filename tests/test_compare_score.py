"""The scores on made-up latents and angles whose answer is known."""

import numpy as np
import pytest

from helpers.compare.score import nearest_in_latents, r_squared, share_right, sign_from_angle

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(2000, 2))


def test_a_label_that_the_latents_hold_is_read_and_one_they_do_not_hold_is_not():
    assert share_right(LATENT, LATENT[:, 0] > 0) > 0.97
    assert share_right(LATENT, RNG.integers(0, 4, 2000)) == pytest.approx(0.25, abs=0.04)


def test_labels_may_be_words_and_clusters_are_read_without_a_mistake():
    site = np.array(["Fe", "Sr1", "Sr2"])[np.arange(300) % 3]
    centre = 10.0 * (np.arange(300) % 3)[:, None]
    assert share_right(centre + LATENT[:300], site) == 1.0


def test_no_column_is_judged_by_itself():
    lone = np.arange(200)  # every label stands once: nobody else can know it
    assert share_right(LATENT[:200], lone) == 0.0


def test_neighbours_come_from_the_other_half():
    found = nearest_in_latents(LATENT[:20], np.arange(20), neighbours=5, seed=3)
    half = np.array_split(np.random.default_rng(3).permutation(20), 2)
    for judged, known in (half, half[::-1]):
        assert np.isin(found[judged], known).all()


def test_r_squared_of_a_smooth_function_of_noise_and_of_a_mixture():
    smooth = LATENT[:, 0] + 0.3 * LATENT[:, 1] ** 2
    assert r_squared(LATENT, smooth) > 0.97
    assert -0.3 < r_squared(LATENT, RNG.normal(size=2000)) < 0.05
    # Half of the variance is noise that seven neighbours carry into the guess as well.
    half = r_squared(LATENT, smooth / smooth.std() + RNG.normal(size=2000))
    assert half == pytest.approx(0.5 - 0.5 / 7, abs=0.06)


def test_same_seed_same_score():
    label = LATENT[:, 1] > 0.2
    assert share_right(LATENT, label, seed=1) == share_right(LATENT, label, seed=1)


def layers(noise=0.05, n=900):
    """Sites, signs, and angles with a zero of its own for each site."""
    site = np.array(["Fe", "Sr1", "Sr2"])[np.arange(n) % 3]
    sign = np.where(site == "Sr1", 0, RNG.choice([-1, 1], n))
    direction = 0.2 + 0.01 * RNG.normal(size=n)
    zero = np.select([site == "Fe", site == "Sr2"], [2.9, -1.2])
    angle = direction + zero + np.pi * (sign < 0) + noise * RNG.normal(size=n)
    return angle, direction, site, sign


def test_the_sign_is_told_whatever_the_zero_of_each_site():
    angle, direction, site, sign = layers()
    np.testing.assert_array_equal(sign_from_angle(angle, direction, site, sign), sign)
    np.testing.assert_array_equal(sign_from_angle(angle + np.pi, direction, site, sign), sign)


def test_an_angle_that_knows_nothing_tells_half_of_the_signs():
    angle, direction, site, sign = layers()
    told = sign_from_angle(RNG.uniform(-np.pi, np.pi, 900), direction, site, sign)
    assert np.mean((told == sign)[sign != 0]) == pytest.approx(0.5, abs=0.1)


def test_what_is_wrong_is_counted():
    angle, direction, site, sign = layers()
    angle[:60] += np.pi
    wrong = sign_from_angle(angle, direction, site, sign) != sign
    np.testing.assert_array_equal(wrong, (np.arange(900) < 60) & (sign != 0))


def test_without_signs_there_is_nothing_to_tell():
    assert not sign_from_angle(np.zeros(3), np.zeros(3), np.array(["Sr1"] * 3), np.zeros(3)).any()


def test_wrong_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\), \(3,\), \(2,\)"):
        sign_from_angle(np.zeros(3), np.zeros(3), np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="columns that were encoded"):
        share_right(LATENT, np.zeros(10))
    with pytest.raises(ValueError, match="14 are needed"):
        share_right(LATENT[:13], np.zeros(13))
    with pytest.raises(ValueError, match="no variance"):
        r_squared(LATENT, np.ones(2000))
