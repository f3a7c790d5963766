"""The whole way, from the shipped file to maps, scored against the truth of the sample."""

import re
from pathlib import Path

import numpy as np
import pytest

from helpers import (
    RVAE,
    Columns,
    align_stack,
    cut_subimages,
    fetch,
    load_image,
    locate_columns,
    save_results,
    segment,
)
from helpers.compare.score import r_squared, share_right, sign_from_angle
from helpers.simulate.truth import load_truth, match_columns

WINDOW_PX = 40
WITHIN_PX = 3.0
BORDER_PX = 8  # a column cut by the border is neither found nor missed


def score_positions(found: np.ndarray, truth: np.ndarray, shape) -> tuple[float, float]:
    """F1, and rms error per axis in pixels, of the columns away from the border."""
    pairs, partners = match_columns(found, truth, within_px=WITHIN_PX)
    inside = [
        np.all((p > BORDER_PX) & (p < np.array(shape) - 1 - BORDER_PX), axis=1)
        for p in (found, truth)
    ]
    hits = inside[1][partners]
    right = np.isin(np.arange(len(found)), pairs)
    false = (inside[0] & ~right).sum()
    missed = inside[1].sum() - hits.sum()
    error = (found[pairs] - truth[partners])[hits]
    return 2 * hits.sum() / (2 * hits.sum() + false + missed), float(np.sqrt((error**2).mean()))


@pytest.fixture(scope="module")
def sample():
    stack = load_image(fetch("sr3fe2o7_stack.hspy"))
    mean, shifts = align_stack(stack, progress=False)
    return stack, mean, shifts, load_truth(fetch("sr3fe2o7_truth.csv"))


@pytest.fixture(scope="module")
def encoded(sample):
    _, mean, shifts, truth = sample
    columns = locate_columns(mean)
    stack, kept = cut_subimages(mean, columns, WINDOW_PX)
    model = RVAE(WINDOW_PX).fit(stack, progress=False, pixel_size_nm=0.02)
    pairs, partners = match_columns(
        columns.positions[kept], truth.positions[0] - shifts[0], within_px=WITHIN_PX
    )
    return columns, kept, model, model.encode(stack), pairs, truth.take(partners)


def test_drift_is_found(sample):
    _, mean, shifts, truth = sample
    drift = shifts - shifts[0]
    expected = np.arange(8)[:, None] * np.array([-1.4, 0.9])
    assert np.sqrt(((drift - expected) ** 2).mean()) < 0.1
    assert min(mean.data.shape) > 1000


def test_columns_of_the_mean_are_found(sample, encoded):
    _, mean, shifts, truth = sample
    true = truth.positions[0] - shifts[0]
    f1, rms_px = score_positions(encoded[0].positions, true, mean.data.shape)
    assert f1 >= 0.99
    assert rms_px <= 0.4


def test_columns_of_one_noisy_frame_are_found(sample):
    frame = sample[0].data[3]
    truth = sample[3].positions[3]
    columns = locate_columns(frame, segment(frame))
    f1, rms_px = score_positions(columns.positions, truth, frame.shape)
    assert f1 >= 0.99
    assert rms_px <= 0.4


def test_site_and_thickness_are_in_the_latents(encoded):
    *_, encoding, pairs, truth = encoded
    regular = ~truth.in_fault & ~truth.odd
    latent = encoding.latent[pairs][regular]
    assert share_right(latent, truth.site[regular]) >= 0.97
    assert r_squared(latent, truth.thickness_nm[regular]) >= 0.88


def test_sign_of_the_layer_is_in_the_angle(encoded):
    *_, encoding, pairs, truth = encoded
    polar = ~truth.in_fault & ~truth.odd & (truth.sign != 0)
    told = sign_from_angle(
        encoding.angle[pairs][polar], truth.angle_rad[polar], truth.site[polar], truth.sign[polar]
    )
    assert (told == truth.sign[polar]).mean() >= 0.97


def test_odd_columns_stand_out_in_the_residual(encoded):
    *_, encoding, pairs, truth = encoded
    residual = encoding.residual[pairs]
    assert np.median(residual[truth.odd]) > np.quantile(
        residual[~truth.odd & ~truth.in_fault], 0.95
    )


def test_maps_and_table_are_saved(sample, encoded, tmp_path):
    import hyperspy.api as hs

    columns, kept, model, encoding, *_ = encoded
    mean = sample[1]
    folder = save_results(
        tmp_path / "maps", columns, encoding, kept,
        shape=mean.data.shape, pixel_size_nm=0.02, model=model,
    )  # fmt: skip
    saved = hs.load(folder / "angle.hspy")
    assert saved.data.shape == mean.data.shape
    assert np.isfinite(saved.data).mean() > 0.85
    assert RVAE.load(folder / "model.safetensors").history == model.history


def test_checkpoints_are_what_their_recipe_makes(encoded):
    columns, kept, _, encoding, *_ = encoded
    stored = Columns.load(fetch("sr3fe2o7_columns.csv"))
    assert len(stored) == len(columns)
    np.testing.assert_allclose(stored.positions, columns.positions, atol=0.01)
    model = RVAE.load(fetch("sr3fe2o7_rvae_40px.safetensors"))
    assert model.pixel_size_nm == pytest.approx(0.02)
    # Another machine rounds otherwise, and training then ends at another, equally good model.
    final = model.history[-1]["loss"], encoded[2].history[-1]["loss"]
    assert final[0] == pytest.approx(final[1], abs=3)


def test_the_cheat_sheet_runs_as_it_stands(tmp_path, monkeypatch):
    sheet = Path(__file__).resolve().parents[1] / "book" / "cheatsheet.md"
    code = re.search(r"```python\n(.*?)```", sheet.read_text(encoding="utf-8"), re.DOTALL)[1]
    frame = load_image(fetch("sr3fe2o7_stack.hspy")).inav[0].isig[:400, :400]
    frame.save(tmp_path / "mine.hspy")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("mine.dm4", "mine.hspy"), {})
    assert {"angle.hspy", "columns.csv"} <= {path.name for path in Path("maps").iterdir()}
