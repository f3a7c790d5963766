"""The window report counts what can be counted by hand, and predicts the error that is measured."""

import numpy as np
import pytest
from benchmarks.gaussians import render_columns
from scipy import ndimage

from helpers import cut_subimages, window_report
from helpers.subimages.harmonics import DiskHarmonics

SPACING = 12.0
NOISE = 0.3


@pytest.fixture(scope="module")
def positions():
    cells = np.stack(np.mgrid[:20, :20], axis=-1)
    return 10.0 + SPACING * cells.reshape(-1, 2)


@pytest.fixture(scope="module")
def clean(positions):
    between = positions + SPACING / 2
    bright = render_columns(positions, amplitude=10, shape=(250, 250))
    faint = render_columns(between, amplitude=6, shape=(250, 250))
    return bright + faint


@pytest.fixture(scope="module")
def image(clean):
    rng = np.random.default_rng(0)
    return clean + rng.normal(0, NOISE, clean.shape)


@pytest.fixture(scope="module")
def report(image, positions):
    return window_report(image, positions, [16, 25, 40, 60])


def test_counts_agree_with_counting_by_hand(report, positions):
    table = report.table
    assert table["window_px"].tolist() == [16, 25, 40, 60]
    # A window of 25 px reaches 12 px, to the first neighbours; rows 10 and 238 are too near.
    assert table["kept"].tolist() == [400, 324, 324, 256]
    np.testing.assert_allclose(table["share_kept"], table["kept"] / 400)
    assert table["neighbours"][0] == 0
    assert table["neighbours"][1] == 4
    assert table["neighbours"][2] == 8
    assert 0.5 < table["overlap"][2] < 0.8
    assert np.all(np.diff(table["overlap"]) > 0)


def test_a_square_lattice_shows_its_fourfold_order(report):
    share = report.table["order_share"][2]
    assert share[4] > 0.1
    assert share[[1, 2, 3, 5, 6]].max() < 0.02
    assert share.sum() <= 1 + 1e-6


def test_each_kind_has_its_own_orders(positions):
    """Every fifth row is missing: columns beside the gap see one side unlike the other."""
    row = np.rint((positions[:, 0] - 10) / SPACING) % 5
    there = row > 0
    places = positions[there]
    row = row[there]
    kinds = np.where((row == 1) | (row == 4), "edge", "inside")
    image = render_columns(places, amplitude=10, shape=(250, 250))
    report = window_report(image, places, [16, 32], kinds=kinds)
    assert set(report.order_share_of) == {"edge", "inside"}
    edge = report.order_share_of["edge"][1]
    inside = report.order_share_of["inside"][1]
    assert edge[1::2].sum() > 0.1  # odd orders
    assert inside[1::2].sum() < 0.02
    without_kinds = window_report(image, places, [32])
    assert without_kinds.order_share_of == {}
    with pytest.raises(ValueError, match="3 kinds for"):
        window_report(image, places, [32], kinds=kinds[:3])


def test_error_predicted_is_the_error_of_the_best_match(clean, image, positions, report):
    """Turn the clean motif until it matches: the scatter of that angle is the bound."""
    basis = DiskHarmonics.build(40)
    one, _ = cut_subimages(clean, positions[210:211], 40)
    stack, kept = cut_subimages(image, positions, 40)
    motif = basis.project(one)
    noisy = basis.project(stack)
    angles_deg = np.linspace(-2, 2, 401)
    turned = basis.rotate(motif, np.deg2rad(angles_deg))  # (401, K)
    from_middle = np.abs(positions[kept] - 125).max(axis=1)
    inner = from_middle < 80
    likeness = noisy[inner] @ turned.T
    best_deg = angles_deg[likeness.argmax(axis=1)]
    predicted_deg = report.table["angle_error_deg"][2]
    assert predicted_deg == pytest.approx(best_deg.std(), rel=0.25)


def test_error_falls_with_size_and_grows_with_noise(report, clean, positions):
    error_deg = report.table["angle_error_deg"]
    assert np.all(np.diff(error_deg) < 0)
    rng = np.random.default_rng(1)
    noisy = clean + rng.normal(0, 3 * NOISE, clean.shape)
    again = window_report(noisy, positions, [40])
    ratio = again.table["angle_error_deg"][0] / error_deg[2]
    assert ratio == pytest.approx(3, rel=0.2)


def test_the_recommended_size_is_the_smallest_of_the_best(report):
    table = report.table
    seen = table[table["neighbours"] >= 2]
    best = seen["window_px"][seen["score"] > seen["score"].max() - 0.01]
    assert report.recommended_px == best.min() == 25
    assert report.reason.startswith(f"{report.recommended_px} px")


def test_more_noise_asks_for_a_larger_window(clean, positions):
    chosen = []
    for noise in (0.3, 4.0):
        rng = np.random.default_rng(2)
        noisy = clean + rng.normal(0, noise, clean.shape)
        report = window_report(noisy, positions, [20, 25, 30, 40, 60])
        chosen.append(report.recommended_px)
    assert chosen[0] < chosen[1]


def test_smoothed_noise_is_not_taken_for_none(clean, positions):
    rough = np.random.default_rng(3).normal(0, 3, clean.shape)
    smooth = ndimage.gaussian_filter(rough, 2)
    error = window_report(clean + smooth, positions, [40]).table["angle_error_deg"][0]
    white = np.random.default_rng(4).normal(0, smooth.std(), clean.shape)
    least = window_report(clean + white, positions, [40]).table["angle_error_deg"][0]
    assert error > least


def test_it_prints_and_knows_nanometres(image, positions):
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(image)
    for axis in signal.axes_manager.signal_axes:
        axis.scale = 0.02
        axis.units = "nm"
    report = window_report(signal, positions, [40])
    assert report.table["window_nm"][0] == pytest.approx(0.8)
    assert "0.80 nm" in report.reason
    assert len(str(report).splitlines()) == 3


def test_a_size_that_keeps_nothing_is_reported_but_never_chosen(image, positions):
    report = window_report(image, positions, [30, 251])
    assert report.table["kept"].tolist() == [324, 0]
    assert report.recommended_px == 30


@pytest.mark.parametrize("sizes", [[], [4], [0], [-40], [30.5], [300]])
def test_refuses_sizes_that_are_none(image, positions, sizes):
    with pytest.raises(ValueError, match="size|window_px"):
        window_report(image, positions, sizes)


def test_one_column_needs_sizes_given(image):
    with pytest.raises(ValueError, match="sizes_px"):
        window_report(image, [[125.0, 125.0]])
    report = window_report(image, [[125.0, 125.0]], [40])
    assert report.recommended_px == 40


def test_positions_that_are_nan_are_left_out(image, positions):
    with_nan = np.concatenate([positions, [[np.nan, 3.0]]])
    report = window_report(image, with_nan, [40])
    share = report.table["share_kept"][0]
    assert share == pytest.approx(324 / 400)
