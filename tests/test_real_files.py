"""The way through on real microscope files: a true lattice is found, and none is invented.

None of the files gives true positions, so each is held against what is known of its crystal. The
sources, licences and citations stand in data/registry.txt.
"""

import warnings

import hyperspy.api as hs
import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from helpers import (
    RVAE,
    cut_subimages,
    load_image,
    locate_columns,
    save_results,
    segment,
    window_report,
)
from helpers.compare.neighbours import off_centre, strongest_wave

PIXEL_NM = 0.01599  # PZO.dm3, as its header says
CELL_NM = 0.416  # pseudo-cubic PbZrO3


def neighbours(positions, count):
    """Distances (N, count) px and directions (N, count) rad to the nearest neighbours."""
    distance, nearest = cKDTree(positions).query(positions, k=count + 1)
    apart = positions[nearest[:, 1:]] - positions[:, None]
    return distance[:, 1:], np.arctan2(-apart[..., 0], apart[..., 1])


def folding(positions, n, count):
    """How n-fold the neighbours of all columns stand: 1 for one perfect crystal, 0 for chance."""
    distance, direction = neighbours(positions, count)
    near = distance < 1.25 * np.median(distance)  # at the border the next ones are no neighbours
    return np.abs(np.exp(1j * n * direction[near]).mean())


def located(image):
    return locate_columns(image, segment(image, progress=False))


def heavy_and_light(columns):
    heavy = columns.amplitude > threshold_otsu(columns.amplitude)
    return columns[heavy], columns[~heavy]


@pytest.fixture
def perovskite(real_file):
    image = load_image(real_file("PZO.dm3"))
    return image, located(image)


def test_perovskite_header_agrees_with_the_lattice(perovskite):
    image, columns = perovskite
    assert image.axes_manager[0].scale == pytest.approx(PIXEL_NM, abs=1e-5)
    assert image.axes_manager[0].units == "nm"
    heavy, light = heavy_and_light(columns)
    for sublattice in (heavy, light):
        spacing = np.median(neighbours(sublattice.positions, 4)[0])
        assert 26.1 <= spacing <= 26.6
        assert spacing * PIXEL_NM == pytest.approx(CELL_NM, rel=0.02)


def test_perovskite_has_two_sublattices_of_one_column_a_cell(perovskite):
    image, columns = perovskite
    cells = image.data.size * PIXEL_NM**2 / CELL_NM**2
    heavy, light = heavy_and_light(columns)
    assert np.isfinite(columns.amplitude).all()
    for sublattice in (heavy, light):
        assert len(sublattice) == pytest.approx(cells, rel=0.05)
    # Each sublattice stands in the middle of the other's cells.
    inside = np.isfinite(off_centre(light, heavy)).all(axis=1)
    centre_distance = cKDTree(heavy.positions).query(light.positions[inside], k=4)[0]
    assert np.median(centre_distance) == pytest.approx(26.35 / np.sqrt(2), rel=0.02)


def test_perovskite_from_file_to_maps(perovskite, tmp_path):
    image, columns = perovskite
    heavy, light = heavy_and_light(columns)
    window_px = window_report(image, columns, [26, 32, 40, 48, 56]).recommended_px
    stack, kept = cut_subimages(image, heavy.positions, window_px)
    model = RVAE(window_px).fit(stack, progress=False, pixel_size_nm=PIXEL_NM)
    encoding = model.encode(stack)
    folder = save_results(
        tmp_path / "maps",
        heavy,
        encoding,
        kept,
        shape=image.data.shape,
        pixel_size_nm=PIXEL_NM,
        model=model,
    )
    for name in ("angle", "latent_1", "latent_2"):
        signal = hs.load(folder / f"{name}.hspy")
        assert signal.data.shape == image.data.shape
        assert signal.axes_manager[0].scale == pytest.approx(PIXEL_NM)
        assert np.isfinite(signal.data).mean() > 0.7
    table = np.genfromtxt(folder / "columns.csv", delimiter=",", names=True)
    assert len(table) == len(heavy)
    assert np.isfinite(table["angle_rad"]).sum() == len(kept)
    assert len(RVAE.load(folder / "model.safetensors").history) == len(model.history)

    # The angle is found without any position of a neighbour, the displacement with nothing else.
    shift = off_centre(heavy, light)[kept]
    moved = np.isfinite(shift).all(axis=1)
    direction = np.arctan2(-shift[moved, 0], shift[moved, 1])
    agreement = np.abs(np.exp(1j * (encoding.angle[moved] - direction)).mean())
    assert agreement > 0.85


