"""The probability map: right on lattices of any spacing and turn, silent where there is none."""

import tracemalloc
import warnings

import numpy as np
import pytest
import skimage.data
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from helpers import fetch, segment, segment_species
from helpers.columns import unet
from helpers.columns.segmentation import COLUMNS, SPECIES
from helpers.columns.spacing import local_order, measure_spacing
from helpers.simulate.lattices import column_target, lattice_image


def lattice(spacing_px, kind="square", *, cells=12, seed=0, **options):
    side = int(cells * spacing_px)
    options = {"peak_counts": 100, "second_intensity": 0.6, **options}
    rng = np.random.default_rng(seed)
    return lattice_image((side, side + 10), rng=rng, kind=kind, spacing_px=spacing_px, **options)


def columns_of(probability, spacing_px):
    """Maxima of the map over 1/2."""
    smooth = ndimage.gaussian_filter(probability, 0.08 * spacing_px)
    top = smooth == ndimage.maximum_filter(smooth, 2 * round(0.3 * spacing_px) + 1)
    return np.argwhere(top & (smooth > 0.5))


def f1(found, truth, shape, spacing_px):
    """Harmonic mean of precision and recall, a third of a spacing or more inside the border.

    Nearer to it, a found column may truly lie just outside, or the other way round.
    """

    def share(some, others):
        some = some[((some >= near) & (some <= np.array(shape) - 1 - near)).all(axis=1)]
        return (cKDTree(others).query(some)[0] < near).mean()

    near = 0.3 * spacing_px
    if len(found) == 0:
        return 0.0
    precision, recall = share(found, truth), share(truth, found)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("spacing_px", [6, 9, 14, 25, 40, 60])
@pytest.mark.parametrize("kind", ["square", "hexagonal", "perovskite"])
def test_high_on_columns_and_low_between(spacing_px, kind):
    drawn = lattice(spacing_px, kind)
    probability = segment(drawn.image)
    rows, cols = np.rint(drawn.positions).astype(int).T
    assert probability.shape == drawn.image.shape and probability.dtype == np.float32
    assert 0 <= probability.min() and probability.max() <= 1
    assert np.median(probability[rows, cols]) > 0.8
    between = column_target(drawn.image.shape, drawn.positions, 0.45 * spacing_px) == 0
    assert np.median(probability[between]) < 0.2
    found = columns_of(probability, spacing_px)
    assert f1(found, drawn.positions, drawn.image.shape, spacing_px) > 0.99


@pytest.mark.parametrize("angle", np.radians([0, 17, 45, 80]))
def test_any_orientation(angle):
    drawn = lattice(13, "perovskite", angle_rad=angle, peak_counts=20, seed=1)
    found = columns_of(segment(drawn.image), 13)
    assert f1(found, drawn.positions, drawn.image.shape, 13) > 0.99


def test_turning_the_image_turns_the_map():
    image = lattice(13, "ruddlesden_popper").image
    turned = np.rot90(segment(np.rot90(image)), -1)
    assert np.corrcoef(segment(image).ravel(), turned.ravel())[0, 1] > 0.99


def test_gain_and_offset_do_not_matter():
    image = lattice(11, "honeycomb").image.astype(np.float64)
    np.testing.assert_allclose(segment(image), segment(7.5 * image + 1e4), atol=0.02)


def test_same_image_same_map():
    image = lattice(11).image
    np.testing.assert_array_equal(segment(image), segment(image))


def test_a_given_spacing_is_used():
    drawn = lattice(20, "hexagonal")
    np.testing.assert_allclose(
        segment(drawn.image, spacing_px=measure_spacing(drawn.image)), segment(drawn.image)
    )
    assert not np.array_equal(segment(drawn.image, spacing_px=30.0), segment(drawn.image))


@pytest.mark.parametrize("spacing_px", [6, 10, 17, 33, 60])
@pytest.mark.parametrize("kind", ["square", "hexagonal", "oblique", "perovskite"])
def test_spacing_is_measured(spacing_px, kind):
    for seed in range(3):
        image = lattice(spacing_px, kind, seed=seed, peak_counts=30).image
        assert measure_spacing(image) == pytest.approx(spacing_px, rel=0.05)


def test_spacing_in_a_large_field_that_is_empty_in_the_middle():
    field = np.random.default_rng(0).poisson(2.0, (1500, 1400)).astype(np.float32)
    field[:300, :300] += lattice(12, cells=25, background=0.0).image[:300, :300] / 5
    assert measure_spacing(field) == pytest.approx(12, rel=0.05)


def without_lattice():
    rng = np.random.default_rng(0)
    rows, cols = np.indices((200, 240))
    grain = ndimage.gaussian_filter(rng.normal(size=(200, 240)), 3)
    return {
        "vacuum": rng.poisson(0.2, (200, 240)).astype(np.float32),
        "shot noise": rng.poisson(50, (200, 240)).astype(np.float32),
        "film": 1 + grain / grain.std() + 0.2 * rng.normal(size=grain.shape),
        "smooth film": grain,
        "gradient": rows + 2.0 * cols,
        "edge": (cols > 100) + 0.1 * rng.normal(size=rows.shape),
        "fringes": np.sin(rows / 2) + 0.3 * rng.normal(size=rows.shape),
        "one bright pixel": (rows == 90) * (cols == 80) * 1.0,
        "tiny": rng.normal(size=(5, 5)),
    }


