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
    expected = [0, 44, -44, 0, 0, -1, 0]
    folded = fold_angles(np.deg2rad(degrees), 4)
    np.testing.assert_allclose(np.rad2deg(folded), expected, atol=1e-9)


def test_order_one_wraps_and_keeps_pi():
    half_turns = [np.pi, -np.pi, 3 * np.pi]
    wrapped = fold_angles(half_turns, 1)
    np.testing.assert_allclose(wrapped, np.pi)
    assert fold_angles(0.3, 1) == pytest.approx(0.3)


@pytest.mark.parametrize("order", [0, -2, 1.5])
def test_order_must_be_a_count(order):
    with pytest.raises(ValueError, match="order="):
        fold_angles([0.0], order)


def test_mean_does_not_break_at_the_seam():
    about_the_seam = [np.pi - 0.1, -np.pi + 0.1]
    mean = circular_mean(about_the_seam)
    assert abs(mean) == pytest.approx(np.pi)
    quarters = np.deg2rad([1, 91, 181])
    mean = circular_mean(quarters, order=4)
    assert np.rad2deg(mean) == pytest.approx(1)


def test_missing_angles_take_no_part_in_a_mean():
    angle = np.array([0.1, 3.0, 0.3, np.nan])
    masked = np.ma.masked_equal(angle, 3.0)
    assert circular_mean(masked) == pytest.approx(0.2)
    assert np.isnan(circular_mean(angle[3:]))
    np.testing.assert_allclose(fold_angles(masked, 1), [0.1, np.nan, 0.3, np.nan])
    aligned = align_gauge(masked, np.ma.masked_equal([1.1, 7.0, 9.0, 7.0], 9.0))
    np.testing.assert_allclose(aligned, [1.1, np.nan, 1.3, np.nan])


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
    aligned = align_gauge(flipped, truth, order=2)
    off = fold_angles(aligned - truth, 2)
    np.testing.assert_allclose(off, 0, atol=1e-9)
    along_one = align_gauge(truth, 0.2)
    assert circular_mean(along_one) == pytest.approx(0.2)


def test_gauge_refuses_other_shapes():
    angle = np.zeros(3)
    with pytest.raises(ValueError, match="reference"):
        align_gauge(angle, np.zeros(4))
    with pytest.raises(ValueError, match="angle"):
        align_gauge(angle[:0], 0.0)


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_order_of_a_motif(fold, turn):
    image = motif(40, turn, fold)
    assert rotational_order(image) == fold


def test_a_round_motif_has_no_angle_at_all():
    round_motif = motif(41, 0, 0)
    assert rotational_order(round_motif) == 0


def test_symmetry_scores_name_the_symmetry_at_any_turn():
    symmetries_of = {
        2: [True, False, False, False],
        3: [False, True, False, False],
        4: [True, False, True, False],
        6: [True, True, False, True],
    }
    for fold, has_symmetry in symmetries_of.items():
        has_symmetry = np.array(has_symmetry)
        at_rest = motif(40, 0, fold)
        turned = motif(40, 0.7, fold)
        scores = symmetry_scores(np.stack([at_rest, turned]))
        assert (scores[:, has_symmetry] > 0.98).all()
        assert (scores[:, ~has_symmetry] < 0.75).all()


def test_noise_has_no_symmetry():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(300, 40, 40))
    scores = symmetry_scores(noise)
    mean = scores.mean(axis=0)
    assert (mean < 0.6).all()
    assert mean[3] < 0.25


@pytest.mark.parametrize("shape", [(40, 40), (0, 40, 40), (3, 40, 41)])
def test_scores_refuse_other_shapes(shape):
    stack = np.zeros(shape)
    with pytest.raises(ValueError, match="sub-images"):
        symmetry_scores(stack)


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_order_from_the_posterior_and_from_the_decoded_motif(fold):
    stack, _ = turned_stack(400, fold, seed=fold)
    model = RVAE(WINDOW).fit(stack, progress=False)
    encoding = model.encode(stack)
    assert posterior_order(encoding) == fold
    typical = np.median(encoding.latent, axis=0)
    (drawn,) = model.decode(typical[None])
    assert rotational_order(drawn) == fold


@pytest.mark.filterwarnings("ignore:a turn explains:UserWarning")
def test_noise_has_no_order():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(500, 20, 20)).astype(np.float32)
    model = RVAE(20)
    model.fit(noise, epochs=10, progress=False)
    encoding = model.encode(noise)
    assert posterior_order(encoding) == 0


@pytest.mark.parametrize("turn", [0.0, 0.3, -0.7])
def test_direction_of_a_square_net(turn):
    steps = np.arange(12.0) * 9
    col, up = np.meshgrid(steps, steps)
    place = (col + 1j * up).ravel()
    place = place * np.exp(1j * turn)
    positions = np.stack([-place.imag, place.real], axis=1)  # rows run down
    direction = lattice_direction(positions)
    off = fold_angles(direction - turn, 4)
    assert np.median(np.abs(off)) < 1e-6
    angle = np.full(144, 2.0)
    aligned = align_gauge(angle, direction, order=4)
    off = fold_angles(aligned[0] - turn, 4)
    assert off == pytest.approx(0, abs=0.05)
    with pytest.raises(ValueError, match="count=4"):
        lattice_direction(positions[:3])


@pytest.mark.parametrize("order, count", [(2, 2), (4, 4)])
def test_bonds_at_the_border_lead_nobody_astray(order, count):
    turn = 0.14
    cell = np.array([4.152, 3.904])  # as in PbTiO3: the next nearest is hardly farther
    cells = np.stack(np.mgrid[:12, :12], axis=-1)
    grid = cells.reshape(-1, 2) * cell
    cos = np.cos(turn)
    sin = np.sin(turn)
    positions = grid @ [[cos, sin], [-sin, cos]]
    direction = lattice_direction(
        positions,
        order=order,
        count=count,
    )
    off = fold_angles(direction - turn, order)
    assert np.abs(off).max() < 1e-6
