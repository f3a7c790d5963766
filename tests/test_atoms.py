"""Sums of atoms: heights, distances and symmetries are those of graphene and lead titanate."""

import numpy as np
import pytest
from atoms import CARBON_NM, PBTIO3_NM, Probe, ferroelectric, graphene
from scipy.spatial import cKDTree

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
    distance = cKDTree(places).query(places[inner], k=5)[0][:, 1:] * sheet.pixel_size_nm
    np.testing.assert_allclose(distance[:, :3], CARBON_NM, rtol=1e-6)
    np.testing.assert_allclose(distance[:, 3], CARBON_NM * np.sqrt(3), rtol=1e-6)


def test_silicon_is_four_times_as_bright_as_carbon(sheet):
    silicon = sheet.columns().species == "Si"
    assert 0.003 < silicon.mean() < 0.03
    bright, dark = (np.median(at_columns(sheet, which)) for which in (silicon, ~silicon))
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
    distance = cKDTree(specimen.columns().positions[0]).query(specimen.columns().positions[0], k=2)
    assert distance[0][:, 1].min() * specimen.pixel_size_nm > 0.0999
    assert len(np.unique(specimen.columns().angle_rad)) == 3


def test_titanium_is_off_centre_the_other_way_in_the_other_domain():
    specimen = ferroelectric(shape=(400, 400))
    truth = specimen.columns()
    places, lead = truth.positions[0], truth.species == "Pb"
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