@pytest.mark.parametrize("name", without_lattice())
def test_no_lattice_no_columns_and_a_warning(name):
    image = without_lattice()[name]
    with pytest.warns(UserWarning, match="no lattice was found.*spacing_px"):
        probability = segment(image)
    assert probability.shape == image.shape and probability.dtype == np.float32
    assert not probability.any()
    assert measure_spacing(image) is None


@pytest.mark.parametrize("name", ["camera", "coins", "page", "text"])
def test_photographs_show_no_columns(name):
    image = getattr(skimage.data, name)()
    with pytest.warns(UserWarning, match="no lattice was found"):
        assert not segment(image).any()


def test_noise_stays_all_but_empty_even_when_a_spacing_is_insisted_on():
    noise = np.random.default_rng(1).poisson(20, (400, 400))
    with pytest.warns(UserWarning, match="on trust"):
        probability = segment(noise, spacing_px=12)
    sites = noise.size / 12**2
    assert len(columns_of(probability, 12)) < 0.02 * sites


def test_coarse_sampling_is_pointed_out():
    with pytest.warns(UserWarning, match="finer pixel size"):
        segment(lattice(5, cells=30).image)


def test_vacuum_beside_a_lattice_stays_empty():
    drawn = lattice(12, cells=24)
    image = drawn.image.copy()
    image[:, 150:] = np.random.default_rng(0).poisson(5, image[:, 150:].shape) + image.min()
    found = columns_of(segment(image), 12)
    assert (found[:, 1] > 160).sum() <= 1
    left = drawn.positions[drawn.positions[:, 1] < 140]
    assert f1(found[found[:, 1] < 140], left, (288, 140), 12) > 0.99


def test_dark_columns_are_pointed_out():
    image = lattice(14, "square").image
    with pytest.warns(UserWarning, match=r"dark.*segment\(-image\)"):
        segment(-image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        segment(image)


def test_a_few_missing_and_hot_pixels_do_no_harm():
    drawn = lattice(12)
    image = drawn.image.copy()
    image[40, 50] = np.nan
    image[80, 30] = 1e7
    with pytest.warns(UserWarning, match="1 NaN"):
        probability = segment(image)
    assert f1(columns_of(probability, 12), drawn.positions, image.shape, 12) > 0.98


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.ones((50, 50)), "constant"),
        (np.full((50, 50), np.nan), "NaN"),
        (np.zeros((3, 50, 50)), "align_stack"),
        (np.empty((0, 4)), "shape"),
    ],
)
def test_unusable_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        segment(image)


@pytest.mark.parametrize("spacing_px", [0, -3, 1e4, np.nan])
def test_unusable_spacings_are_refused(spacing_px):
    with pytest.raises(ValueError, match="spacing_px="):
        segment(lattice(10).image, spacing_px=spacing_px)


def test_tiles_leave_no_seam(monkeypatch):
    image = lattice(10, "ruddlesden_popper", cells=30, peak_counts=10).image
    whole = segment(image)
    monkeypatch.setattr(unet, "TILE_PX", 96)
    np.testing.assert_allclose(segment(image, progress=False), whole, atol=2e-3)


@pytest.mark.parametrize(("weights", "outputs"), [(COLUMNS, 1), (SPECIES, 2)])
def test_network_is_loaded_once_and_shuts_off_its_training_mode(weights, outputs):
    network = unet.load_network(weights, "cpu")
    assert network is unet.load_network(weights, "cpu") and not network.training
    assert fetch(weights).stat().st_size <= 3e6
    with torch.inference_mode():
        assert network(torch.zeros(2, 2, 32, 48)).shape == (2, outputs, 32, 48)


@pytest.mark.parametrize("kind", ["perovskite", "rock_salt", "honeycomb"])
def test_species_are_told_apart(kind):
    drawn = lattice(12, kind, cells=20, peak_counts=30, second_intensity=0.65)
    heavy, light = segment_species(drawn.image, progress=False)
    inner = ((drawn.positions > 6) & (drawn.positions < np.array(heavy.shape) - 7)).all(axis=1)
    at = tuple(np.rint(drawn.positions[inner]).astype(int).T)
    assert np.mean((light[at] > heavy[at]) == drawn.light[inner]) > 0.97
    assert np.maximum(heavy, light)[at].min() > 0.4


def test_one_kind_alone_is_heavy():
    drawn = lattice(12, "hexagonal", cells=20, peak_counts=30)
    heavy, light = segment_species(drawn.image, progress=False)
    at = tuple(np.rint(drawn.positions[drawn.positions.min(axis=1) > 5]).astype(int).T)
    assert np.mean(heavy[at] > light[at]) > 0.95


def test_order_tells_lattices_from_chance():
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 300, (400, 2))
    assert local_order(places) < 0.2
    assert local_order(places[:2]) == 0
    for kind in ("square", "honeycomb", "ruddlesden_popper", "dumbbells"):
        assert local_order(lattice(12, kind, cells=20).positions) > 0.6
    shaken = lattice(12, cells=20).positions
    assert local_order(shaken + rng.normal(size=shaken.shape)) > 0.6


def test_a_large_image_costs_bounded_memory(tmp_path):
    """Tiles of one size, whatever the image: the peak grows with the image alone."""
    image = np.tile(lattice(10, cells=32).image[:320, :320], (5, 5))
    tracemalloc.start()
    segment(image, progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25 * 4 * image.size
