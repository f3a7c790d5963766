"""The simulation: every stated truth is looked for in the pixels."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from helpers import fetch, load_image
from helpers.results.angles import fold_angles
from helpers.simulate.cell_library import load_cells, unfold
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import polycrystal, single_crystal
from helpers.simulate.truth import load_truth, match_columns

MAKE_SAMPLE = Path(__file__).resolve().parents[1] / "data" / "recipes" / "make_sample.py"
SHAPE = (256, 256)
STILL = Scan(drift_px=(0, 0), jitter_px=(0, 0), flyback_px=0)


@pytest.fixture(scope="module", params=["Sr3Fe2O7_100", "Sr3Fe2O7_110"])
def crystal(request):
    return single_crystal(shape=SHAPE, seed=1, cells=request.param)


def centres_of_mass(image: np.ndarray, positions: np.ndarray, reach: int = 4) -> np.ndarray:
    """Where the brightness around each position really lies: an oracle without any model."""
    offset = np.arange(-reach, reach + 1)
    windows = [image[np.ix_(r + offset, c + offset)] for r, c in np.round(positions).astype(int)]
    windows = np.stack([w - w.min() for w in windows])
    total = windows.sum(axis=(1, 2))
    row = (windows.sum(axis=2) * offset).sum(axis=1) / total
    col = (windows.sum(axis=1) * offset).sum(axis=1) / total
    return np.round(positions) + np.stack([row, col], axis=1)


def inner(positions: np.ndarray, margin: int = 12) -> np.ndarray:
    return np.all((positions > margin) & (positions < np.array(SHAPE) - margin), axis=1)


@pytest.mark.parametrize("block_shift", [0.5, 0.0])
def test_the_cell_has_the_symmetry_of_its_plane_group(block_shift):
    cell = unfold(np.random.default_rng(0).random((2, 11, 27)), block_shift)
    assert cell.shape == (2, 20, 104)
    np.testing.assert_allclose(cell, np.roll(cell, (int(20 * block_shift), 52), axis=(1, 2)))
    for axis in (1, 2):  # a mirror: index k and -k agree
        np.testing.assert_allclose(cell, np.roll(np.flip(cell, axis), 1, axis))


@pytest.mark.parametrize(("name", "planes"), [("Sr3Fe2O7_100", 42), ("Sr3Fe2O7_110", 40)])
def test_the_library_scatters_more_where_it_is_thicker_and_where_strontium_is(name, planes):
    contrast = {"Sr3Fe2O7_100": 3, "Sr3Fe2O7_110": 2}[name]  # columns of [110] stand closer
    cells = load_cells(name)
    assert len(cells.thickness_nm) == planes and cells.fraction.min() >= 0
    mean = cells.fraction.mean(axis=(1, 2))
    assert (np.diff(mean) > 0).all() and mean[-1] < 0.1
    y, z = (cells.site_yz * cells.cell_nm).T
    at_sites = cells.sample(y, z, np.full(len(y), 15.0))
    darkest = cells.fraction[19].min()
    assert at_sites.min() > contrast * darkest
    assert at_sites[cells.species == "Sr"].min() > at_sites[cells.species == "Fe"].max()


def test_along_110_the_blocks_stand_above_one_another():
    """Distances of columns against those worked out by hand from a, c and the heights."""
    along_100 = load_cells()
    along_110 = load_cells("Sr3Fe2O7_110")
    np.testing.assert_allclose(along_110.cell_nm, [0.385 / np.sqrt(2), 2.015])
    assert (along_110.site_yz[:, 0] == 0).all()  # no column between two others of a layer
    heights = np.sort(along_110.site_yz[:, 1] * 2.015)
    expected = [0.196, 0.173, 0.270, 0.173, 0.196]  # Sr1 Fe Sr2, the gap, Sr2 Fe Sr1
    np.testing.assert_allclose(np.diff(heights), (2 * expected)[:-1], atol=1e-3)
    np.testing.assert_allclose(np.sort(along_100.site_yz[:, 1]), heights / 2.015)
    half_way = along_110.fraction.shape[1] // 2
    assert along_110.fraction[20, half_way].max() < 0.5 * along_110.fraction[20, 0].max()


def test_equal_thickness_scatters_as_much_along_either_axis():
    """There are the same atoms in each nanometre, in whatever columns they stand."""
    scattered = []
    for name in ("Sr3Fe2O7_100", "Sr3Fe2O7_110"):
        cells = load_cells(name)
        mean = cells.fraction.mean(axis=(1, 2))
        scattered.append(np.interp([10, 20, 30], cells.thickness_nm, mean))
    np.testing.assert_allclose(scattered[1], scattered[0], rtol=0.05)


def test_defocus_blurs_and_keeps_the_mean():
    """Over a whole cell the mean cannot depend on the focus of the probe; the contrast does."""
    series = [load_cells("Sr3Fe2O7_100_focal", defocus_nm=nm) for nm in range(0, 24, 4)]
    thin = np.stack([cells.fraction[3] for cells in series])
    thick = np.stack([cells.fraction[12] for cells in series])
    mean = thick.mean(axis=(1, 2))
    np.testing.assert_allclose(mean, mean.mean(), rtol=0.05)  # 10 nm; few configurations
    contrast = thin.std(axis=(1, 2)) / thin.mean(axis=(1, 2))  # 3 nm: no time to refocus
    assert (np.diff(contrast[:4]) < 0).all() and contrast[3:].max() < 0.1 * contrast[0]


def test_the_focal_series_begins_with_the_image_in_focus():
    focal = load_cells("Sr3Fe2O7_100_focal")
    plain = load_cells()
    for step in (4, 20):
        images = [focal.fraction[step].ravel(), plain.fraction[step].ravel()]
        correlation = np.corrcoef(images)
        assert correlation[0, 1] > 0.99


def test_what_was_not_computed_is_refused():
    with pytest.raises(ValueError, match="for 0, 4, 8, 12, 16, 20"):
        load_cells("Sr3Fe2O7_100_focal", defocus_nm=5)
    with pytest.raises(ValueError, match="Sr3Fe2O7_100 was not computed for defocus_nm=4"):
        load_cells(defocus_nm=4)
    with pytest.raises(ValueError, match="the cells end at 16.2"):
        single_crystal(cells="Sr3Fe2O7_100_focal")


def test_thickness_is_interpolated_and_nothing_scatters_nothing():
    cells = load_cells()
    y = np.zeros(3)
    z = np.full(3, 0.3)
    low, middle, high = cells.sample(y, z, np.array([10.01, 10.395, 10.78]))
    assert middle == pytest.approx((low + high) / 2, rel=1e-4)
    assert cells.sample(y, z, np.zeros(3)).max() == 0


def test_a_broader_source_blurs_and_keeps_the_mean():
    sharp = load_cells(source_fwhm_nm=0.04).fraction[20]
    broad = load_cells(source_fwhm_nm=0.12).fraction[20]
    assert broad.mean() == pytest.approx(sharp.mean(), rel=0.01)
    assert broad.max() < 0.8 * sharp.max()


def test_columns_lie_where_the_image_is_bright(crystal):
    row, col = np.indices(SHAPE).astype(float)
    image = ndimage.gaussian_filter(crystal.fraction(row, col), 0.5)
    positions = crystal.columns().positions[0]
    positions = positions[inner(positions)]
    error = centres_of_mass(image, positions) - positions
    assert np.sqrt((error**2).mean()) < 0.35  # the neighbours pull a centre of mass a little
    centred = crystal.library.cell_nm[0] == 0.385  # c2mm of [100]; the blocks of [110] pull more
    assert np.abs(error.mean(axis=0)).max() < (0.03 if centred else 0.05)


def test_number_of_columns_is_that_of_the_cell(crystal):
    positions = crystal.columns().positions[0]
    inside = np.all((positions > 0) & (positions < np.array(SHAPE)), axis=1).sum()
    area_nm2 = np.prod(SHAPE) * 0.02**2
    assert inside == pytest.approx(area_nm2 * 10 / np.prod(crystal.library.cell_nm), rel=0.05)


def test_sign_says_on_which_side_the_gap_lies(crystal):
    """Towards the rock-salt gap the next column plane is 0.27 nm away, else 0.17 to 0.20 nm."""
    truth = crystal.columns()
    places = truth.positions[0] * 0.02
    axis = np.array([-np.sin(np.deg2rad(12)), np.cos(np.deg2rad(12))])  # +c, rows run down
    height = places @ axis
    for site, near, far in (("Sr2", 0.174, 0.269), ("Fe", 0.174, 0.196)):
        which = np.flatnonzero((truth.site == site) & inner(truth.positions[0], 30))[:40]
        for k in which:
            gap_side = height - height[k]
            ahead = gap_side * truth.sign[k]
            step_ahead = ahead[ahead > 0.05].min()
            step_back = -ahead[ahead < -0.05].max()
            expected = (far, near) if site == "Sr2" else (near, far)
            assert (step_ahead, step_back) == pytest.approx(expected, abs=0.02)


def test_drift_and_flyback_move_columns_as_stated(crystal):
    frames, truth = scan_specimen(crystal, 2, scan=Scan(jitter_px=(0, 0), dose=5e4), seed=0)
    assert frames.shape == (2, *SHAPE) and truth.positions.shape[0] == 2
    moved = np.median(truth.positions[1] - truth.positions[0], axis=0)
    np.testing.assert_allclose(moved, [-1.4, 0.9], atol=0.02)
    for frame, positions in zip(frames, truth.positions, strict=True):
        positions = positions[inner(positions)]
        smooth = ndimage.gaussian_filter(frame.astype(float), 0.5)
        error = centres_of_mass(smooth, positions) - positions
        assert np.abs(error.mean(axis=0)).max() < 0.06


def test_jitter_has_the_stated_spread_and_memory():
    from helpers.simulate.scan import _line_jitter

    jitter = _line_jitter(40_000, Scan(), np.random.default_rng(0))
    np.testing.assert_allclose(jitter.std(axis=0), [0.12, 0.25], rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(jitter[1:, 1], jitter[:-1, 1])[0, 1], 0.7, atol=0.02)


def test_counts_are_poisson(crystal):
    frames, _ = scan_specimen(crystal, 40, scan=STILL, seed=2)
    mean = frames.mean(axis=0)
    variance = frames.var(axis=0, ddof=1)
    assert (variance / mean).mean() == pytest.approx(1, abs=0.02)


def test_same_seed_same_frames_other_seed_others(crystal):
    one, same, other = (scan_specimen(crystal, seed=s)[0] for s in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.3


@pytest.mark.parametrize("cells", ["Sr3Fe2O7_100", "Sr3Fe2O7_110"])
def test_the_fault_is_one_perovskite_layer_more(cells):
    settings = {"shape": (1024, 256), "angle_deg": 90, "strain": 0, "seed": 3, "cells": cells}
    perfect = single_crystal(**settings).columns()
    faulted = single_crystal(**settings, fault=True).columns()
    inside = faulted.in_fault & (np.abs(faulted.positions[0, :, 1] - 128) < 100)
    assert set(faulted.site[inside]) == {"Sr1", "Sr2", "Fe"}
    planes = np.unique(np.round(faulted.positions[0, inside, 0]))
    assert len(planes) == 7  # Sr2 Fe Sr1 Fe Sr1 Fe Sr2
    assert (perfect.sign[perfect.site == "Fe"] != 0).all()
    assert set(faulted.sign[inside & (faulted.site == "Fe")]) == {-1, 0, 1}


def test_odd_columns_are_brighter_or_darker():
    plain = single_crystal(shape=SHAPE, seed=4)
    changed = single_crystal(shape=SHAPE, n_odd=5, seed=4)
    truth = changed.columns()
    assert truth.odd.sum() == 5
    row, col = truth.positions[0].T
    ratio = changed.fraction(row, col) / plain.fraction(row, col)
    assert (np.abs(ratio[truth.odd] - 1) > 0.3).all()
    assert np.abs(ratio[~truth.odd] - 1).max() < 0.1


def test_grains_keep_their_angles_and_boundaries():
    truth = polycrystal(shape=(512, 512), seed=0).columns()
    angles = np.deg2rad([0, 31, 74])
    off = np.abs(fold_angles(truth.angle_rad[:, None] - angles, 1)).min(axis=1)
    assert off.max() < np.deg2rad(1)
    assert np.isfinite(truth.boundary_px).all() and truth.boundary_px.min() > -1e-9


def test_local_angle_is_that_of_the_strained_lattice(crystal):
    """Pairs of Sr1 columns one repeat along b apart, against the stated angle."""
    truth = crystal.columns()
    which = np.flatnonzero((truth.site == "Sr1") & inner(truth.positions[0], 25))
    places = truth.positions[0][truth.site == "Sr1"]
    angle = truth.angle_rad[truth.site == "Sr1"]
    repeat_px = crystal.library.cell_nm[0] / 0.02
    ahead = places + repeat_px * np.stack([-np.cos(angle), -np.sin(angle)], axis=1)
    found, partner = match_columns(ahead, places, within_px=1.0)
    step = places[partner] - places[found]
    measured = np.arctan2(-step[:, 0], step[:, 1]) - np.pi / 2
    assert len(found) > 0.8 * len(which)
    assert np.abs(fold_angles(measured - angle[found], 1)).max() < np.deg2rad(0.3)


def test_truth_table_comes_back(crystal, tmp_path):
    _, truth = scan_specimen(crystal, 2, seed=0)
    runpy.run_path(MAKE_SAMPLE)["save_truth"](tmp_path / "truth.csv", truth, SHAPE)
    again = load_truth(tmp_path / "truth.csv")
    assert 0 < len(again) < len(truth)  # what lies outside every frame is left out
    found, true = match_columns(again.positions[0], truth.positions[0], within_px=0.01)
    assert len(found) == len(again)
    for name in ("species", "site", "sign", "in_fault", "odd"):
        np.testing.assert_array_equal(getattr(again, name)[found], getattr(truth, name)[true])
    np.testing.assert_allclose(again.angle_rad[found], truth.angle_rad[true], atol=1e-4)


def test_matching_uses_each_column_once():
    found = np.array([[0.0, 0.0], [0.2, 0.0], [9.0, 9.0]])
    truth = np.array([[0.0, 0.1], [5.0, 5.0]])
    pairs, partners = match_columns(found, truth, within_px=1.0)
    np.testing.assert_array_equal(pairs, [0])
    np.testing.assert_array_equal(partners, [0])


def test_the_shipped_sample_is_what_its_recipe_says():
    signal = load_image(fetch("sr3fe2o7_stack.hspy"))
    truth = load_truth(fetch("sr3fe2o7_truth.csv"))
    assert signal.data.shape == (8, 1024, 1024)
    assert [axis.units for axis in signal.axes_manager.signal_axes] == ["nm", "nm"]
    assert signal.axes_manager.signal_axes[0].scale == pytest.approx(0.02)
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200
    assert "imulated" in signal.metadata.General.notes
    assert truth.positions.shape[0] == 8 and truth.odd.sum() == 12 and truth.in_fault.any()
    assert truth.thickness_nm.min() < 9 and truth.thickness_nm.max() > 30
