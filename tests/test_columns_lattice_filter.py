"""What repeats stays, noise and single defects go."""

import numpy as np
import pytest

from helpers.columns.lattice_filter import lattice_part
from helpers.simulate.lattices import lattice_image


def even(values):
    values = values - values.mean()
    return (values / values.std()).astype(np.float32)


def drawn(counts, shape=(200, 230), seed=0):
    rng = np.random.default_rng(seed)
    options = {"kind": "hexagonal", "spacing_px": 8.0, "angle_rad": 0.3, "background": 1.0}
    return lattice_image(shape, rng=rng, peak_counts=counts, **options)


def test_white_noise_is_all_but_gone():
    noise = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32)
    assert lattice_part(noise).std() < 0.03


def test_a_lattice_comes_out_of_the_noise():
    noisy, clean = drawn(3).image, even(drawn(1e5).image)
    before = np.corrcoef(noisy.ravel(), clean.ravel())[0, 1]
    after = np.corrcoef(lattice_part(even(noisy)).ravel(), clean.ravel())[0, 1]
    assert before < 0.35 and after > 0.85


def test_without_noise_it_changes_little():
    clean = even(drawn(1e5).image)
    assert np.corrcoef(lattice_part(clean).ravel(), clean.ravel())[0, 1] > 0.98


def test_two_grains_stay_two():
    left, right = drawn(50, (200, 300)).image, np.rot90(drawn(50, (300, 200)).image)
    image = even(np.concatenate([left[:, :150], right[:, 150:]], axis=1))
    part = lattice_part(image)
    for side, other in ((np.s_[:, 20:110], right), (np.s_[:, 190:280], left)):
        own = np.corrcoef(part[side].ravel(), image[side].ravel())[0, 1]
        assert own > 0.75 > 0.3 > abs(np.corrcoef(part[side].ravel(), other[side].ravel())[0, 1])


def test_a_single_vacancy_is_filled():
    case = drawn(1e4)
    middle = case.positions[np.argmin(np.abs(case.positions - 100).sum(axis=1))]
    rows, cols = np.indices(case.image.shape)
    near = np.hypot(rows - middle[0], cols - middle[1]) < 4
    image = case.image.copy()
    image[near] = np.percentile(image, 5)
    row, col = np.rint(middle).astype(int)
    before, after = even(image)[row, col], lattice_part(even(image))[row, col]
    assert before < 0 < 1 < after


@pytest.mark.parametrize("shape", [(1, 1), (10, 40), (96, 96), (97, 300), (500, 33)])
def test_any_shape(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    part = lattice_part(values)
    assert part.shape == shape and part.dtype == np.float32 and np.isfinite(part).all()


def test_nothing_in_nothing_out_and_scale_is_kept():
    assert not lattice_part(np.zeros((120, 130), np.float32)).any()
    image = even(drawn(20).image)
    np.testing.assert_allclose(lattice_part(3 * image), 3 * lattice_part(image), atol=1e-4)