def test_perovskite_rows_move_two_by_two(perovskite):
    heavy, light = heavy_and_light(perovskite[1])
    shift = off_centre(heavy, light)
    wave, share = strongest_wave(heavy, shift, shortest_px=53)
    assert share > 0.3  # half of the field is another domain
    assert PIXEL_NM / np.hypot(*wave) == pytest.approx(4 * CELL_NM / np.sqrt(2), rel=0.03)


def test_strontium_titanate_with_line_jitter(real_file):
    image = load_image(real_file("Tecnai_Osiris_SrTiO3.tif"))
    assert image.axes_manager.signal_axes[0].scale == pytest.approx(0.01352, abs=1e-5)
    columns = located(image)
    spacing = np.median(neighbours(columns.positions, 4)[0])
    assert 370 <= len(columns) <= 420
    assert len(columns) == pytest.approx(image.data.size / spacing**2, rel=0.05)
    assert 25 <= spacing <= 26.5
    assert folding(columns.positions, 4, 4) > 0.9
    assert np.isfinite(columns.amplitude).mean() > 0.98


def test_mxene_is_hexagonal(real_file):
    with pytest.warns(UserWarning, match="pixel_size_nm="):
        image = load_image(real_file("Ti3C2_MXene_1655.tif"))
    columns = located(image)
    columns = columns[np.isfinite(columns.amplitude)]
    spacing = np.median(neighbours(columns.positions, 6)[0])
    whole = image.data.size / (spacing**2 * np.sqrt(3) / 2)  # without a hole
    assert 0.75 * whole <= len(columns) <= 1.05 * whole
    assert folding(columns.positions, 6, 6) > 0.4
    assert all(folding(columns.positions, n, 6) < 0.1 for n in (3, 4, 5))


def test_simulated_lead_titanate_in_a_dm4(real_file):
    image = load_image(real_file("PTO100-40nm-HAADF.dm4"))
    columns = located(image)
    fitted = np.isfinite(columns.amplitude)  # at the upper edge it takes some oxygen for a column
    assert fitted.mean() > 0.95
    heavy, light = heavy_and_light(columns[fitted])
    pixel_nm = image.axes_manager[0].scale
    cells = image.data.size * pixel_nm**2 / (0.3904 * 0.4152)
    for sublattice in (heavy, light):
        assert len(sublattice) == pytest.approx(cells, rel=0.12)  # ten rows: the border counts
        distance = np.median(neighbours(sublattice.positions, 4)[0], axis=0) * pixel_nm
        np.testing.assert_allclose(distance[[0, 3]], [0.3904, 0.4152], rtol=0.02)


def test_a_raster_too_coarse_is_called_so(real_file):
    image = load_image(real_file("REBCO-ROI_raw.dm3"))
    with pytest.warns(UserWarning, match="too few pixels"):
        columns = located(image)
    assert len(columns) <= image.data.size / 6**2 * 2
    assert (columns.positions > -0.5).all() and (columns.positions < 127.5).all()


def test_a_film_without_lattice_is_refused_kindly(real_file):
    image = load_image(real_file("fei_emd_image.emd"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        columns = located(image)
    assert any("no lattice" in str(warning.message) for warning in caught)
    assert len(columns) <= 5
