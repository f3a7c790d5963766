"""Sums of atoms: heights, distances and symmetries are those of the crystals they stand for."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from helpers.simulate.atoms import (
    CARBON_NM,
    MOS2_NM,
    PBTIO3_NM,
    TUNGSTEN_TO_MOLYBDENUM,
    Probe,
    alloy,
    ferroelectric,
    graphene,
)
from helpers.simulate.scan import Scan, scan_specimen


def at_columns(specimen, which):
    row, col = specimen.columns().positions[0][which].T
    inside = (row > 0) & (col > 0) & (row < specimen.shape[0] - 1) & (col < specimen.shape[1] - 1)
    return specimen.fraction(row[inside], col[inside])


@pytest.fixture(scope="module")
def sheet():
    return graphene(shape=(256, 300), grains=1, silicon=0.01, seed=2)


def test_graphene_has_three_neighbours_at_its_bond_length(sheet):
    places = sheet.columns().positions[0]
    inner = ((places > 20) & (places < [236, 280])).all(axis=1)
    distance_px, _ = cKDTree(places).query(places[inner], k=5)  # the first is the atom itself
    distance_nm = distance_px * sheet.pixel_size_nm
    np.testing.assert_allclose(distance_nm[:, 1:4], CARBON_NM, rtol=1e-6)
    np.testing.assert_allclose(distance_nm[:, 4], CARBON_NM * np.sqrt(3), rtol=1e-6)


def test_silicon_is_four_times_as_bright_as_carbon(sheet):
    silicon = sheet.columns().species == "Si"
    assert 0.003 < silicon.mean() < 0.03
    bright = np.median(at_columns(sheet, silicon))
    dark = np.median(at_columns(sheet, ~silicon))
    assert 3 < bright / dark < 4.1  # tails of neighbours lift the carbon


def test_a_lone_atom_is_as_high_as_its_fraction_says():
    probe = Probe(60, 32, 0.05)
    transfer = probe.transfer((128, 128), 0.015)
    assert transfer.mean() == pytest.approx(1)
    image = np.fft.ifft2(transfer).real
    assert image[0, 0] == pytest.approx(1) and image.max() == image[0, 0]


def test_a_wider_aperture_and_a_smaller_source_make_a_sharper_atom():
    def width(probe):
        profile = np.fft.ifft2(probe.transfer((256, 256), 0.01)).real[0, :128]
        return np.argmax(profile < 0.5)

    assert width(Probe(60, 40, 0.05)) < width(Probe(60, 25, 0.05)) < width(Probe(60, 25, 0.12))
    assert width(Probe(200, 25, 0.05)) < width(Probe(60, 25, 0.05))


def test_grains_keep_their_distance():
    specimen = graphene(shape=(400, 400), grains=3, seed=5)
    truth = specimen.columns()
    places = truth.positions[0]
    distance_px, _ = cKDTree(places).query(places, k=2)
    assert distance_px[:, 1].min() * specimen.pixel_size_nm > 0.0999
    assert len(np.unique(truth.angle_rad)) == 3


def first_shell(specimen):
    """Mask of the W among the inner metals, (N,), and among the six neighbours of each, (N, 6)."""
    truth = specimen.columns()
    places = truth.positions[0][truth.species != "S2"]
    tungsten = truth.species[truth.species != "S2"] == "W"
    inner = ((places > 20) & (places < np.array(specimen.shape) - 20)).all(axis=1)
    around = cKDTree(places).query(places[inner], k=7)[1][:, 1:]
    return tungsten[inner], tungsten[around]


def warren_cowley(specimen):
    centre, around = first_shell(specimen)
    return 1 - np.mean(~around[centre]) / np.mean(~centre)


@pytest.mark.parametrize("tungsten", [0.0, 0.1, 0.5, 1.0])
def test_alloy_has_the_composition_asked(tungsten):
    species = alloy(tungsten=tungsten, clustering=0.5, seed=1).columns().species
    metals = species[species != "S2"]
    assert abs(np.sum(metals == "W") - tungsten * len(metals)) <= 0.5
    assert abs(len(metals) / len(species) - 0.5) < 0.02
    assert set(species) <= {"Mo", "W", "S2"}


def test_alloy_has_three_sulphur_columns_and_six_metals_around_each_metal():
    specimen = alloy(shape=(256, 300), angle_deg=11, seed=3)
    truth = specimen.columns()
    places = truth.positions[0]
    metal = truth.species != "S2"
    metals = places[metal]
    sulphurs = places[~metal]
    inner = metals[((metals > 30) & (metals < [226, 270])).all(axis=1)]
    distance_px, _ = cKDTree(metals).query(inner, k=8)  # the first is the metal itself
    distance_nm = distance_px * specimen.pixel_size_nm
    np.testing.assert_allclose(distance_nm[:, 1:7], MOS2_NM, rtol=1e-6)
    np.testing.assert_allclose(distance_nm[:, 7], MOS2_NM * np.sqrt(3), rtol=1e-6)
    to_sulphur_px, nearest = cKDTree(sulphurs).query(inner, k=3)
    to_sulphur_nm = to_sulphur_px * specimen.pixel_size_nm
    np.testing.assert_allclose(to_sulphur_nm, MOS2_NM / np.sqrt(3), rtol=1e-6)
    down, right = np.moveaxis(sulphurs[nearest] - inner[:, None], -1, 0)
    direction = np.arctan2(-down, right)
    turn = np.deg2rad(11)
    np.testing.assert_allclose(np.exp(3j * direction), np.exp(3j * turn))
    assert np.allclose(truth.angle_rad, turn)


def test_tungsten_is_brighter_than_molybdenum_by_the_power_of_its_atomic_number():
    specimen = alloy(shape=(256, 256), seed=2)
    truth = specimen.columns()
    np.testing.assert_array_equal(truth.odd, truth.species == "W")
    tungsten, rest, sulphur = (specimen.height[truth.species == s] for s in ("W", "Mo", "S2"))
    np.testing.assert_allclose(tungsten / rest[0], TUNGSTEN_TO_MOLYBDENUM)
    assert 2.5 < TUNGSTEN_TO_MOLYBDENUM < 2.6 and 0.4 < sulphur[0] / rest[0] < 0.42
    seen = [np.median(at_columns(specimen, truth.species == s)) for s in ("W", "Mo", "S2")]
    assert 2.2 < seen[0] / seen[1] < 2.6 and seen[1] > 2 * seen[2]  # tails lift the fainter ones


@pytest.mark.parametrize("tungsten", [0.15, 0.3, 0.5])
def test_clustering_makes_neighbours_alike_or_unlike(tungsten):
    order = [
        np.mean([warren_cowley(alloy(tungsten=tungsten, clustering=k, seed=s)) for s in range(4)])
        for k in (-0.6, 0.0, 0.6)
    ]
    assert order[0] < -0.06 and abs(order[1]) < 0.04 and order[2] > 0.2


def test_alloy_is_that_of_its_seed():
    first, again, other = (alloy(shape=(128, 128), seed=s).columns().species for s in (1, 1, 2))
    assert (first == again).all() and not (first == other).all()


def test_titanium_is_off_centre_the_other_way_in_the_other_domain():
    specimen = ferroelectric(shape=(400, 400))
    truth = specimen.columns()
    places = truth.positions[0]
    lead = truth.species == "Pb"
    inner = ((places > 40) & (places < 360)).all(axis=1)
    along_c = np.array([-np.sin(np.deg2rad(98)), np.cos(np.deg2rad(98))])
    nearest = cKDTree(places[lead]).query(places, k=4)[1]
    shift = (places - places[lead][nearest].mean(axis=1)) @ along_c * specimen.pixel_size_nm
    for sign in (-1, 1):
        off = np.median(shift[inner & ~lead & (truth.sign == sign)])
        assert off == pytest.approx(sign * 0.0377 * PBTIO3_NM[1], rel=0.05)


def test_recorded_with_the_dose_asked():
    specimen = graphene(shape=(128, 128), silicon=0, seed=1)
    frames, truth = scan_specimen(specimen, 1, scan=Scan(dose=5, drift_px=(0, 0)), seed=1)
    assert frames.shape == (1, 128, 128) and len(truth) == len(specimen.columns())
    row, col = np.mgrid[:128, :128].astype(float)
    assert frames.mean() == pytest.approx(5 * specimen.fraction(row, col).mean(), rel=0.05)
    carbon = 5 * np.median(at_columns(specimen, np.ones(len(truth), bool)))
    assert 5 <= carbon <= 7  # five counts of its own, and the tails of its neighbours
