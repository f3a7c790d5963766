"""Which columns are of one kind: by how bright each is, and by how its neighbours stand."""

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from .table import Columns

NEIGHBOURS = 24
SHELLS = np.array([1.0, 1.4, 1.8])  # distances looked at, in units of the spacing
SHELL_WIDTH = 0.2
ORDERS = np.arange(5)  # angular orders: how many, how lopsided, how two-, three- and four-fold
OPEN_ANGLE = np.radians(135)  # free of neighbours: there the crystal, or the image, ends
STARTS = 20


def identify_columns(columns: Columns, names, *, surroundings: bool = True, seed: int = 0):
    """Sort columns into as many kinds as there are names.

    What tells the kinds apart is the volume of each Gaussian, relative to those around, so that a
    wedge does no harm; and with `surroundings` also how many neighbours stand at which distance,
    and how bright they are. No direction enters: a turned grain has the same kinds. Groups are
    always formed, of noise as well: in a frame of few counts look at them before you use them.

    Parameters
    ----------
    columns : Columns
    names : sequence of str
        One for each kind, the brightest first. Look at the map of the kinds before you name them.
    surroundings : bool
        With False brightness alone decides: for dopants, whose neighbours are like all others'.
    seed : int
        Of the starting points of the grouping (k-means, the best of several starts).

    Returns
    -------
    (N,) array of str
        The name of each column's kind; "" where the fit of the column failed.

    Raises
    ------
    ValueError
        If there are fewer than two names, or not at least ten fitted columns for each.
    """
    names = [str(name) for name in names]
    fitted = np.flatnonzero(np.isfinite(columns.amplitude))
    if len(names) < 2 or len(set(names)) < len(names) or len(fitted) < 10 * len(names):
        wanted = "at least two different names, and ten columns for each, are needed"
        raise ValueError(f"names={names} and {len(fitted)} fitted columns: {wanted}")
    brightness, shells, orders, complete = describe_surroundings(columns[fitted])
    if complete.sum() < 10 * len(names):
        complete[:] = True
    simple = np.column_stack([brightness, shells])[:, : None if surroundings else 1]
    features = np.column_stack([simple, orders]) if surroundings else simple
    group = np.empty(len(fitted), int)
    group[complete] = _best_groups(features[complete], len(names), seed)
    # Those with an empty side, which the orders would see, join the group of the most alike.
    centre = [simple[complete][group[complete] == g].mean(axis=0) for g in range(len(names))]
    apart = np.nansum((simple[~complete, None] - np.array(centre)) ** 2, axis=2)
    group[~complete] = apart.argmin(axis=1)
    order = np.argsort([-brightness[group == g].mean() for g in range(len(names))])
    result = np.full(len(columns), "", dtype=f"U{max(map(len, names))}")
    result[fitted] = np.array(names)[np.argsort(order)[group]]
    return result


def describe_surroundings(columns: Columns) -> tuple[np.ndarray, ...]:
    """How bright each of N fitted columns is, and how its neighbours stand.

    Returns
    -------
    brightness : (N,)
        Volume of the Gaussian over the geometric mean of those of the 24 nearest columns.
    shells : (N, 3)
        Mean brightness of the neighbours in each shell; NaN where there are none.
    orders : (N, 15)
        Sums over the neighbours in a shell, each weighted by its brightness and turned by m times
        its direction; of a sum its size alone counts, so that no direction enters.
    complete : (N,) bool
        Whether the shells lie inside the crystal and the image.
    """
    volume = np.log(np.maximum(columns.amplitude * columns.sigma_px**2, 1e-30))
    places, count = columns.positions @ [-1j, 1], min(NEIGHBOURS, len(columns) - 1)  # rows go down
    distance, nearest = cKDTree(columns.positions).query(columns.positions, k=count + 1)
    brightness = np.exp(volume - volume[nearest].mean(axis=1))
    distance, nearest = distance[:, 1:], nearest[:, 1:]  # (N, count)
    direction = (places[nearest] - places[:, None]) / np.maximum(distance, 1e-9)
    spacing = np.median(distance[:, 0])
    distance = distance / spacing
    weight = np.exp(-(((distance[..., None] - SHELLS) / SHELL_WIDTH) ** 2) / 2)
    bright = weight * brightness[nearest][..., None]  # (N, count, shells)
    orders = np.abs(np.einsum("nks,nkm->nsm", bright, direction[..., None] ** ORDERS))
    number = weight.sum(axis=1)
    shells = np.where(number > 0.5, bright.sum(axis=1) / np.maximum(number, 0.5), np.nan)
    rim = cKDTree(columns.positions[_open_sided(direction, distance)])
    complete = rim.query(columns.positions)[0] > SHELLS[-1] * spacing
    return brightness, shells, orders.reshape(len(orders), -1), complete


def _open_sided(direction: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Columns (N,) whose neighbours within 1.6 spacings leave a wide angle free."""
    angle = np.where(distance < 1.6, np.angle(direction), np.nan)
    angle = np.sort(angle, axis=1)  # the missing ones come last
    gap = np.diff(angle, axis=1)
    last = 2 * np.pi + angle[:, 0] - np.nanmax(np.nan_to_num(angle, nan=-np.inf), axis=1)
    return ~(np.fmax(np.nanmax(np.nan_to_num(gap), axis=1), last) < OPEN_ANGLE)


def _best_groups(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Group (N,) of each row by k-means, the tightest of several starts."""
    rng, features = np.random.default_rng(seed), np.nan_to_num(features)
    tries = [kmeans2(features, count, minit="++", seed=rng) for _ in range(STARTS)]
    spreads = [((features - centre[group]) ** 2).sum() for centre, group in tries]
    return tries[np.argmin(spreads)][1]
