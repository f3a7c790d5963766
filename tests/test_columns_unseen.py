"""Lattices that no network was trained on, at any spacing; and places where there is no column."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import skimage
import skimage.io
from benchmarks.unseen import LATTICES, Case, score, unseen_image
from scipy import ndimage

from helpers import check_quality, locate_columns, segment
from helpers.simulate.atoms import ferroelectric, graphene
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.training_images import draw_image
from helpers.simulate.truth import match_columns

PHOTOGRAPHS = sorted(
    path.name
    for path in (Path(skimage.__file__).parent / "data").iterdir()
    if path.suffix in {".png", ".jpg"}
)


def f1_in(image, truth, spacing_px):
    """F1 of the columns located, by the measure of the benchmark."""
    image = image.astype(np.float32)
    found = locate_columns(image, segment(image, progress=False))
    return score(found.positions, Case(image, truth.positions[0], spacing_px))["f1"]


@pytest.mark.parametrize("counts", [5, 20])
@pytest.mark.parametrize(("spacing_px", "background"), [(7, 0.5), (10, 0.1), (15, 2.0), (40, 0.5)])
@pytest.mark.parametrize("name", LATTICES)
def test_unseen_lattices(name, spacing_px, background, counts):
    case = unseen_image(
        name, spacing_px=spacing_px, counts=counts, background=background, seed=spacing_px
    )
    found = locate_columns(case.image, segment(case.image, progress=False))
    assert score(found.positions, case)["f1"] >= (0.99 if counts == 20 else 0.95)


def test_graphene_with_silicon_and_grains_at_five_counts():
    frames, truth = scan_specimen(graphene(grains=4, seed=21), scan=Scan(dose=5), seed=21)
    assert f1_in(frames[0], truth, spacing_px=9.5) >= 0.9


def test_ferroelectric_domains():
    frames, truth = scan_specimen(ferroelectric(seed=21), seed=21)
    assert f1_in(frames[0], truth, spacing_px=17) >= 0.99


def test_confidence_means_what_it_says():
    """Of the columns with a confidence near p, about a share p is there."""
    stated, right, number = [], [], []
    for seed in range(2_000_000, 2_000_120):
        image, columns, spacing = draw_image(np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = locate_columns(image, segment(image, progress=False))
        if len(found) == 0 or len(columns) == 0:
            continue
        pairs = match_columns(found.positions, columns[:, :2], within_px=0.3 * spacing)[0]
        stated.append(found.probability)
        right.append(np.isin(np.arange(len(found)), pairs))
        number.append(np.full(len(found), seed))
    stated, right, number = (np.concatenate(parts) for parts in (stated, right, number))
    for low, high in ((0.5, 0.82), (0.82, 0.92), (0.92, 0.98), (0.98, 1.01)):
        here = (stated >= low) & (stated < high)
        assert here.sum() > 100
        # Columns of one image are wrong together: the error of the mean is that between images.
        images = np.unique(number[here], return_inverse=True)[1]
        off = np.bincount(images, right[here] - stated[here].astype(float))
        error = np.sqrt(np.sum(off**2)) / here.sum()
        assert error < 0.08
        assert abs(off.sum()) / here.sum() < max(0.08, 2 * error)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_hold_no_columns(name):
    image = skimage.io.imread(Path(skimage.__file__).parent / "data" / name)
    image = image[..., :3].mean(axis=-1) if image.ndim == 3 else image
    report = check_quality(image.astype(np.float32))
    assert len(report.columns) <= 5 and report.doubtful.all()
    assert report.warnings


def rings_of_diffraction():
    rows, cols = np.indices((256, 256))
    radius = np.hypot(rows - 128, cols - 128)
    rings = sum(np.exp(-(((radius - at) / 1.5) ** 2) / 2) for at in (35, 57, 67, 90, 110))
    return np.random.default_rng(0).poisson(5 + 50 * np.exp(-radius / 40) + 30 * rings)


def film(grain_px):
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(400, 300)), grain_px)
    return np.random.default_rng(2).poisson(30 * np.exp(0.4 * noise / noise.std()))


@pytest.mark.parametrize(
    "image",
    [rings_of_diffraction(), film(1.0), film(2.0), film(5.0)],
    ids=["rings", "fine film", "film", "coarse film"],
)
def test_films_and_rings_hold_no_columns(image):
    report = check_quality(image)
    assert len(report.columns) <= 5 and report.doubtful.all() and report.warnings
