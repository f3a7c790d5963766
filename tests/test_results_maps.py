"""Maps carry each column's number at its place; results are written whole or not at all."""

import csv
from dataclasses import replace

import hyperspy.api as hs
import numpy as np
import pytest

from helpers import RVAE, Columns, Encoding
from helpers.files.folder import MARK
from helpers.results.maps import angle_map, latent_map, save_results
from helpers.rvae.encoding import Ways

SHAPE, NM = (60, 90), 0.02
GRID = np.stack(np.meshgrid([10, 20, 30], [12, 22, 32, 42], indexing="ij"), -1).reshape(-1, 2)
POSITIONS = GRID + 0.3
KEPT = np.array([1, 4, 5, 7, 10])


def columns():
    rest = {
        name: np.arange(12.0) + k
        for k, name in enumerate(Columns.__dataclass_fields__)
        if name != "positions"
    }
    return Columns(positions=POSITIONS, **rest)


def encoding():
    rng = np.random.default_rng(0)
    m = len(KEPT)
    angle, residual = rng.normal(size=(2, m))
    latent, latent_sd, offset = rng.normal(size=(3, m, 2))
    return Encoding(
        angle=angle,
        latent=latent,
        latent_sd=np.array([0.1, 0.1]) * np.abs(latent_sd),
        residual=residual,
        offset=offset,
        kind=np.zeros(m, int),
        kind_probability=np.ones((m, 1)),
        order=np.ones(m, int),
        modes=angle[:, None],
        mode_probability=np.ones((m, 1)),
        mode_sd=np.full((m, 1), 0.01),
        _ways=Ways(np.arange(m), np.ones(m), np.zeros((m, 3), np.float32)),
    )


def at(signal, places):
    return signal.data[tuple(np.rint(places).astype(int).T)]


def test_each_column_finds_its_number_at_its_place():
    value = np.arange(12) / 10
    signal = latent_map(POSITIONS, value, shape=SHAPE, title="latent 2")
    np.testing.assert_allclose(at(signal, POSITIONS), value, atol=1e-6)
    assert signal.data.shape == SHAPE and signal.metadata.General.title == "latent 2"


def test_halfway_between_two_columns_the_number_changes():
    signal = latent_map(np.array([[10.0, 10], [10, 20]]), np.array([1, 2]), shape=(21, 31))
    np.testing.assert_array_equal(signal.data[10, 10:21], [1] * 5 + [signal.data[10, 15]] + [2] * 5)


def test_far_from_all_columns_nothing_is_claimed():
    signal = latent_map(POSITIONS, np.ones(12), shape=SHAPE)
    rows, cols = np.indices(SHAPE)
    far = np.hypot(rows[..., None] - POSITIONS[:, 0], cols[..., None] - POSITIONS[:, 1]).min(-1)
    np.testing.assert_array_equal(np.isnan(signal.data), far > 15)


def test_angles_are_folded_and_a_missing_one_stays_missing():
    angle = np.full(12, np.pi - 0.1)
    angle[3] = np.nan
    signal = angle_map(POSITIONS, angle, shape=SHAPE, order=2)
    expected = np.where(np.isnan(angle), np.nan, -0.1)
    np.testing.assert_allclose(at(signal, POSITIONS), expected, atol=1e-6)
    assert np.nanmax(np.abs(signal.data)) < np.pi / 2
    assert "2 pi / 2" in signal.metadata.General.title


def test_axes_are_in_nm_when_the_pixel_size_is_known():
    x, y = latent_map(
        POSITIONS, np.ones(12), shape=SHAPE, pixel_size_nm=NM
    ).axes_manager.signal_axes
    assert (x.name, x.size, x.scale, x.units) == ("x", 90, NM, "nm")
    assert (y.name, y.size, y.scale, y.units) == ("y", 60, NM, "nm")
    x, _ = latent_map(POSITIONS, np.ones(12), shape=SHAPE).axes_manager.signal_axes
    assert (x.scale, x.units) == (1, "px")


@pytest.mark.parametrize("size", [0, -0.02, np.nan, np.inf])
def test_what_is_no_pixel_size_is_refused(size):
    with pytest.raises(ValueError, match=f"pixel_size_nm={size}, but a number greater than 0"):
        latent_map(POSITIONS, np.ones(12), shape=SHAPE, pixel_size_nm=size)


def test_one_column_alone_has_no_neighbour_to_measure_a_spacing_by():
    assert np.all(latent_map(POSITIONS[:1], np.array([3.0]), shape=SHAPE).data == 3)


@pytest.mark.parametrize("values", [np.ones(11), np.ones((12, 2)), 1.0])
def test_numbers_and_columns_must_be_as_many(values):
    with pytest.raises(ValueError, match="one number a column"):
        latent_map(POSITIONS, values, shape=SHAPE)


