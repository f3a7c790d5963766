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
    noise = NOISE * np.random.default_rng(0).normal(size=clean.shape)
    return (clean + noise).astype(np.float32), angle


def one_armed_stack(n, window_px=SMALL, noise=0.05, seed=0):
    """`n` noisy copies of a spot beside the centre of a small window, each at its angle (n,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n)
    offset = pixel_offsets(window_px)
    row = offset[:, None] + 2.5 * np.sin(angle)[:, None, None]
    col = offset - 2.5 * np.cos(angle)[:, None, None]
    return np.exp(-(row**2 + col**2) / 4) + noise * rng.normal(size=(n, *[window_px] * 2)), angle


# ------------------------------------------------------------ principal components


def test_leading_components_are_one_pattern_and_its_turned_copy(turned):
    stack, angle = turned
    basis = DiskHarmonics.build(WINDOW)
    _, components, _, share = principal_components(stack, 2)
    c = basis.project(components)
    power = [(c[:, basis.order == m] ** 2).sum(axis=1) for m in range(basis.order.max() + 1)]
    m = int(np.argmax(np.sum(power, axis=1)))
    assert m > 0 and (power[m] / np.sum(power, axis=0)).min() > 0.95
    quarter = basis.rotate(c[:1], np.pi / (2 * m))[0]  # of a period: a cosine becomes a sine
    assert abs(quarter @ c[1]) > 0.98 * np.linalg.norm(quarter) * np.linalg.norm(c[1])
    assert share[0] == pytest.approx(share[1], rel=0.1)


def test_their_scores_lie_on_a_ring_whose_angle_is_m_times_the_true_one(turned):
    stack, angle = turned
    basis = DiskHarmonics.build(WINDOW)
    _, components, scores, _ = principal_components(stack, 2)
    c = basis.project(components)[0]
    m = int(basis.order[np.argmax(np.abs(c))])
    radius = np.hypot(*scores.T)
    assert radius.std() < 0.1 * radius.mean()
    around = np.arctan2(*scores.T[::-1])
    errors = [
        fold_angles(align_gauge(s * around, m * angle) - m * angle, 1) / m
        for s in (1, -1)  # which of the two comes first is chance
    ]
    assert min(np.median(np.abs(e)) for e in errors) < np.deg2rad(5)


def test_components_are_those_of_the_covariance(turned):
    """Another way to the same: eigenvectors of the covariance matrix."""
    stack, _ = turned
    mean, components, scores, share = principal_components(stack, 6)
    inside = stack[:, disk_mask(WINDOW)]
    values, vectors = np.linalg.eigh(np.cov(inside, rowvar=False))
    np.testing.assert_allclose(share, values[::-1][:6] / values.sum(), rtol=1e-3)
    np.testing.assert_allclose(mean[disk_mask(WINDOW)], inside.mean(axis=0), atol=1e-5)
    flat = components[:, disk_mask(WINDOW)]
    np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=1e-4)
    np.testing.assert_allclose(scores, (inside - inside.mean(axis=0)) @ flat.T, atol=1e-3)
    assert np.abs(np.diag(flat[:2] @ vectors[:, [-1, -2]])).min() > 0.99
    assert np.isnan(components[:, 0, 0]).all() and np.isnan(mean[0, 0])


@pytest.mark.parametrize("count", [0, 41, 1.5])
def test_components_that_there_are_not(turned, count):
    with pytest.raises(ValueError, match=f"count={count}"):
        principal_components(turned[0][:40], count)


# -------------------------------------------------------------------- plain VAE


def test_plain_latents_hold_the_angle_and_those_of_the_rvae_do_not(turned):
    stack, angle = turned
    plain = PlainVAE(WINDOW).fit(stack, epochs=30).encode(stack)
    invariant = RVAE(WINDOW).fit(stack, epochs=10, progress=False).encode(stack).latent
    for wave in (np.cos(angle), np.sin(angle)):
        assert r_squared(plain, wave) > 0.9
        assert r_squared(invariant, wave) < 0.1


def test_plain_reconstruction_is_in_input_units_and_leaves_the_corners_out():
    stack, _ = turned_stack(400)
    stack = 50 + 20 * stack
    model = PlainVAE(WINDOW).fit(stack, epochs=40)
    drawn = model.decode(model.encode(stack))
    mask = disk_mask(WINDOW)
    assert np.isnan(drawn[:, ~mask]).all() and drawn.shape == stack.shape
    left = (stack - drawn)[:, mask].var() / stack[:, mask].var()
    assert left < 0.6  # noise alone is 0.4 or so of the variance
    assert model.decode(model.encode(stack)[0]).shape == (1, WINDOW, WINDOW)


# --------------------------------------------------------------- coordinate VAE


def test_coordinate_decoder_turns_counter_clockwise():
    stack, _ = one_armed_stack(50)
    model = CoordinateVAE(SMALL).fit(stack, epochs=4)
    latent = np.array([[0.3, -1.0], [0.0, 2.0]])
    at_rest, turned = model.decode(latent), model.decode(latent, np.pi / 2)
    assert np.isfinite(at_rest).all() and at_rest.std() > 1e-3
    np.testing.assert_allclose(turned, np.rot90(at_rest, axes=(1, 2)), atol=1e-5)
    each = model.decode(latent, np.array([0.0, np.pi]))
    np.testing.assert_allclose(each[0], at_rest[0], atol=1e-6)
    np.testing.assert_allclose(each[1], np.rot90(at_rest[1], 2), atol=1e-5)


def test_coordinate_vae_finds_the_angle_of_an_easy_motif():
    stack, angle = one_armed_stack(200)
    found, latent = CoordinateVAE(SMALL).fit(stack, epochs=25).encode(stack)
    assert found.shape == (200,) and latent.shape == (200, 2)
    assert np.abs(found).max() <= np.pi
    error = fold_angles(align_gauge(found, angle) - angle, 1)
    assert np.median(np.abs(error)) < np.deg2rad(15)


def test_prior_on_the_angle_is_paid_for():
    stack, _ = one_armed_stack(200)
    wide, narrow = (
        CoordinateVAE(SMALL, angle_prior_sd=sd).fit(stack, epochs=6).encode(stack)[0].std()
        for sd in (np.pi, 0.01)
    )
    assert narrow < 0.05 < wide
    with pytest.raises(ValueError, match="angle_prior_sd=0"):
        CoordinateVAE(SMALL, angle_prior_sd=0)


# ------------------------------------------------------------------------- both


@pytest.mark.parametrize("model", MODELS)
def test_history_and_seed(model):
    stack, _ = one_armed_stack(60)
    torch.manual_seed(1)
    one, same, other = (model(SMALL, seed=s).fit(stack, epochs=3) for s in (4, 4, 5))
    after = torch.rand(1)
    torch.manual_seed(1)
    assert after == torch.rand(1)
    assert one.history == same.history != other.history
    assert [row["epoch"] for row in one.history] == [1, 2, 3]
    last = one.history[-1]
    assert last["loss"] == pytest.approx(last["misfit"] + last["kl"])
    assert last["loss"] < one.history[0]["loss"]
    told = []
    assert one.fit(stack, epochs=3, watch=told.append).history == same.history  # starts anew
    assert told == one.history
    early = model(SMALL, seed=1).fit(stack, epochs=3, watch=lambda row: row["epoch"] == 2)
    assert len(early.history) == 2


@pytest.mark.parametrize("model", MODELS)
def test_gain_and_offset_do_not_matter(model):
    stack, _ = one_armed_stack(60)
    here, there = (
        model(SMALL).fit(s, epochs=2).history[-1]["loss"] for s in (stack, 3.7 * stack - 10)
    )
    assert here == pytest.approx(there, rel=1e-3)


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
    stack = motif(WINDOW)[None] * np.linspace(1, 2, 20)[:, None, None]
    for epochs in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"epochs={epochs}"):
            model(WINDOW).fit(stack, epochs=epochs)
    with pytest.raises(ValueError, match="latent_dim=0"):
        model(WINDOW, latent_dim=0)
    with pytest.raises(ValueError, match="window_px=1"):
        model(1)
    with pytest.raises(RuntimeError, match="fit"):
        model(WINDOW).encode(stack)
    with pytest.raises(RuntimeError, match="fit"):
        model(WINDOW).decode([[0, 0]])
    with pytest.raises(ValueError, match="latent_dim=2"):
        model(WINDOW).fit(stack, epochs=1).decode([[0, 0, 0]])


def test_corners_matter_to_the_coordinate_vae_alone():
    stack, _ = turned_stack(20)
    stack[:, 0, 0] = np.nan
    PlainVAE(WINDOW).fit(stack, epochs=1)
    with pytest.raises(ValueError, match="NaN"):
        CoordinateVAE(WINDOW).fit(stack, epochs=1)
