"""The report says what is wrong with an image, and nothing where nothing is wrong."""

import hyperspy.api as hs
import numpy as np
import pytest
from scipy.spatial import cKDTree

from helpers import check_quality, locate_columns, segment
from helpers.figures.plots import plot_quality
from helpers.simulate.lattices import lattice_image


def calibrated(image, pixel_size_nm):
    signal = hs.signals.Signal2D(np.asarray(image, dtype=np.float32))
    for axis in signal.axes_manager.signal_axes:
        axis.scale, axis.units = pixel_size_nm, "nm"
    return signal


@pytest.fixture(scope="module")
def drawn():
    return lattice_image(
        (320, 320), rng=np.random.default_rng(1), kind="perovskite", spacing_px=14.0
    )


def test_a_good_image_has_a_table_and_no_warning(drawn):
    spacing_nm, pixel_nm = 0.276, 0.276 / 14
    report = check_quality(calibrated(drawn.image, pixel_nm), lattice_nm=spacing_nm * np.sqrt(2))
    assert report.warnings == ()
    assert len(report.columns) == pytest.approx(len(drawn.positions), rel=0.02)
    assert report.table["doubtful"] < 0.03 * len(report.columns)
    assert report.table["spacing_nm"] == pytest.approx(spacing_nm, rel=0.01)
    assert abs(report.table["scale_error"]) < 0.005
    error = cKDTree(drawn.positions).query(report.columns.positions)[0]
    assert report.table["position_sd_px"] == pytest.approx(np.median(error) / 1.18, rel=0.25)
    assert report.table["position_sd_pm"] == pytest.approx(
        1e3 * pixel_nm * report.table["position_sd_px"]
    )
    assert "spacing_px" in repr(report)


def test_a_header_that_is_off_is_found_out(drawn):
    signal = calibrated(drawn.image, 1.1 * 0.276 / 14)
    report = check_quality(signal, lattice_nm=0.276 * np.sqrt(2))
    assert report.table["scale_error"] == pytest.approx(0.1, abs=0.005)
    assert any("divide the pixel size by 1.1" in text for text in report.warnings)


def test_a_scale_that_no_crystal_has_is_found_out_without_help(drawn):
    for pixel_nm in (0.3, 0.001):
        report = check_quality(calibrated(drawn.image, pixel_nm))
        assert any("header is wrong" in text for text in report.warnings)


def test_inverted_contrast_saturation_and_coarseness_are_named(drawn):
    assert any("segment(-image)" in text for text in check_quality(-drawn.image).warnings)
    clipped = np.minimum(drawn.image, np.percentile(drawn.image, 95))
    assert any("saturated" in text for text in check_quality(clipped).warnings)
    coarse = lattice_image((128, 128), rng=np.random.default_rng(0), spacing_px=4.5)
    assert any("finer pixel size" in text for text in check_quality(coarse.image).warnings)


def test_noise_is_no_lattice():
    report = check_quality(np.random.default_rng(0).poisson(9, (200, 200)))
    assert len(report.columns) == 0 and any("no lattice" in text for text in report.warnings)
    assert report.table["columns"] == 0 and np.isnan(report.table["spacing_px"])
    assert plot_quality(np.random.default_rng(0).poisson(9, (200, 200)), report).get_title()


def test_contamination_makes_its_columns_doubtful(drawn):
    columns = locate_columns(drawn.image)
    columns.probability[:5] = 0.55
    columns.amplitude[5:8] = np.nan
    report = check_quality(drawn.image, columns)
    assert report.doubtful[:8].all() and report.table["doubtful"] >= 8
    ax = plot_quality(drawn.image, report)
    (rings,) = ax.collections  # one size for all, however far apart the doubtful ones are
    bold = np.array(rings.get_linewidth()) > 1.5
    assert (bold == report.doubtful).all() and "doubtful" in ax.get_title()


def test_a_map_that_is_given_is_the_one_that_is_looked_at(drawn):
    probability = segment(drawn.image, progress=False)
    probability[:, 160:] = 0
    report = check_quality(drawn.image, probability=probability)
    found = locate_columns(drawn.image, probability)
    np.testing.assert_array_equal(report.columns.positions, found.positions)
    assert report.columns.positions[:, 1].max() < 170


def test_an_unknown_lattice_parameter_and_missing_scales(drawn):
    report = check_quality(calibrated(drawn.image, 0.02), lattice_nm=0.14)
    assert any("no distance near" in text for text in report.warnings)
    for image, lattice in ((drawn.image, 0.4), (calibrated(drawn.image, 0.02), -1.0)):
        with pytest.raises(ValueError, match="lattice_nm="):
            check_quality(image, lattice_nm=lattice)
