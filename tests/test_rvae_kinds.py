"""Kinds of motifs: how many there are, and modulo what the turn of each is known."""

import numpy as np
import pytest
import torch
from hyperspy.signals import Signal2D
from test_subimages_harmonics import motif

from helpers import RVAE, cut_subimages, find_kinds, locate_columns
from helpers.results.angles import align_gauge, fold_angles
from helpers.rvae.fitting import _dealt_better
from helpers.rvae.mixture import Mixture, best_turns
from helpers.rvae.orders import share_agreed
from helpers.rvae.posterior import AngleSeries
from helpers.rvae.turns import Turns
from helpers.subimages.cut import pixel_offsets
from helpers.subimages.harmonics import DiskHarmonics

WINDOW = 25


def turned(count: int, fold: int, *, noise: float = 0.15, seed: int = 0):
    """Noisy copies of one simulated motif, each at its own angle (count,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, count)
    clean = np.stack([motif(WINDOW, a, fold) for a in angle])
    noisy = clean + noise * rng.normal(size=clean.shape)
    return noisy.astype(np.float32), angle


def square_lattice(counts: float, turn_deg: float, shear: float = 0.0, second: float = 1.0):
    """A simulated square net (400, 400) of columns 16 px apart; every other one is `second` as
    bright, and one direction is sheared."""
    turn = np.exp(1j * np.radians(turn_deg))
    i, j = np.mgrid[-40:40, -40:40]
    sheared = j * turn * np.exp(1j * (np.pi / 2 + shear))
    place = (i * turn + sheared) * 16.28 + 200 * (1 + 1j)
    height = np.where((i + j) % 2, second, 1.0)
    row, col = np.mgrid[:400, :400]
    mean = np.full((400, 400), 0.3 * counts)
    for at, peak in zip(place.ravel(), height.ravel(), strict=True):
        if -12 < at.real < 412 and -12 < at.imag < 412:
            rows = around(at.imag)
            cols = around(at.real)
            squared = (row[rows, cols] - at.imag) ** 2 + (col[rows, cols] - at.real) ** 2
            mean[rows, cols] += counts * peak * np.exp(-squared / 18)
    rng = np.random.default_rng(int(counts))
    image = rng.poisson(mean)
    return image.astype(np.float32)


def around(place: float) -> slice:
    """The pixels beside a place along one axis."""
    first = int(place) - 12
    end = int(place) + 14
    return slice(max(0, first), max(0, end))


@pytest.fixture(scope="module")
def two():
    """300 sub-images of a motif of order 1, 150 of one of order 3, and their kinds."""
    one, angle = turned(300, 1, seed=1)
    three, _ = turned(150, 3, seed=2)
    stack = 50 + 20 * np.concatenate([one, three])
    kind = np.repeat([0, 1], [300, 150])
    kinds = find_kinds(stack)
    return stack, angle, kind, kinds


def test_two_motifs_at_any_turn_are_two_kinds(two):
    _, angle, kind, kinds = two
    assert len(kinds) == 2
    assert kinds.names == ["kind 1", "kind 2"]
    assert (kinds.kind == kind).mean() > 0.99
    assert kinds.order.tolist() == [1, 3]
    np.testing.assert_allclose(kinds.share, [2 / 3, 1 / 3], atol=0.01)
    np.testing.assert_allclose(kinds.probability.sum(axis=1), 1)
    aligned = align_gauge(kinds.turn[:300], angle)
    off = fold_angles(aligned - angle, 1)
    assert np.median(np.abs(off)) < np.radians(3)
    assert "angle known modulo 120°" in str(kinds)
    assert kinds.likeness[0, 1] < 0.9 < kinds.likeness[0, 0]
    assert 50 < np.nanmax(kinds.motifs) < 90
    assert np.isnan(kinds.motifs[:, 0, 0]).all()


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
    stack = np.concatenate([one, three])
    there = kinds.apply(3 * stack - 7)  # another gain and offset
    kind = np.repeat([0, 1], [40, 60])
    assert (there.kind == kind).mean() > 0.97
    with pytest.raises(ValueError, match="shape"):
        kinds.apply(one[:, 1:, 1:])


def test_pieces_that_a_gain_makes_are_one_kind():
    """As a wedge of thickness does: the brightness of a motif runs through a factor of three."""
    stack, _ = turned(900, 1, noise=0.05)
    gain = np.linspace(0.5, 1.5, 900, dtype=np.float32)
    kinds = find_kinds(stack * gain[:, None, None])
    assert len(kinds) == 1
    assert len(kinds.pieces.kind) > 1
    assert kinds.order[0] == 1


@pytest.mark.parametrize("seed", range(5))
def test_one_motif_that_changes_gradually_is_one_kind(seed):
    """Four columns, each as bright as it likes: few sub-images fill the way from motif to motif."""
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(3) / 3
    row = np.append(0, 9 * np.sin(angles))
    column = np.append(0, 9 * np.cos(angles))
    offset = pixel_offsets(WINDOW)
    squared = (offset[:, None] - row[:, None, None]) ** 2 + (offset - column[:, None, None]) ** 2
    spots = np.exp(-squared / 14)

    def kinds_of(heights: np.ndarray):
        clean = np.tensordot(heights, spots, 1)
        noisy = clean + 0.05 * rng.normal(size=clean.shape)
        return find_kinds(noisy.astype(np.float32), seed=seed)

    gradual = rng.uniform(0, 1, (240, 4))
    assert len(kinds_of(gradual)) == 1
    is_first = rng.integers(0, 2, (240, 1))
    either = np.where(is_first, [1, 0.3, 0.3, 0.3], [0.3, 1, 1, 1])
    nearly = rng.uniform(0.9, 1.1, (240, 4))
    assert len(kinds_of(either * nearly)) == 2


def test_a_stack_may_be_given_as_coefficients(two):
    stack, _, _, kinds = two
    basis = kinds.pieces.basis
    c = basis.project(stack)
    again = find_kinds(c, basis=basis)
    np.testing.assert_array_equal(again.kind, kinds.kind)


def test_a_stack_may_be_given_as_a_list_or_a_signal(two):
    stack, _, _, _ = two
    some = stack[::4]
    expected = find_kinds(some)
    for given in (list(some), Signal2D(some)):
        kinds = find_kinds(given)
        np.testing.assert_array_equal(kinds.motifs, expected.motifs)
        np.testing.assert_array_equal(kinds.apply(given).turn, expected.turn)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no sub-images were given"),
        (np.zeros((0, 9, 9)), "no sub-images were given"),
        ([np.zeros((9, 9)), np.zeros((8, 8))], "cut them alike"),
        (np.zeros((9, 9)), r"\(M, 9, 9\) is needed"),
        (None, "is needed"),
    ],
)
def test_what_is_no_stack_is_refused_with_a_way_out(given, message):
    with pytest.raises(ValueError, match=message):
        find_kinds(given)


def test_a_band_limit_that_is_not_that_of_the_kinds_is_refused(two):
    stack, _, _, kinds = two
    limit = kinds.pieces.basis.band_limit
    with pytest.raises(ValueError, match=f"band_limit={limit - 1:g}, but the kinds .*={limit:g}"):
        RVAE(WINDOW, band_limit=limit - 1).fit(stack, kinds=kinds, progress=False)
    as_printed = RVAE(WINDOW, band_limit=float(f"{limit:g}"))
    as_printed.fit(stack, kinds=kinds, epochs=1, progress=False)
    assert as_printed.basis.band_limit == limit


@pytest.mark.parametrize(("count", "window_px"), [(100, 24), (1000, 24), (300, 40)])
def test_noise_is_no_kind(count, window_px):
    rng = np.random.default_rng(count)
    noise = rng.normal(size=(count, window_px, window_px))
    kinds = find_kinds(noise)
    assert len(kinds) == 0
    assert (kinds.kind == -1).all()
    assert kinds.probability.shape == (count, 0)
    assert "cannot be told from noise" in str(kinds)


def test_some_are_named_and_the_rest_follow(two):
    stack, _, kind, _ = two
    known = np.full(len(stack), "", dtype=object)
    known[:6] = "arrow"
    known[300:306] = "star"
    kinds = find_kinds(stack, known=known)
    assert sorted(kinds.names) == ["arrow", "star"]
    found = np.array(kinds.names)[kinds.kind]
    name = np.where(kind == 0, "arrow", "star")
    assert (found == name).mean() > 0.99


NOISE = np.random.default_rng(0).normal(size=(20, WINDOW, WINDOW))


@pytest.mark.parametrize(
    ("stack", "known", "message"),
    [
        (np.zeros((3, 4)), None, "shape"),
        (np.zeros((50, WINDOW, WINDOW)), None, "constant"),
        (np.full((50, WINDOW, WINDOW), np.nan), None, "NaN"),
        (NOISE[:15], None, "at least 16"),
        (NOISE, ["a"] * 19, "19 names for 20"),
        (NOISE, [""] * 20, "names are needed"),
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
    columns = locate_columns(image)
    stack, _ = cut_subimages(image, columns, 40)
    kinds = find_kinds(stack)
    assert len(kinds) == 1
    assert kinds.order.tolist() == [4]


def test_a_sheared_net_of_two_sites_is_known_modulo_a_half_turn():
    image = square_lattice(200, 10.6, shear=np.radians(2), second=0.5)
    columns = locate_columns(image)
    stack, _ = cut_subimages(image, columns, 40)
    kinds = find_kinds(stack)
    assert len(kinds) == 2
    assert kinds.order.tolist() == [2, 2]


def test_a_window_on_two_grains_is_not_sure():
    """No motif fits it, and what is left is no noise: the posterior is wider than noise tells."""
    image = square_lattice(200, 5)
    other_grain = square_lattice(200, 35)
    image[:, 200:] = other_grain[:, 200:]
    columns = locate_columns(image)
    stack, kept = cut_subimages(image, columns.positions, 40)
    model = RVAE(40).fit(stack, progress=False)
    encoding = model.encode(stack)

    away_px = np.abs(columns.positions[kept, 1] - 200)
    sd = encoding.folded_sd(4)
    at_boundary = np.median(sd[away_px < 8])
    within_grain = np.median(sd[away_px > 28])
    assert at_boundary > 3 * within_grain
    assert within_grain < np.radians(1)


def test_encoding_tells_what_it_knows(two):
    stack, _, kind, kinds = two
    model = RVAE(WINDOW).fit(stack, kinds=kinds, progress=False)
    encoding = model.encode(stack)
    assert (encoding.kind == kind).mean() > 0.99
    np.testing.assert_array_equal(encoding.order, kinds.order[encoding.kind])
    three = encoding.kind == 1
    probability = np.sort(encoding.mode_probability[three], axis=1)
    thirds = probability[:, -3:]
    assert np.median(thirds.sum(axis=1)) > 0.99
    assert np.median(thirds[:, 0]) > 0.02
    assert (encoding.folded_sd(3)[three] < 0.1).mean() > 0.9
    assert np.median(encoding.angle_sd[three]) > 1
    assert encoding.kind_probability.shape == (450, 2)


def test_no_two_ways_to_stand_are_at_one_turn(two):
    """Kinds that are likeliest at one and the same turn are one way, and count once."""
    stack, _, _, kinds = two
    pieces = kinds.pieces
    normalised = (stack - stack.mean()) / stack.std()
    c = torch.as_tensor(pieces.basis.project(normalised))
    ways = pieces.ways(c.float(), 3).numpy()
    difference = fold_angles(ways[:, :, None] - ways[:, None], 1)
    apart = np.abs(difference) + 10 * np.eye(3)  # none is compared with itself
    assert apart.min() > np.radians(5)


def test_frames_that_show_one_kind_alone_leave_the_latents_of_all(two):
    stack, _, kind, kinds = two

    class Drawn:
        """As a store of frames: of all that is there and of kind 2 alone, by turns."""

        basis = kinds.pieces.basis

        def sample(self, seed):
            shown = stack if seed[1] % 2 == 0 else stack[kind == 1]
            return self.basis.project(shown)

    model = RVAE(WINDOW).fit(Drawn(), epochs=20, progress=False)
    latent = model.encode(stack).latent[:, 0]
    first = np.median(latent[kind == 0])
    second = np.median(latent[kind == 1])
    assert abs(first - second) > 1


def test_kinds_are_kept_with_the_model(two, tmp_path):
    stack, _, _, kinds = two
    model = RVAE(WINDOW).fit(stack, epochs=2, kinds=kinds, progress=False)
    path = model.save(tmp_path / "model.safetensors")
    again = RVAE.load(path).kinds
    assert again.names == kinds.names
    assert str(again) == str(kinds)
    np.testing.assert_array_equal(again.motifs, kinds.motifs)
    np.testing.assert_array_equal(again.apply(stack).kind, kinds.apply(stack).kind)
    with pytest.raises(ValueError, match="windows of 25 px"):
        RVAE(WINDOW + 2).fit(stack, kinds=kinds, progress=False)


# ------------------------------------------------------------------------------ the parts


def test_overlaps_at_all_turns_are_those_of_the_series():
    """Two ways to the same Fourier series: laid out by order here, as cosines and sines there."""
    basis = DiskHarmonics.build(WINDOW)
    turns = Turns(basis)
    series = AngleSeries(basis)
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(5, len(basis), generator=generator)
    laid = turns.lay(c)
    torch.testing.assert_close(turns.gather(laid), c)
    on_grid = turns.overlaps(laid, laid[:, :2])
    waves = series.of(c, c[:1].expand_as(c))
    there = [series.at(waves, angle.expand(5))[0] for angle in turns.grid]
    there = torch.stack(there, dim=1)
    torch.testing.assert_close(on_grid[:, 0], there, rtol=1e-3, atol=1e-3)

    angle = torch.linspace(0, 3, 5)
    here = turns.rotate(c, angle)
    there = series.rotate(c, angle)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)


def test_a_motif_that_serves_two_sites_is_split_where_two_serve_one():
    """No pass of EM leaves such an arrangement; it must not be where the search ends."""
    basis = DiskHarmonics.build(WINDOW, 6)
    turns = Turns(basis)
    members = []
    clean = []
    for fold in (1, 3, 4):
        stack, _ = turned(200, fold, seed=fold)
        members.append(torch.as_tensor(basis.project(stack)))
        one = motif(WINDOW, 0.0, fold)
        clean.append(torch.as_tensor(basis.project(one[None])))
    c = torch.cat(members).float()

    of_two = (clean[1] + clean[2]) / 2
    motifs = torch.cat([clean[0], 0.99 * clean[0], of_two])
    log_share = torch.tensor([1 / 6, 1 / 6, 2 / 3]).log()
    variance = (c - c.mean(0)).square().mean()
    bad = Mixture(turns, motifs.float(), log_share, float(variance) / 4)
    better = _dealt_better(bad, c, turns.lay(c))

    served_by, _ = best_turns(better, c)
    served_by = served_by.reshape(3, 200)
    usual, _ = served_by.mode(dim=1)
    assert sorted(usual.tolist()) == [0, 1, 2]
    is_usual = served_by == usual[:, None]
    assert (is_usual.float().mean(1) > 0.95).all()


def test_agreement_is_counted_modulo_the_order_and_an_offset():
    rng = np.random.default_rng(0)
    quarter_turns = rng.integers(0, 4, 200)
    noise = rng.normal(size=200)
    apart = 0.7 + quarter_turns * np.pi / 2 + 0.01 * noise
    assert share_agreed(apart, 4) == 1
    assert share_agreed(apart, 2) < 0.7
    assert share_agreed(apart, 1) < 0.4
