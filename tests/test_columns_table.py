"""A table of columns comes back from any file that was written of it, to eight digits."""

import warnings
from dataclasses import fields

import numpy as np
import pytest

from helpers import Columns, Encoding, fetch
from helpers.columns.table import CSV_HEADER
from helpers.results.maps import save_results
from helpers.rvae.encoding import Ways


def columns():
    """Nine columns a spacing apart, one of them not fitted, with every digit there is."""
    rng = np.random.default_rng(0)
    raster = 12.0 * np.stack(np.mgrid[:3, :3], axis=-1).reshape(-1, 2)
    amplitude, sigma_px, background, sd_px, probability = rng.uniform(0.1, 1, (5, 9))
    amplitude[4] = np.nan
    places = raster + rng.uniform(10, 11, (9, 2))
    return Columns(places, 1e4 * amplitude, sigma_px, background, sd_px, probability)


def encoding(count):
    """Encoded sub-images, each in its own way."""
    numbers = np.arange(float(count))
    pairs = np.column_stack([numbers, numbers])
    each = np.ones(count)
    return Encoding(
        angle=numbers,
        latent=pairs,
        latent_sd=pairs / 9,
        residual=numbers,
        offset=pairs,
        kind=np.zeros(count, int),
        kind_probability=each[:, None],
        order=np.ones(count, int),
        modes=numbers[:, None],
        mode_probability=each[:, None],
        mode_sd=each[:, None],
        _ways=Ways(np.arange(count), each, np.zeros((count, 3), np.float32)),
    )


def assert_same(again, found):
    for field in fields(Columns):
        stored, original = (getattr(one, field.name) for one in (again, found))
        np.testing.assert_allclose(stored, original, rtol=5e-8, atol=0)


def test_a_table_survives_its_file(tmp_path):
    path = columns().save(tmp_path / "columns.csv")
    assert path.read_text().splitlines()[0] == CSV_HEADER
    assert_same(Columns.load(path), columns())


@pytest.mark.parametrize("pixel_size_nm", [None, 0.02])
def test_the_table_of_the_results_is_one_of_columns(tmp_path, pixel_size_nm):
    found = columns()
    kept = np.array([0, 2, 4, 7])
    encoded = encoding(len(kept))
    folder = save_results(
        tmp_path / "maps", found, encoded, kept, shape=(50, 50), pixel_size_nm=pixel_size_nm
    )
    assert_same(Columns.load(folder / "columns.csv"), found)


def test_a_table_with_the_former_names_of_the_places_is_read(tmp_path):
    new = columns().save(tmp_path / "new.csv")
    old = tmp_path / "old.csv"
    old.write_text(new.read_text().replace("row_px,col_px", "row,col"))
    assert_same(Columns.load(old), columns())
    assert len(Columns.load(fetch("sr3fe2o7_columns.csv"))) > 1000


def test_other_columns_in_any_order_are_passed_over(tmp_path):
    rows = [line.split(",") for line in columns().save(tmp_path / "a.csv").read_text().split()]
    names = ["species", *["Sr"] * len(columns())]
    turned = [",".join([name, *row[::-1]]) for name, row in zip(names, rows, strict=True)]
    (tmp_path / "b.csv").write_text("\n".join(turned))
    assert_same(Columns.load(tmp_path / "b.csv"), columns())


def test_an_empty_table_survives_its_file(tmp_path):
    empty = Columns(np.empty((0, 2)), *np.empty((5, 0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Columns.load(empty.save(tmp_path / "none.csv"))
    assert len(again) == 0 and again.positions.shape == (0, 2)


@pytest.mark.parametrize("rows", [None, "1,2,3", "a,b,c,d,e,f,g", "1,2,3,4,5,6,7,8"])
def test_refuses_a_file_that_is_no_table(tmp_path, rows):
    text = "x,y\n1,2\n" if rows is None else f"{CSV_HEADER}\n{rows}\n"
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(ValueError, match=r"other\.csv"):
        Columns.load(tmp_path / "other.csv")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Columns.load(tmp_path / "nowhere.csv")
