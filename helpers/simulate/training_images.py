"""The images that the segmenter learns from: lattices and all that may befall them, with the truth.

Nothing here is a simulation of scattering. Each column is one Gaussian peak; what varies is
everything that a network must not depend on. An image is made in the order of nature: a lattice,
its faults, the shape of the specimen, the ground that it lies on, the lens, the scan, the counts.

Kept out on purpose, so that tests can ask whether the segmenter transfers: Ruddlesden-Popper
phases along [110], GaAs-like dumbbells along [110], kagome lattices, and hcp metals along [0001]
(the honeycombs below always have two unlike sites).
"""

from __future__ import annotations

import numpy as np

from ..columns.unet import TRAINED_SPACING_PX, network_input, resample
from .drawn_exposure import ground, lens, peaks, record, scan
from .drawn_faults import displacements, grains, heights, outline, vacancies
from .drawn_lattices import draw_lattice
from .lattices import column_target

CROP_PX = 128
RADIUS_PX = 0.25 * TRAINED_SPACING_PX  # of a column in the target
FINEST = 1.6  # pixels of an image for each pixel of the network
COARSEST = 0.65


def training_image(rng: np.random.Generator, **options):
    """One crop at the network's scale; parameters are those of `draw_image`.

    Returns
    -------
    image : (2, CROP_PX, CROP_PX) float32
        What the network sees: the normalised image, and what is periodic in it.
    target : (CROP_PX, CROP_PX) float32
        Share of each pixel that lies within RADIUS_PX of a column.
    columns : (N, 4)
        Row, column, amplitude and whether light, of the columns in and just around the crop.
    """
    image, columns, _ = draw_image(rng, **options)
    zoom = CROP_PX / len(image)
    columns[:, :2] = (columns[:, :2] + 0.5) * zoom - 0.5
    near = (np.abs(columns[:, :2] - CROP_PX / 2) < CROP_PX / 2 + 4).all(axis=1)
    columns = columns[near]
    crop = (CROP_PX, CROP_PX)
    target = column_target(crop, columns[:, :2], RADIUS_PX)
    seen = network_input(resample(image, crop))
    return seen, target, columns


def draw_image(rng: np.random.Generator, *, peak_counts=None, species: bool = False):
    """One image as a microscope would give it.

    The spacing that a user's image is rescaled by is measured, and the measurement may pick the
    distance of another pair of columns: so the network meets spacings from 0.6 to 1.8 of the
    nominal one.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    peak_counts : float, optional
        Mean counts at the tallest peak; drawn from 1 to 1000 when not given.
    species : bool
        Draw lattices whose light columns can be told from the heavy ones.

    Returns
    -------
    image : (H, W) float32
    columns : (N, 4)
        Row, column, amplitude and whether light, of the columns in the image and around it.
    spacing_px : float
        Distance between nearest columns of the lattice.
    """
    finer = COARSEST
    if rng.random() < 0.8:
        finer = FINEST ** rng.uniform(-1, 1)
    side_px = round(CROP_PX * max(finer, COARSEST))
    nominal_px = TRAINED_SPACING_PX * side_px / CROP_PX
    ratio = np.exp(0.22 * rng.normal())
    spacing_px = np.clip(ratio, 0.6, 1.8) * nominal_px
    drawing = draw_lattice(rng, (side_px, side_px), spacing_px, species)
    for befall in (grains, displacements, heights, vacancies, outline):
        befall(drawing)
    image = peaks(drawing)
    for change in (lens, ground, scan):
        image = change(drawing, image)
    image = record(drawing, image, peak_counts)
    return image, drawing.columns.copy(), drawing.spacing_px
