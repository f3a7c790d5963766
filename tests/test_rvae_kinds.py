"""Kinds of motifs: how many there are, and modulo what the turn of each is known."""

import numpy as np
import pytest
import torch
from test_subimages_harmonics import motif

from helpers import RVAE, cut_subimages, find_kinds, locate_columns
from helpers.results.angles import align_gauge, fold_angles
from helpers.rvae.mixture import Mixture, Turns, _dealt_better, best_turns
from helpers.rvae.orders import share_agreed
from helpers.rvae.posterior import AngleSeries
from helpers.subimages.cut import pixel_offsets
from helpers.subimages.harmonics import DiskHarmonics

WINDOW = 25


def turned(count: int, fold: int, *, noise: float = 0.15, seed: int = 0):
    """Noisy copies of one simulated motif, each at its own angle (count,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, count)
    clean = np.stack([motif(WINDOW, a, fold) for a in angle])
    return (clean + noise * rng.normal(size=clean.shape)).astype(np.float32), angle


def square_lattice(counts: float, turn_deg: float, shear: float = 0.0, second: float = 1.0):
    """A simulated square net (400, 400) of columns 16 px apart; every other one is `second` as
    bright, and one direction is sheared."""
    turn = np.exp(1j * np.radians(turn_deg))
    i, j = np.mgrid[-40:40, -40:40]
    place = (i * turn + j * turn * np.exp(1j * (np.pi / 2 + shear))) * 16.28 + 200 * (1 + 1j)
    height = np.where((i + j) % 2, second, 1.0)
    row, col = np.mgrid[:400, :400]
    mean = np.full((400, 400), 0.3 * counts)
    for at, peak in zip(place.ravel(), height.ravel(), strict=True):
        if -12 < at.real < 412 and -12 < at.imag < 412:
            rows = slice(max(0, int(at.imag) - 12), max(0, int(at.imag) + 14))
            cols = slice(max(0, int(at.real) - 12), max(0, int(at.real) + 14))
            squared = (row[rows, cols] - at.imag) ** 2 + (col[rows, cols] - at.real) ** 2
            mean[rows, cols] += counts * peak * np.exp(-squared / 18)
    return np.random.default_rng(int(counts)).poisson(mean).astype(np.float32)


@pytest.fixture(scope="module")
def two():
    """300 sub-images of a motif of order 1, 150 of one of order 3, and their kinds."""
    one, angle = turned(300, 1, seed=1)
    three, _ = turned(150, 3, seed=2)
    stack = 50 + 20 * np.concatenate([one, three])
    return stack, angle, np.repeat([0, 1], [300, 150]), find_kinds(stack)


def test_two_motifs_at_any_turn_are_two_kinds(two):
    _, angle, kind, kinds = two
    assert len(kinds) == 2 and kinds.names == ["kind 1", "kind 2"]
    assert (kinds.kind == kind).mean() > 0.99
    assert kinds.order.tolist() == [1, 3]
    np.testing.assert_allclose(kinds.share, [2 / 3, 1 / 3], atol=0.01)
    np.testing.assert_allclose(kinds.probability.sum(axis=1), 1)
    off = fold_angles(align_gauge(kinds.turn[:300], angle) - angle, 1)
    assert np.median(np.abs(off)) < np.radians(3)
    assert "angle known modulo 120°" in str(kinds)
    assert kinds.likeness[0, 1] < 0.9 < kinds.likeness[0, 0]
    assert 50 < np.nanmax(kinds.motifs) < 90 and np.isnan(kinds.motifs[:, 0, 0]).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_kinds_are_the_same_for_each_seed(two, seed):
    stack, _, kind, kinds = two
    other = find_kinds(stack, seed=seed)
    assert (other.kind == kinds.kind).mean() > 0.99
    assert other.order.tolist() == kinds.order.tolist()


def test_kinds_are_told_in_another_image(two):
    _, _, _, kinds = two
    one, _ = turned(40, 1, seed=8)
    three, _ = turned(60, 3, seed=9)
    there = kinds.apply(3 * np.concatenate([one, three]) - 7)  # another gain and offset
    assert (there.kind == np.repeat([0, 1], [40, 60])).mean() > 0.97
    with pytest.raises(ValueError, match="shape"):
        kinds.apply(one[:, 1:, 1:])


def test_pieces_that_a_gain_makes_are_one_kind():
    """As a wedge of thickness does: the brightness of a motif runs through a factor of three."""
    stack, _ = turned(900, 1, noise=0.05)
    gain = np.linspace(0.5, 1.5, 900).astype(np.float32)
    kinds = find_kinds(stack * gain[:, None, None])
    assert len(kinds) == 1 and len(kinds.pieces.kind) > 1 and kinds.order[0] == 1


@pytest.mark.parametrize("seed", range(5))
def test_one_motif_that_changes_gradually_is_one_kind(seed):
    """Four columns, each as bright as it likes: few sub-images fill the way from motif to motif."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(3) / 3
    at = np.array([(0, 0), *(9 * np.stack([np.sin(angles), np.cos(angles)], axis=1))])
    offset = pixel_offsets(WINDOW)
    squared = (offset[:, None] - at[:, 0, None, None]) ** 2 + (offset - at[:, 1, None, None]) ** 2
    spots = np.exp(-squared / 14)

    def stack_of(heights: np.ndarray) -> np.ndarray:
        clean = np.tensordot(heights, spots, 1)
        return (clean + 0.05 * rng.normal(size=clean.shape)).astype(np.float32)

    assert len(find_kinds(stack_of(rng.uniform(0, 1, (240, 4))), seed=seed)) == 1
    either = np.where(rng.integers(0, 2, (240, 1)), [1, 0.3, 0.3, 0.3], [0.3, 1, 1, 1])
    assert len(find_kinds(stack_of(either * rng.uniform(0.9, 1.1, (240, 4))), seed=seed)) == 2


