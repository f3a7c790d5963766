"""The rVAE on stacks whose angles, motifs and noise are known."""

import json
import warnings

import numpy as np
import pytest
import torch
from test_harmonics import motif

from helpers import RVAE
from helpers.angles import align_gauge, fold_angles
from helpers.harmonics import DiskHarmonics
from helpers.posterior import AngleSeries

WINDOW, NOISE = 25, 0.12


def turned_stack(n: int, fold: int = 1, *, noise: float = NOISE, seed: int = 0):
    """`n` noisy copies of one motif, each at its own angle (n,)."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n)
    clean = np.stack([motif(WINDOW, a, fold) for a in angle])
    return (clean + noise * rng.normal(size=clean.shape)).astype(np.float32), angle


@pytest.fixture(scope="module")
def two_kinds():
    """Half the motifs have one satellite, half three; the model trained on them."""
    one, angle_one = turned_stack(400, 1, seed=1)
    three, angle_three = turned_stack(400, 3, seed=2)
    stack = 50 + 20 * np.concatenate([one, three])  # an offset and a gain, as a detector has
    kind = np.repeat([1, 3], 400)
    model = RVAE(WINDOW, seed=3).fit(stack, progress=False, pixel_size_nm=0.02)
    return stack, np.concatenate([angle_one, angle_three]), kind, model


def test_angle_comes_back_within_its_error_bar(two_kinds):
    stack, truth, kind, model = two_kinds
    encoding = model.encode(stack)
    for fold in (1, 3):
        of_kind = kind == fold
        aligned = align_gauge(encoding.angle[of_kind], truth[of_kind], order=fold)
        error = fold_angles(aligned - truth[of_kind], fold)
        assert np.median(np.abs(error)) < np.deg2rad(1.5)
        within = np.abs(error) < encoding.folded_sd(fold)[of_kind]
        assert 0.55 < within.mean() < 0.8  # 68 % for an honest normal error


def test_latents_tell_the_motifs_apart(two_kinds):
    stack, _, kind, model = two_kinds
    latent = model.encode(stack).latent
    centre = [latent[kind == k].mean(axis=0) for k in (1, 3)]
    nearest = np.argmin([np.linalg.norm(latent - c, axis=1) for c in centre], axis=0)
    assert (np.array([1, 3])[nearest] == kind).mean() > 0.99


def test_a_turn_moves_the_angle_and_not_the_latents(two_kinds):
    stack, _, _, model = two_kinds
    here = model.encode(stack[:200], normalization="model")
    there = model.encode(np.rot90(stack[:200], axes=(1, 2)), normalization="model")
    moved = fold_angles(there.angle - here.angle - np.pi / 2, 1)
    assert np.abs(moved).max() < np.deg2rad(0.1)
    assert np.abs(there.latent - here.latent).max() < 1e-3 * here.latent.std()


def test_posterior_has_as_many_modes_as_the_motif(two_kinds):
    stack, _, kind, model = two_kinds
    encoding = model.encode(stack)
    posterior = encoding.angle_posterior()
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    grid = np.arange(360) * 2 * np.pi / 360 - np.pi
    off = np.abs(fold_angles(grid - encoding.angle[:, None], 1))
    near_mode = np.where(off < np.pi / 3, posterior, 0).sum(axis=1)
    assert np.median(near_mode[kind == 1]) > 0.999
    assert np.median(near_mode[kind == 3]) < 0.7  # a third each, as far as the noise lets it
    assert np.median(encoding.angle_sd[kind == 3]) > 1 > np.median(encoding.angle_sd[kind == 1])


def test_posterior_of_some_rows_at_chosen_angles(two_kinds):
    stack, _, _, model = two_kinds
    encoding = model.encode(stack)
    angles = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    some = encoding.angle_posterior(angles, rows=[5, 7])
    assert some.shape == (2, 720)
    best = angles[some.argmax(axis=1)]
    assert np.abs(fold_angles(best - encoding.angle[[5, 7]], 1)).max() <= 2 * np.pi / 720


def test_noise_level_is_learned(two_kinds):
    stack, _, _, model = two_kinds
    residual = model.encode(stack).residual
    assert residual.mean() == pytest.approx(1, abs=0.1)
    misfit = stack - model.decode(model.encode(stack).latent, model.encode(stack).angle)
    assert np.nanstd(misfit) == pytest.approx(20 * NOISE, rel=0.1)


def test_decode_draws_in_input_units_and_turns_counter_clockwise(two_kinds):
    stack, _, _, model = two_kinds
    latent = model.encode(stack).latent[:3]
    at_rest, turned = model.decode(latent), model.decode(latent, np.pi / 2)
    assert np.isnan(at_rest[0, 0, 0]) and 45 < np.nanmin(at_rest) and np.nanmax(at_rest) < 80
    np.testing.assert_allclose(turned, np.rot90(at_rest, axes=(1, 2)), atol=1e-3)


def test_gain_and_offset_do_not_matter_to_the_stack_normalisation(two_kinds):
    stack, _, _, model = two_kinds
    here, there = model.encode(stack), model.encode(3.7 * stack - 1000)
    np.testing.assert_allclose(there.latent, here.latent, atol=0.01)
    kept = model.encode(stack[:3], normalization="model")
    np.testing.assert_allclose(kept.latent, here.latent[:3], atol=1e-4)


def test_latents_are_sorted_by_what_they_explain(two_kinds):
    stack, _, _, model = two_kinds
    latent = model.encode(stack).latent
    explained = []
    for j in range(2):
        alone = np.broadcast_to(latent.mean(axis=0), latent.shape).copy()
        alone[:, j] = latent[:, j]
        explained.append(np.nansum(model.decode(alone).var(axis=0)))
        brightness = np.nanmean(model.decode(alone), axis=(1, 2))
        assert np.cov(latent[:, j], brightness)[0, 1] >= 0
    assert explained[0] > explained[1]


def test_marginal_likelihood_agrees_with_a_grid_twenty_times_finer(two_kinds):
    stack, _, _, model = two_kinds
    c = model._prepare(model.basis.project(stack[:50]), model._contrast)
    with torch.no_grad():
        z, _ = model._encode_invariantly(c)
        g = model._motifs.decoder(z)
        found = model._series.log_likelihood(c, g, model._motifs.log_sigma)
        angles = torch.arange(7200) * 2 * torch.pi / 7200
        sigma = model._motifs.log_sigma.exp()
        squared = torch.stack(
            [(c - model._series.rotate(g, a.expand(50))).square().sum(-1) for a in angles]
        )
        fine = torch.logsumexp(-squared / (2 * sigma**2), 0) - np.log(7200)
        fine = fine - c.shape[1] * sigma.log()
    assert (found - fine).abs().max() < 0.1


def test_pure_noise_has_no_angle():
    noise = np.random.default_rng(0).normal(size=(300, 16, 16)).astype(np.float32)
    encoding = RVAE(16).fit(noise, epochs=20, progress=False).encode(noise)
    assert np.median(encoding.angle_sd) > 1


def test_same_seed_same_model_other_seed_another():
    stack, _ = turned_stack(100)
    one, same, other = (
        RVAE(WINDOW, seed=s)
        .fit(stack, epochs=3, progress=False)
        .encode(stack, normalization="model")
        for s in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.latent, same.latent)
    assert np.abs(one.latent - other.latent).max() > 1e-3


def test_a_second_fit_starts_anew():
    stack, _ = turned_stack(60)
    model = RVAE(WINDOW).fit(stack, epochs=3, progress=False)
    once = model.history
    assert model.fit(stack, epochs=3, progress=False).history == once


def test_an_interrupted_training_leaves_no_trained_model(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    stack, _ = turned_stack(60)
    model = RVAE(WINDOW).fit(stack, epochs=1, progress=False)
    monkeypatch.setattr(RVAE, "_one_pass", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(stack, epochs=1, progress=False)
    assert "untrained" in repr(model)
    with pytest.raises(RuntimeError, match="fit"):
        model.encode(stack)


def test_training_leaves_the_global_random_state_alone():
    stack, _ = turned_stack(50)
    torch.manual_seed(1)
    RVAE(WINDOW, seed=9).fit(stack, epochs=1, progress=False)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert after == torch.rand(1)


def test_history_has_one_row_a_pass(two_kinds):
    stack, _ = turned_stack(60)
    model = RVAE(WINDOW, latent_dim=1).fit(stack, epochs=4, progress=False)
    assert [row["epoch"] for row in model.history] == [1, 2, 3, 4]
    parts = model.history[-1]
    assert parts["loss"] == pytest.approx(parts["misfit"] + parts["beta"] * parts["kl"])
    long = two_kinds[3].history
    assert long[-1]["beta"] == 1 and long[0]["beta"] == 31
    assert long[-1]["loss"] < long[0]["loss"]
    assert model.encode(stack, normalization="model").latent.shape == (60, 1)


def test_saved_model_comes_back_whole(two_kinds, tmp_path):
    stack, _, _, model = two_kinds
    path = model.save(tmp_path / "model.safetensors")
    again = RVAE.load(path)
    np.testing.assert_array_equal(again.encode(stack).angle, model.encode(stack).angle)
    np.testing.assert_array_equal(again.decode([[0, 1]]), model.decode([[0, 1]]))
    assert again.history == model.history and again.pixel_size_nm == 0.02
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_foreign_or_damaged_file_is_refused(two_kinds, tmp_path):
    from safetensors.numpy import save_file

    path = two_kinds[3].save(tmp_path / "model.safetensors")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\x80\x04pickle"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a whole model"):
            RVAE.load(path)
    save_file({"a": np.zeros(2, np.float32)}, path, metadata={"x": json.dumps(1)})
    with pytest.raises(ValueError, match="not a whole model"):
        RVAE.load(path)
    with pytest.raises(FileNotFoundError, match="no model file"):
        RVAE.load(tmp_path / "none.safetensors")


def test_another_pixel_size_and_few_subimages_warn(two_kinds):
    stack, _, _, model = two_kinds
    with pytest.warns(UserWarning, match="0.03 nm"):
        model.encode(stack, pixel_size_nm=0.03)
    with pytest.warns(UserWarning, match='normalization="model"'):
        model.encode(stack[:50])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(stack, pixel_size_nm=0.0205)


@pytest.mark.parametrize(
    ("stack", "message"),
    [
        (np.zeros((0, WINDOW, WINDOW)), "shape"),
        (np.zeros((WINDOW, WINDOW)), "shape"),
        (np.zeros((50, WINDOW, WINDOW - 1)), "cut_subimages"),
        (np.zeros((50, WINDOW, WINDOW)), "constant"),
        (np.full((50, WINDOW, WINDOW), 7.0), "constant"),
        (np.full((50, WINDOW, WINDOW), np.nan), "NaN"),
        (np.ones((1, WINDOW, WINDOW)), "at least"),
    ],
)
def test_fit_refuses(stack, message):
    with pytest.raises(ValueError, match=message):
        RVAE(WINDOW).fit(stack, progress=False)


def test_corners_may_be_missing():
    stack, _ = turned_stack(40)
    stack[:, 0, 0] = np.nan
    RVAE(WINDOW).fit(stack, epochs=1, progress=False)


def test_wrong_words_and_numbers():
    stack, _ = turned_stack(40)
    with pytest.raises(ValueError, match="latent_dim=0"):
        RVAE(WINDOW, latent_dim=0)
    with pytest.raises(ValueError, match="beta=0"):
        RVAE(WINDOW, beta=0)
    with pytest.raises(ValueError, match="epochs=0"):
        RVAE(WINDOW).fit(stack, epochs=0)
    with pytest.raises(RuntimeError, match="fit"):
        RVAE(WINDOW).encode(stack)
    with pytest.raises(RuntimeError, match="fit"):
        RVAE(WINDOW).decode([[0, 0]])
    model = RVAE(WINDOW).fit(stack, epochs=1, progress=False)
    with pytest.raises(ValueError, match="normalization"):
        model.encode(stack, normalization="none")
    with pytest.raises(ValueError, match="latent_dim=2"):
        model.decode([[0, 0, 0]])


def test_wish_for_a_device():
    assert RVAE(WINDOW, device="auto").device in ("cpu", "cuda")
    with pytest.raises(ValueError, match="device='gpu'"):
        RVAE(WINDOW, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no GPU"):
            RVAE(WINDOW, device="cuda")


def test_only_one_latent_carries_brightness(two_kinds):
    stack, _, _, model = two_kinds
    latent = model.encode(stack, normalization="model").latent
    brightness = np.nanmean(model.decode(latent), axis=(1, 2))
    follows = np.sort([abs(np.cov(z, brightness)[0, 1]) for z in latent.T])
    assert follows[0] < 0.05 * follows[1]


def test_of_nearly_equal_ways_to_align_a_motif_the_smallest_turn_is_taken():
    series = AngleSeries(DiskHarmonics.build(WINDOW))
    waves = torch.zeros(1, 1 + 2 * len(series.orders))
    waves[0, 4], waves[0, 1 + len(series.orders)] = 1, 0.05  # cos 4 theta + 0.05 sin theta
    assert series.best_angle(waves).item() == pytest.approx(np.pi / 2, abs=1e-3)
    assert series.nearest_angle(waves).item() == pytest.approx(0, abs=0.01)
