"""The scores on made-up latents and angles whose answer is known."""

import numpy as np
import pytest

from helpers.compare.score import nearest_in_latents, r_squared, share_right, sign_from_angle

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(2000, 2))


def test_a_label_that_the_latents_hold_is_read_and_one_they_do_not_hold_is_not():
    held = LATENT[:, 0] > 0
    assert share_right(LATENT, held) > 0.97
    not_held = RNG.integers(0, 4, 2000)
    share = share_right(LATENT, not_held)
    assert share == pytest.approx(0.25, abs=0.04)


def test_labels_may_be_words_and_clusters_are_read_without_a_mistake():
    index = np.arange(300) % 3
    names = np.array(["Fe", "Sr1", "Sr2"])
    site = names[index]
    centre = 10.0 * index[:, None]
    clusters = centre + LATENT[:300]
    assert share_right(clusters, site) == 1.0


def test_no_column_is_judged_by_itself():
    lone = np.arange(200)  # every label stands once: nobody else can know it
    assert share_right(LATENT[:200], lone) == 0.0


def test_neighbours_come_from_the_other_half():
    index = np.arange(20)
    found = nearest_in_latents(
        LATENT[:20],
        index,
        neighbours=5,
        seed=3,
    )
    shuffled = np.random.default_rng(3).permutation(20)
    first, second = np.array_split(shuffled, 2)
    assert np.isin(found[first], second).all()
    assert np.isin(found[second], first).all()


def test_r_squared_of_a_smooth_function_of_noise_and_of_a_mixture():
    smooth = LATENT[:, 0] + 0.3 * LATENT[:, 1] ** 2
    assert r_squared(LATENT, smooth) > 0.97
    noise = RNG.normal(size=2000)
    assert -0.3 < r_squared(LATENT, noise) < 0.05
    # Half of the variance is noise that seven neighbours carry into the guess as well.
    mixture = smooth / smooth.std() + RNG.normal(size=2000)
    half = r_squared(LATENT, mixture)
    assert half == pytest.approx(0.5 - 0.5 / 7, abs=0.06)


def test_same_seed_same_score():
    label = LATENT[:, 1] > 0.2
    share = share_right(LATENT, label, seed=1)
    again = share_right(LATENT, label, seed=1)
    assert share == again


def layers(noise=0.05, n=900):
    """Sites, signs, and angles with a zero of its own for each site."""
    names = np.array(["Fe", "Sr1", "Sr2"])
    index = np.arange(n) % 3
    site = names[index]
    either = RNG.choice([-1, 1], n)
    sign = np.where(site == "Sr1", 0, either)
    direction = 0.2 + 0.01 * RNG.normal(size=n)
    zero_of = np.array([2.9, 0.0, -1.2])
    zero = zero_of[index]
    flip = np.pi * (sign < 0)
    angle = direction + zero + flip + noise * RNG.normal(size=n)
    return angle, direction, site, sign


def test_the_sign_is_told_whatever_the_zero_of_each_site():
    angle, direction, site, sign = layers()
    told = sign_from_angle(angle, direction, site, sign)
    np.testing.assert_array_equal(told, sign)
    told = sign_from_angle(angle + np.pi, direction, site, sign)
    np.testing.assert_array_equal(told, sign)


def test_an_angle_that_knows_nothing_tells_half_of_the_signs():
    _, direction, site, sign = layers()
    guess = RNG.uniform(-np.pi, np.pi, 900)
    told = sign_from_angle(guess, direction, site, sign)
    has_sign = sign != 0
    right = told[has_sign] == sign[has_sign]
    assert right.mean() == pytest.approx(0.5, abs=0.1)


def test_what_is_wrong_is_counted():
    angle, direction, site, sign = layers()
    angle[:60] += np.pi
    told = sign_from_angle(angle, direction, site, sign)
    flipped = np.arange(900) < 60
    has_sign = sign != 0
    np.testing.assert_array_equal(told != sign, flipped & has_sign)


def test_a_missing_angle_tells_no_sign_and_leaves_the_others_as_they_are():
    angle, direction, site, sign = layers()
    angle[::10] = 7e7  # of columns that were not encoded
    told = sign_from_angle(np.ma.masked_equal(angle, 7e7), direction, site, sign)
    expected = sign.copy()
    expected[::10] = 0
    np.testing.assert_array_equal(told, expected)


def test_without_signs_there_is_nothing_to_tell():
    zero = np.zeros(3)
    site = np.array(["Sr1"] * 3)
    told = sign_from_angle(zero, zero, site, zero)
    assert not told.any()


def test_wrong_lengths_are_refused():
    three = np.zeros(3)
    two = np.zeros(2)
    with pytest.raises(ValueError, match=r"\(3,\), \(3,\), \(2,\)"):
        sign_from_angle(three, three, two, three)
    with pytest.raises(ValueError, match="columns that were encoded"):
        share_right(LATENT, np.zeros(10))
    with pytest.raises(ValueError, match="14 are needed"):
        share_right(LATENT[:13], np.zeros(13))
    with pytest.raises(ValueError, match="no variance"):
        r_squared(LATENT, np.ones(2000))