def test_a_column_without_a_place_is_counted_and_what_to_pass_is_said():
    positions = POSITIONS.copy()
    positions[2, 1] = np.nan
    positions[7] = np.inf
    with pytest.raises(ValueError, match=r"2 of 12 positions are not finite.*positions\[kept\]"):
        latent_map(positions, np.ones(12), shape=SHAPE)
    with pytest.raises(ValueError, match="2 of 12 positions are not finite"):
        angle_map(positions, np.ones(12), shape=SHAPE)


def test_results_come_back_from_the_folder(tmp_path):
    encoded = encoding()
    folder = save_results(
        tmp_path / "new" / "maps", columns(), encoded, KEPT, shape=SHAPE, pixel_size_nm=NM
    )
    names = [MARK, "angle.hspy", "columns.csv", "latent_1.hspy", "latent_2.hspy"]
    assert sorted(p.name for p in folder.iterdir()) == names
    stored = hs.load(folder / "latent_2.hspy")
    np.testing.assert_allclose(at(stored, POSITIONS[KEPT]), encoded.latent[:, 1], atol=1e-6)
    assert stored.axes_manager[0].units == "nm"


def test_table_has_a_row_a_column_and_nan_where_nothing_was_encoded(tmp_path):
    encoded = encoding()
    folder = save_results(
        tmp_path / "maps", columns(), encoded, KEPT, shape=SHAPE, pixel_size_nm=NM
    )
    with open(folder / "columns.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert len(rows) == 12
    np.testing.assert_allclose(table["x_nm"], POSITIONS[:, 1] * NM, rtol=1e-5)
    np.testing.assert_allclose(table["amplitude"], columns().amplitude)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(table["angle_rad"])), KEPT)
    np.testing.assert_allclose(table["angle_rad"][KEPT], encoded.angle, rtol=1e-5)
    np.testing.assert_allclose(table["latent_2_sd"][KEPT], encoded.latent_sd[:, 1], rtol=1e-5)


def test_without_a_pixel_size_the_table_has_no_nanometres(tmp_path):
    folder = save_results(tmp_path / "maps", columns(), encoding(), KEPT, shape=SHAPE)
    assert "nm" not in (folder / "columns.csv").read_text(encoding="utf-8").splitlines()[0]


def test_old_results_are_replaced_only_on_request(tmp_path):
    maps = save_results(tmp_path / "maps", columns(), encoding(), KEPT, shape=SHAPE)
    before = hs.load(maps / "angle.hspy").data
    turned = replace(encoding(), angle=encoding().angle + 0.1)
    with pytest.raises(ValueError, match="overwrite=True"):
        save_results(maps, columns(), turned, KEPT, shape=SHAPE)
    np.testing.assert_array_equal(hs.load(maps / "angle.hspy").data, before)
    save_results(maps, columns(), turned, KEPT, shape=SHAPE, overwrite=True)
    assert np.nanmax(np.abs(hs.load(maps / "angle.hspy").data - before)) > 0.09
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]


@pytest.mark.parametrize("ours", [True, False])
def test_a_measurement_among_the_results_is_never_replaced(tmp_path, ours):
    if ours:
        save_results(tmp_path / "maps", columns(), encoding(), KEPT, shape=SHAPE)
    raw = tmp_path / "maps" / "raw.dm4"
    raw.parent.mkdir(exist_ok=True)
    raw.write_text("measured", encoding="utf-8")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="choose another name"):
            save_results(raw.parent, columns(), encoding(), KEPT, shape=SHAPE, overwrite=overwrite)
    assert raw.read_text(encoding="utf-8") == "measured"
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]


def test_a_wave_before_the_name_is_the_home_folder(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = save_results("~/maps", columns(), encoding(), KEPT, shape=SHAPE)
    assert folder == tmp_path / "maps" and (folder / "columns.csv").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]


def test_when_something_fails_nothing_is_left_and_the_old_folder_stands(tmp_path):
    place = {"shape": SHAPE, "model": RVAE(25)}
    with pytest.raises(RuntimeError, match="not trained"):
        save_results(tmp_path / "maps", columns(), encoding(), KEPT, **place)
    assert not list(tmp_path.iterdir())
    save_results(tmp_path / "maps", columns(), encoding(), KEPT, shape=SHAPE)
    with pytest.raises(RuntimeError, match="not trained"):
        save_results(tmp_path / "maps", columns(), encoding(), KEPT, overwrite=True, **place)
    assert [p.name for p in tmp_path.iterdir()] == ["maps"]
    assert (tmp_path / "maps" / "angle.hspy").exists()


@pytest.mark.parametrize(("kept", "message"), [(KEPT[:3], "3 kept"), (KEPT + 5, "column 15")])
def test_lengths_that_do_not_fit_are_refused(tmp_path, kept, message):
    with pytest.raises(ValueError, match=message):
        save_results(tmp_path / "maps", columns(), encoding(), kept, shape=SHAPE)
    assert not list(tmp_path.iterdir())
