"""Kinds of columns are told apart by brightness and surroundings, at any turn and on a wedge."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from helpers import Columns, identify_columns
from helpers.simulate.atoms import graphene
from helpers.simulate.lattices import lattice_image
from helpers.simulate.specimen import polycrystal, single_crystal


def measured(positions, amplitude, *, noise=0.1, seed=0):
    """A table as a fit would give it, with noise on the heights and places."""
    rng, count = np.random.default_rng(seed), len(positions)
    spacing = np.median(cKDTree(positions).query(positions, k=2)[0][:, 1])
    places = positions + 0.03 * spacing * rng.normal(size=positions.shape)
    height = amplitude * np.exp(noise * rng.normal(size=count))
    ones = np.ones(count)
    return Columns(places, height, 0.2 * spacing * ones, 0 * ones, 0.1 * ones, ones)


def share_right(found, truth):
    return np.mean(found == truth)


def sr3fe2o7(specimen):
    truth = specimen.columns()
    places = truth.positions[0]
    amplitude = np.where(truth.species == "Sr", 1.0, 0.75) * truth.thickness_nm
    return measured(places, amplitude), truth


@pytest.mark.parametrize("make", [single_crystal, polycrystal])
def test_species_and_sites_of_sr3fe2o7(make):
    columns, truth = sr3fe2o7(make(shape=(512, 512), seed=3))
    assert share_right(identify_columns(columns, ["Sr", "Fe"]), truth.species) > 0.97
    sites = identify_columns(columns, ["A", "B", "C"])
    # The two kinds of Sr are equally bright: which comes first is left to the user.
    best = max(
        np.mean(np.array([names["ABC".index(s)] for s in sites]) == truth.site)
        for names in (("Sr1", "Sr2", "Fe"), ("Sr2", "Sr1", "Fe"))
    )
    assert best > 0.95


def test_a_turned_lattice_has_the_same_kinds():
    drawn = lattice_image((300, 300), rng=np.random.default_rng(0), kind="rock_salt")
    columns = measured(drawn.positions, np.where(drawn.light, 0.8, 1.0))
    kinds = identify_columns(columns, ["heavy", "light"])
    turned = replace(columns, positions=columns.positions @ [[0.8, 0.6], [-0.6, 0.8]])
    assert (identify_columns(turned, ["heavy", "light"]) == kinds).mean() > 0.99
    assert share_right(kinds, np.where(drawn.light, "light", "heavy")) > 0.97


def test_single_dopants_by_brightness_alone():
    specimen = graphene(shape=(400, 400), silicon=0.01, seed=4)
    truth = specimen.columns()
    columns = measured(truth.positions[0], specimen.height, noise=0.15)
    kinds = identify_columns(columns, ["Si", "C"], surroundings=False)
    assert (kinds[truth.species == "Si"] == "Si").all()
    assert share_right(kinds, truth.species) > 0.99


def test_first_name_is_for_the_brightest_and_failed_fits_have_none():
    drawn = lattice_image((200, 200), rng=np.random.default_rng(0), kind="perovskite")
    columns = measured(drawn.positions, np.where(drawn.light, 0.5, 1.0))
    columns.amplitude[7] = np.nan
    kinds = identify_columns(columns, ["A", "B"])
    assert kinds[7] == "" and (kinds == "").sum() == 1
    assert columns.amplitude[kinds == "A"].mean() > columns.amplitude[kinds == "B"].mean()


@pytest.mark.parametrize("names", [[], ["one"], ["same", "same"], [str(n) for n in range(99)]])
def test_refuses_names_that_do_not_fit(names):
    drawn = lattice_image((200, 200), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="names="):
        identify_columns(measured(drawn.positions, np.ones(len(drawn.positions))), names)