def test_a_stack_may_be_given_as_coefficients(two):
    stack, _, _, kinds = two
    basis = kinds.pieces.basis
    again = find_kinds(basis.project(stack), basis=basis)
    np.testing.assert_array_equal(again.kind, kinds.kind)


@pytest.mark.parametrize(("count", "window_px"), [(100, 24), (1000, 24), (300, 40)])
def test_noise_is_no_kind(count, window_px):
    noise = np.random.default_rng(count).normal(size=(count, window_px, window_px))
    kinds = find_kinds(noise)
    assert len(kinds) == 0 and (kinds.kind == -1).all() and kinds.probability.shape == (count, 0)
    assert "cannot be told from noise" in str(kinds)


def test_some_are_named_and_the_rest_follow(two):
    stack, _, kind, _ = two
    known = np.full(len(stack), "", dtype=object)
    known[:6], known[300:306] = "arrow", "star"
    kinds = find_kinds(stack, known=known)
    assert sorted(kinds.names) == ["arrow", "star"]
    found = np.array(kinds.names)[kinds.kind]
    assert (found == np.where(kind == 0, "arrow", "star")).mean() > 0.99


@pytest.mark.parametrize(
    ("stack", "known", "message"),
    [
        (np.zeros((3, 4)), None, "shape"),
        (np.zeros((50, WINDOW, WINDOW)), None, "constant"),
        (np.full((50, WINDOW, WINDOW), np.nan), None, "NaN"),
        (np.random.default_rng(0).normal(size=(15, WINDOW, WINDOW)), None, "at least 16"),
        (np.random.default_rng(0).normal(size=(20, WINDOW, WINDOW)), ["a"] * 19, "19 names for 20"),
        (np.random.default_rng(0).normal(size=(20, WINDOW, WINDOW)), [""] * 20, "names are needed"),
    ],
)
def test_refused(stack, known, message):
    with pytest.raises(ValueError, match=message):
        find_kinds(stack, known=known)


def test_the_fewest_sub_images():
    stack, _ = turned(16, 1, noise=0.02)
    assert len(find_kinds(stack)) == 1


# ------------------------------------------------------------- modulo what a turn is known


@pytest.mark.parametrize("turn_deg", [0, 10.6, 45])
@pytest.mark.parametrize("counts", [20, 200, 2000])
def test_a_square_net_is_known_modulo_a_quarter_turn(counts, turn_deg):
    image = square_lattice(counts, turn_deg)
    stack, _ = cut_subimages(image, locate_columns(image), 40)
    kinds = find_kinds(stack)
    assert len(kinds) == 1 and kinds.order.tolist() == [4]


def test_a_sheared_net_of_two_sites_is_known_modulo_a_half_turn():
    image = square_lattice(200, 10.6, shear=np.radians(2), second=0.5)
    stack, _ = cut_subimages(image, locate_columns(image), 40)
    kinds = find_kinds(stack)
    assert len(kinds) == 2 and kinds.order.tolist() == [2, 2]


def test_a_window_on_two_grains_is_not_sure():
    """No motif fits it, and what is left is no noise: the posterior is wider than noise tells."""
    image = square_lattice(200, 5)
    image[:, 200:] = square_lattice(200, 35)[:, 200:]
    columns = locate_columns(image)
    stack, kept = cut_subimages(image, columns.positions, 40)
    encoding = RVAE(40).fit(stack, progress=False).encode(stack)
    away = np.abs(columns.positions[kept, 1] - 200)
    sd = encoding.folded_sd(4)
    assert np.median(sd[away < 8]) > 3 * np.median(sd[away > 28])
    assert np.median(sd[away > 28]) < np.radians(1)


