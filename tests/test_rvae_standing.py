"""How a sub-image of a symmetric kind stands does not depend on chance."""

import numpy as np
import pytest
import torch
from test_rvae_kinds import WINDOW
from test_subimages_harmonics import motif

from helpers import find_kinds
from helpers.results.angles import align_gauge, fold_angles
from helpers.rvae.standing import breaking_pattern
from helpers.rvae.turns import Turns
from helpers.subimages.cut import pixel_offsets
from helpers.subimages.harmonics import DiskHarmonics


def marked(count: int, fold: int, *, brightest: float = 0.4, noise: float = 0.3, seed: int = 0):
    """Noisy copies of a simulated motif of order `fold`, each with a spot beside the middle at one
    of its like places, of a brightness from 0 to `brightest`; where the spots stand (count,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, count)
    stack = np.stack([motif(WINDOW, a, fold) for a in angle])
    steps = rng.integers(0, fold, count)
    spot = angle + 2 * np.pi / fold * steps
    bright = brightest * rng.uniform(size=count)
    offset = pixel_offsets(WINDOW)
    y, x = np.meshgrid(-offset, offset, indexing="ij")
    for image, height, at in zip(stack, bright, spot, strict=True):
        away = np.hypot(x - 6 * np.cos(at), y - 6 * np.sin(at))
        image += height * np.exp(-(away**2) / 8)
    stack += noise * rng.normal(size=stack.shape)
    return stack.astype(np.float32), spot, bright


@pytest.mark.parametrize("fold", [4, 6])
def test_what_breaks_the_symmetry_points_one_way_for_every_seed(fold):
    stack, spot, bright = marked(900, fold, seed=fold)
    for seed in range(3):
        kinds = find_kinds(stack, seed=seed)
        assert kinds.order.tolist() == [fold]
        is_bright = bright > 0.2
        off = kinds.turn[is_bright] - spot[is_bright]
        off = align_gauge(off, 0.0)
        off = fold_angles(off, 1)
        assert np.mean(np.abs(off) < 0.35) > 0.9


def upright(fold: int, **options) -> tuple[torch.Tensor, Turns]:
    """Coefficients of such sub-images, each standing by one of its like turns."""
    stack, spot, _ = marked(900, fold, **options)
    basis = DiskHarmonics.build(WINDOW)
    c = basis.project(stack)
    c = basis.rotate(c, -spot)
    rng = np.random.default_rng(1)
    steps = rng.integers(0, fold, len(c))
    c = basis.rotate(c, 2 * np.pi / fold * steps)
    return torch.as_tensor(c), Turns(basis)


@pytest.mark.parametrize("fold", [2, 6])
def test_the_pattern_is_the_same_whatever_the_members_were_dealt_out_by(fold):
    c, turns = upright(fold, seed=1)
    one = breaking_pattern(c, turns, fold)
    rng = np.random.default_rng(2)
    steps = torch.as_tensor(rng.integers(0, fold, len(c)))
    dealt_anew = turns.rotate(c, 2 * np.pi / fold * steps)
    other = breaking_pattern(dealt_anew, turns, fold)

    every_turn = 2 * np.pi / fold * torch.arange(fold)
    like = turns.rotate(other.repeat(fold, 1), every_turn)
    apart = (like - one).norm(dim=1)
    assert apart.min() < 0.02 * one.norm()


def test_where_nothing_breaks_the_symmetry_there_is_no_pattern():
    c, turns = upright(4, brightest=0, seed=3)
    pattern = breaking_pattern(c, turns, 4)
    noise = 0.3 * np.sqrt(len(pattern))  # the length of the noise of one sub-image
    assert pattern.norm() < 0.05 * noise
    assert torch.isfinite(pattern).all()


def test_few_members_and_equal_ones_have_a_pattern_too():
    _, turns = upright(2, seed=4)
    numbers = len(turns.order) + turns.pairs
    c = torch.ones(3, numbers)
    for members in (c[:1], c, 0 * c):
        pattern = breaking_pattern(members, turns, 2)
        assert torch.isfinite(pattern).all()
