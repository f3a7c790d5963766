"""Folding, gauge and symmetry, on motifs whose answer is known by hand."""

import numpy as np
import pytest
from test_rvae_model import WINDOW, turned_stack
from test_subimages_harmonics import motif

from helpers import RVAE
from helpers.results.angles import (
    align_gauge,
    circular_mean,
    fold_angles,
    lattice_direction,
    posterior_order,
    rotational_order,
    symmetry_scores,
)


def test_folding_by_hand():
    degrees = np.array([0, 44, 46, 90, 180, -91, 360])
    folded = np.rad2deg(fold_angles(np.deg2rad(degrees), 4))
    np.testing.assert_allclose(folded, [0, 44, -44, 0, 0, -1, 0], atol=1e-9)


def test_order_one_wraps_and_keeps_pi():
    np.testing.assert_allclose(fold_angles([np.pi, -np.pi, 3 * np.pi], 1), np.pi)
    assert fold_angles(0.3, 1) == pytest.approx(0.3)


@pytest.mark.parametrize("order", [0, -2, 1.5])
def test_order_must_be_a_count(order):
    with pytest.raises(ValueError, match="order="):
        fold_angles([0.0], order)


def test_mean_does_not_break_at_the_seam():
    assert abs(circular_mean([np.pi - 0.1, -np.pi + 0.1])) == pytest.approx(np.pi)
    assert circular_mean(np.deg2rad([1, 91, 181]), order=4) == pytest.approx(np.deg2rad(1))


def test_gauge_takes_out_one_constant_and_nothing_else():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-np.pi, np.pi, 500)
    measured = truth + 2.5 + 0.01 * rng.normal(size=500)
    aligned = align_gauge(measured, truth)
    off = fold_angles(aligned - truth, 1)
    assert abs(circular_mean(off)) < 1e-12
    assert off.std() == pytest.approx(0.01, rel=0.15)


def test_gauge_modulo_a_symmetry_and_against_one_direction():
    truth = np.linspace(0, 1, 50)
    flipped = truth + 0.4 + np.pi * (np.arange(50) % 2)
    off = fold_angles(align_gauge(flipped, truth, order=2) - truth, 2)
    np.testing.assert_allclose(off, 0, atol=1e-9)
    assert circular_mean(align_gauge(truth, 0.2)) == pytest.approx(0.2)


def test_gauge_refuses_other_shapes():
    with pytest.raises(ValueError, match="reference"):
        align_gauge(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="angle"):
        align_gauge(np.zeros(0), 0.0)


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_order_of_a_motif(fold, turn):
    assert rotational_order(motif(40, turn, fold)) == fold


def test_a_round_motif_has_no_angle_at_all():
    assert rotational_order(motif(41, 0, 0)) == 0


def test_symmetry_scores_name_the_symmetry_at_any_turn():
    stack = np.stack([motif(40, turn, fold) for fold in (2, 3, 4, 6) for turn in (0, 0.7)])
    scores = symmetry_scores(stack)
    expected = np.repeat([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]], 2, axis=0)
    assert (scores[expected == 1] > 0.98).all()
    assert (scores[expected == 0] < 0.75).all()


def test_noise_has_no_symmetry():
    noise = np.random.default_rng(0).normal(size=(300, 40, 40))
    scores = symmetry_scores(noise).mean(axis=0)
    assert (scores < 0.6).all() and scores[3] < 0.25


@pytest.mark.parametrize("shape", [(40, 40), (0, 40, 40), (3, 40, 41)])
def test_scores_refuse_other_shapes(shape):
    with pytest.raises(ValueError, match="sub-images"):
        symmetry_scores(np.zeros(shape))


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_order_from_the_posterior_and_from_the_decoded_motif(fold):
    stack, _ = turned_stack(400, fold, seed=fold)
    model = RVAE(WINDOW).fit(stack, progress=False)
    encoding = model.encode(stack)
    assert posterior_order(encoding) == fold
    drawn = model.decode(np.median(encoding.latent, axis=0)[None])[0]
    assert rotational_order(drawn) == fold


@pytest.mark.filterwarnings("ignore:a turn explains:UserWarning")
def test_noise_has_no_order():
    noise = np.random.default_rng(0).normal(size=(500, 20, 20)).astype(np.float32)
    assert posterior_order(RVAE(20).fit(noise, epochs=10, progress=False).encode(noise)) == 0


@pytest.mark.parametrize("turn", [0.0, 0.3, -0.7])
def test_direction_of_a_square_net(turn):
    col, up = np.stack(np.meshgrid(*[np.arange(12.0) * 9] * 2), -1).reshape(-1, 2).T
    place = (col + 1j * up) * np.exp(1j * turn)
    positions = np.stack([-place.imag, place.real], axis=1)  # rows run down
    off = fold_angles(lattice_direction(positions) - turn, 4)
    assert np.median(np.abs(off)) < 1e-6
    turned = align_gauge(np.full(144, 2.0), lattice_direction(positions), order=4)
    assert fold_angles(turned[0] - turn, 4) == pytest.approx(0, abs=0.05)
    with pytest.raises(ValueError, match="count=4"):
        lattice_direction(positions[:3])


@pytest.mark.parametrize("order, count", [(2, 2), (4, 4)])
def test_bonds_at_the_border_lead_nobody_astray(order, count):
    turn, cell = 0.14, np.array([4.152, 3.904])  # as in PbTiO3: the next nearest is hardly farther
    grid = np.stack(np.mgrid[:12, :12], axis=-1).reshape(-1, 2) * cell
    positions = grid @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    off = fold_angles(lattice_direction(positions, order=order, count=count) - turn, order)
    assert np.abs(off).max() < 1e-6
