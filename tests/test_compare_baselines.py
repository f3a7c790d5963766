"""Baselines: what principal components, a plain VAE and a coordinate VAE make of a turn."""

import numpy as np
import pytest
import torch
from test_rvae_model import NOISE, WINDOW, turned_stack
from test_subimages_harmonics import motif

from helpers import RVAE
from helpers.compare.baselines import CoordinateVAE, PlainVAE, principal_components
from helpers.compare.score import r_squared
from helpers.results.angles import align_gauge, fold_angles
from helpers.subimages.harmonics import DiskHarmonics, disk_mask, pixel_offsets

SMALL = 9  # pixels: a coordinate network is slow
MODELS = [PlainVAE, CoordinateVAE]


@pytest.fixture(scope="module")
def turned():
    """Noisy copies of one motif at 720 evenly spaced angles, so that sines and cosines part."""
    angle = np.arange(720) * 2 * np.pi / 720 - np.pi
    clean = np.stack([motif(WINDOW, a) for a in angle])
    rng = np.random.default_rng(0)
    noise = NOISE * rng.normal(size=clean.shape)
    stack = (clean + noise).astype(np.float32)
    return stack, angle


def one_armed_stack(n, window_px=SMALL, noise=0.05, seed=0):
    """`n` noisy copies of a spot beside the centre of a small window, each at its angle (n,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n)
    offset = pixel_offsets(window_px)
    each = angle[:, None, None]
    row = offset[:, None] + 2.5 * np.sin(each)
    col = offset - 2.5 * np.cos(each)
    spot = np.exp(-(row**2 + col**2) / 4)
    stack = spot + noise * rng.normal(size=spot.shape)
    return stack, angle


# ------------------------------------------------------------ principal components


def test_leading_components_are_one_pattern_and_its_turned_copy(turned):
    stack, angle = turned
    basis = DiskHarmonics.build(WINDOW)
    _, components, _, share = principal_components(stack, 2)
    c = basis.project(components)
    power = []
    for order in range(basis.order.max() + 1):
        of_order = c[:, basis.order == order]
        power.append((of_order**2).sum(axis=1))
    m = int(np.argmax(np.sum(power, axis=1)))
    assert m > 0
    share_of_m = power[m] / np.sum(power, axis=0)
    assert share_of_m.min() > 0.95
    first, second = c
    quarter = basis.rotate(first, np.pi / (2 * m))  # of a period: a cosine becomes a sine
    length = np.linalg.norm(quarter) * np.linalg.norm(second)
    assert abs(quarter @ second) > 0.98 * length
    assert share[0] == pytest.approx(share[1], rel=0.1)


def test_their_scores_lie_on_a_ring_whose_angle_is_m_times_the_true_one(turned):
    stack, angle = turned
    basis = DiskHarmonics.build(WINDOW)
    _, components, scores, _ = principal_components(stack, 2)
    c = basis.project(components)[0]
    m = int(basis.order[np.argmax(np.abs(c))])
    first, second = scores.T
    radius = np.hypot(first, second)
    assert radius.std() < 0.1 * radius.mean()
    around = np.arctan2(second, first)
    errors = []
    for sense in (1, -1):  # which of the two comes first is chance
        aligned = align_gauge(sense * around, m * angle)
        error = fold_angles(aligned - m * angle, 1) / m
        errors.append(np.median(np.abs(error)))
    assert min(errors) < np.deg2rad(5)


def test_components_are_those_of_the_covariance(turned):
    """Another way to the same: eigenvectors of the covariance matrix."""
    stack, _ = turned
    mean, components, scores, share = principal_components(stack, 6)
    mask = disk_mask(WINDOW)
    inside = stack[:, mask]
    expected_mean = inside.mean(axis=0)
    covariance = np.cov(inside, rowvar=False)
    values, vectors = np.linalg.eigh(covariance)
    expected_share = values[::-1] / values.sum()
    np.testing.assert_allclose(share, expected_share[:6], rtol=1e-3)
    np.testing.assert_allclose(mean[mask], expected_mean, atol=1e-5)
    flat = components[:, mask]
    np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=1e-4)
    expected_scores = (inside - expected_mean) @ flat.T
    np.testing.assert_allclose(scores, expected_scores, atol=1e-3)
    leading = vectors[:, [-1, -2]]
    cosines = np.diag(flat[:2] @ leading)
    assert np.abs(cosines).min() > 0.99
    assert np.isnan(components[:, 0, 0]).all()
    assert np.isnan(mean[0, 0])


@pytest.mark.parametrize("count", [0, 41, 1.5])
def test_components_that_there_are_not(turned, count):
    with pytest.raises(ValueError, match=f"count={count}"):
        principal_components(turned[0][:40], count)


# -------------------------------------------------------------------- plain VAE


def test_plain_latents_hold_the_angle_and_those_of_the_rvae_do_not(turned):
    stack, angle = turned
    plain = PlainVAE(WINDOW).fit(stack, epochs=30)
    plain_latent = plain.encode(stack)
    invariant = RVAE(WINDOW).fit(stack, epochs=10, progress=False)
    invariant_latent = invariant.encode(stack).latent
    for wave in (np.cos(angle), np.sin(angle)):
        assert r_squared(plain_latent, wave) > 0.9
        assert r_squared(invariant_latent, wave) < 0.1


def test_plain_reconstruction_is_in_input_units_and_leaves_the_corners_out():
    stack, _ = turned_stack(400)
    stack = 50 + 20 * stack
    model = PlainVAE(WINDOW).fit(stack, epochs=40)
    latent = model.encode(stack)
    drawn = model.decode(latent)
    assert drawn.shape == stack.shape
    mask = disk_mask(WINDOW)
    assert np.isnan(drawn[:, ~mask]).all()
    inside = stack[:, mask]
    residual = inside - drawn[:, mask]
    assert residual.var() < 0.6 * inside.var()  # noise alone is 0.4 or so of the variance
    one = model.decode(latent[0])
    assert one.shape == (1, WINDOW, WINDOW)


# --------------------------------------------------------------- coordinate VAE


def test_coordinate_decoder_turns_counter_clockwise():
    stack, _ = one_armed_stack(50)
    model = CoordinateVAE(SMALL).fit(stack, epochs=4)
    latent = np.array([[0.3, -1.0], [0.0, 2.0]])
    at_rest = model.decode(latent)
    assert np.isfinite(at_rest).all()
    assert at_rest.std() > 1e-3
    turned = model.decode(latent, np.pi / 2)
    expected = np.rot90(at_rest, axes=(1, 2))
    np.testing.assert_allclose(turned, expected, atol=1e-5)
    angles = np.array([0.0, np.pi])
    first, second = model.decode(latent, angles)
    upside_down = np.rot90(at_rest[1], 2)
    np.testing.assert_allclose(first, at_rest[0], atol=1e-6)
    np.testing.assert_allclose(second, upside_down, atol=1e-5)


def test_coordinate_vae_finds_the_angle_of_an_easy_motif():
    stack, angle = one_armed_stack(200)
    model = CoordinateVAE(SMALL).fit(stack, epochs=25)
    found, latent = model.encode(stack)
    assert found.shape == (200,)
    assert latent.shape == (200, 2)
    assert np.abs(found).max() <= np.pi
    aligned = align_gauge(found, angle)
    error = fold_angles(aligned - angle, 1)
    typical = np.median(np.abs(error))
    assert typical < np.deg2rad(15)


def test_prior_on_the_angle_is_paid_for():
    stack, _ = one_armed_stack(200)
    spread = {}
    for prior_sd in (np.pi, 0.01):
        model = CoordinateVAE(SMALL, angle_prior_sd=prior_sd)
        model.fit(stack, epochs=6)
        angle, _ = model.encode(stack)
        spread[prior_sd] = angle.std()
    assert spread[0.01] < 0.05
    assert spread[np.pi] > 0.05
    with pytest.raises(ValueError, match="angle_prior_sd=0"):
        CoordinateVAE(SMALL, angle_prior_sd=0)


# ------------------------------------------------------------------------- both


@pytest.mark.parametrize("model", MODELS)
def test_history_and_seed(model):
    stack, _ = one_armed_stack(60)
    torch.manual_seed(1)
    one = model(SMALL, seed=4).fit(stack, epochs=3)
    same = model(SMALL, seed=4).fit(stack, epochs=3)
    other = model(SMALL, seed=5).fit(stack, epochs=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert after == torch.rand(1)
    assert one.history == same.history
    assert one.history != other.history
    assert [row["epoch"] for row in one.history] == [1, 2, 3]
    last = one.history[-1]
    assert last["loss"] == pytest.approx(last["misfit"] + last["kl"])
    assert last["loss"] < one.history[0]["loss"]
    told = []
    one.fit(stack, epochs=3, watch=told.append)
    assert one.history == same.history  # starts anew
    assert told == one.history


@pytest.mark.parametrize("model", MODELS)
def test_training_stops_where_watch_says_so(model):
    stack, _ = one_armed_stack(60)
    early = model(SMALL, seed=1)
    early.fit(
        stack,
        epochs=3,
        watch=lambda row: row["epoch"] == 2,
    )
    assert len(early.history) == 2


@pytest.mark.parametrize("model", MODELS)
def test_gain_and_offset_do_not_matter(model):
    stack, _ = one_armed_stack(60)
    brighter = 3.7 * stack - 10
    here = model(SMALL).fit(stack, epochs=2)
    there = model(SMALL).fit(brighter, epochs=2)
    loss_here = here.history[-1]["loss"]
    loss_there = there.history[-1]["loss"]
    assert loss_here == pytest.approx(loss_there, rel=1e-3)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (np.zeros((0, WINDOW, WINDOW)), "shape"),
        (np.zeros((WINDOW, WINDOW)), "shape"),
        (np.zeros((50, WINDOW, WINDOW - 1)), "cut_subimages"),
        (np.full((50, WINDOW, WINDOW), 7.0), "all pixels are 7"),
        (np.full((50, WINDOW, WINDOW), np.nan), "NaN"),
    ],
)
def test_refuses_a_stack(stack, message):
    for model in MODELS:
        with pytest.raises(ValueError, match=message):
            model(WINDOW).fit(stack, epochs=1)
    with pytest.raises(ValueError, match=message):
        principal_components(stack, 1)


@pytest.mark.parametrize("model", MODELS)
def test_wrong_numbers(model):
    brightness = np.linspace(1, 2, 20)
    stack = motif(WINDOW) * brightness[:, None, None]
    for epochs in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"epochs={epochs}"):
            model(WINDOW).fit(stack, epochs=epochs)
    with pytest.raises(ValueError, match="latent_dim=0"):
        model(WINDOW, latent_dim=0)
    with pytest.raises(ValueError, match="window_px=1"):
        model(1)
    untrained = model(WINDOW)
    with pytest.raises(RuntimeError, match="fit"):
        untrained.encode(stack)
    with pytest.raises(RuntimeError, match="fit"):
        untrained.decode([[0, 0]])
    trained = model(WINDOW).fit(stack, epochs=1)
    with pytest.raises(ValueError, match="latent_dim=2"):
        trained.decode([[0, 0, 0]])


def test_corners_matter_to_the_coordinate_vae_alone():
    stack, _ = turned_stack(20)
    stack[:, 0, 0] = np.nan
    PlainVAE(WINDOW).fit(stack, epochs=1)
    with pytest.raises(ValueError, match="NaN"):
        CoordinateVAE(WINDOW).fit(stack, epochs=1)