def test_encoding_tells_what_it_knows(two):
    stack, _, kind, kinds = two
    model = RVAE(WINDOW).fit(stack, kinds=kinds, progress=False)
    encoding = model.encode(stack)
    assert (encoding.kind == kind).mean() > 0.99
    np.testing.assert_array_equal(encoding.order, kinds.order[encoding.kind])
    three = encoding.kind == 1
    thirds = np.sort(encoding.mode_probability[three], axis=1)[:, -3:]
    assert np.median(thirds.sum(axis=1)) > 0.99 and np.median(thirds[:, 0]) > 0.02
    assert (encoding.folded_sd(3)[three] < 0.1).mean() > 0.9
    assert np.median(encoding.angle_sd[three]) > 1
    assert encoding.kind_probability.shape == (450, 2)


def test_no_two_ways_to_stand_are_at_one_turn(two):
    """Kinds that are likeliest at one and the same turn are one way, and count once."""
    stack, _, _, kinds = two
    pieces = kinds.pieces
    c = torch.as_tensor(pieces.basis.project(stack - stack.mean())).float() / stack.std()
    ways = pieces.ways(c, 3).numpy()
    apart = np.abs(fold_angles(ways[:, :, None] - ways[:, None], 1)) + 10 * np.eye(3)
    assert apart.min() > np.radians(5)


def test_frames_that_show_one_kind_alone_leave_the_latents_of_all(two):
    stack, _, kind, kinds = two

    class Drawn:
        """As a store of frames: of all that is there and of kind 2 alone, by turns."""

        basis = kinds.pieces.basis

        def sample(self, seed):
            return self.basis.project(stack if seed[1] % 2 == 0 else stack[kind == 1])

    model = RVAE(WINDOW).fit(Drawn(), epochs=20, progress=False)
    latent = model.encode(stack).latent[:, 0]
    assert abs(np.median(latent[kind == 0]) - np.median(latent[kind == 1])) > 1


def test_kinds_are_kept_with_the_model(two, tmp_path):
    stack, _, kind, kinds = two
    model = RVAE(WINDOW).fit(stack, epochs=2, kinds=kinds, progress=False)
    again = RVAE.load(model.save(tmp_path / "model.safetensors")).kinds
    assert again.names == kinds.names and str(again) == str(kinds)
    np.testing.assert_array_equal(again.motifs, kinds.motifs)
    np.testing.assert_array_equal(again.apply(stack).kind, kinds.apply(stack).kind)
    with pytest.raises(ValueError, match="windows of 25 px"):
        RVAE(WINDOW + 2).fit(stack, kinds=kinds, progress=False)


# ------------------------------------------------------------------------------ the parts


def test_overlaps_at_all_turns_are_those_of_the_series():
    """Two ways to the same Fourier series: laid out by order here, as cosines and sines there."""
    basis = DiskHarmonics.build(WINDOW)
    turns, series = Turns(basis), AngleSeries(basis)
    c = torch.randn(5, len(basis), generator=torch.Generator().manual_seed(0))
    laid = turns.lay(c)
    torch.testing.assert_close(turns.gather(laid), c)
    on_grid = turns.overlaps(laid, laid[:, :2])
    waves = series.of(c, c[:1].expand_as(c))
    there = torch.stack([series.at(waves, angle.expand(5))[0] for angle in turns.grid], dim=1)
    torch.testing.assert_close(on_grid[:, 0], there, rtol=1e-3, atol=1e-3)
    angle = torch.linspace(0, 3, 5)
    torch.testing.assert_close(turns.rotate(c, angle), series.rotate(c, angle), rtol=0, atol=1e-5)


def test_a_motif_that_serves_two_sites_is_split_where_two_serve_one():
    """No pass of EM leaves such an arrangement; it must not be where the search ends."""
    basis = DiskHarmonics.build(WINDOW, 6)
    c = [torch.as_tensor(basis.project(turned(200, fold, seed=fold)[0])) for fold in (1, 3, 4)]
    turns = Turns(basis)
    clean = [torch.as_tensor(basis.project(motif(WINDOW, 0.0, fold)[None])) for fold in (1, 3, 4)]
    motifs = torch.cat([clean[0], 0.99 * clean[0], (clean[1] + clean[2]) / 2]).float()
    every = torch.cat(c).float()
    share = torch.tensor([1 / 6, 1 / 6, 2 / 3]).log()
    bad = Mixture(turns, motifs, share, float((every - every.mean(0)).square().mean()) / 4)
    mended = best_turns(_dealt_better(bad, every, turns.lay(every)), every)[0].reshape(3, 200)
    most = [int(torch.bincount(row, minlength=3).argmax()) for row in mended]
    assert sorted(most) == [0, 1, 2]
    assert all((row == j).float().mean() > 0.95 for row, j in zip(mended, most, strict=True))


def test_agreement_is_counted_modulo_the_order_and_an_offset():
    rng = np.random.default_rng(0)
    apart = 0.7 + rng.integers(0, 4, 200) * np.pi / 2 + 0.01 * rng.normal(size=200)
    assert share_agreed(apart, 4) == 1
    assert share_agreed(apart, 2) < 0.7 and share_agreed(apart, 1) < 0.4
