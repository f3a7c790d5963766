"""PbTiO3 with two domains of opposite polarisation, drawn as a sum of columns.

Its columns are thick, so that their heights are effective ones.
"""

import numpy as np

from helpers.simulate.atoms import AtomSum, Probe, truth_of
from helpers.simulate.lattices import crystal

PBTIO3_NM = (0.3904, 0.4152)
TITANIUM_AT, TITANIUM_TO_LEAD = 0.5377, 0.44  # along c; as in a multislice image of 40 nm


def ferroelectric(
    *, shape: tuple[int, int] = (512, 512), pixel_size_nm: float = 0.016, angle_deg: float = 8.0,
    height: float = 0.15, seed: int = 0,
) -> AtomSum:  # fmt: skip
    """PbTiO3 along [100] in two domains of opposite polarisation, side by side.

    c points upwards, turned by `angle_deg`. `sign` of the truth is +1 in the domain whose titanium
    lies towards +c from the middle of its four leads, -1 in the other; `angle_rad` is the direction
    of that displacement. `height` is the fraction of the beam that a lead column scatters. Oxygen
    is too faint to be drawn.
    """
    rng = np.random.default_rng(seed)
    cell = np.diag(PBTIO3_NM) / pixel_size_nm  # a to the right, c upwards, then turned
    sites = np.array([[0, 0, 0, 0], [0.5, 0.5, 1, TITANIUM_AT - 0.5]])
    columns = crystal(cell, sites, np.deg2rad(angle_deg), shape)
    titanium = columns[:, 2] > 0
    along_a, along_c = (np.deg2rad(angle_deg) + turn for turn in (0, np.pi / 2))
    wall = np.array(shape) / 2 + rng.uniform(-0.1, 0.1, 2) * shape
    side = (columns[:, :2] - wall) @ [-np.sin(along_a), np.cos(along_a)]
    sign = np.where(side < 0, 1, -1)
    shift = columns[:, 3] * sign * PBTIO3_NM[1] / pixel_size_nm
    places = columns[:, :2] + shift[:, None] * [-np.sin(along_c), np.cos(along_c)]
    names = np.where(titanium, "Ti", "Pb")
    angle = np.where(sign > 0, along_c, along_c - np.pi)
    truth = truth_of(places, names, sign, angle, np.zeros(len(places), bool))
    heights = height * np.where(titanium, TITANIUM_TO_LEAD, 1)
    return AtomSum(shape, pixel_size_nm, Probe(200, 25, 0.08), truth, heights)
