"""The rVAE on stacks whose angles, motifs and noise are known."""

import json
import warnings

import numpy as np
import pytest
import torch
from benchmarks.judge import spatial_order
from scipy import ndimage
from test_subimages_harmonics import motif

from helpers import RVAE, cut_subimages, find_kinds
from helpers.results.angles import align_gauge, fold_angles
from helpers.rvae.encoding import Ways
from helpers.rvae.posterior import AngleSeries
from helpers.rvae.shifts import ShiftedSeries
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import polycrystal
from helpers.subimages.harmonics import DiskHarmonics

WINDOW, NOISE = 25, 0.12

# A pass or two are not enough to learn from; what such models warn of is tested by itself.
pytestmark = pytest.mark.filterwarnings("ignore:a turn explains:UserWarning")


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


@pytest.mark.parametrize("sharpness", [0.1, 1, 30, 1000])
@pytest.mark.parametrize("window_px", [25, 40, 64])
def test_marginal_likelihood_agrees_with_a_far_finer_grid(window_px, sharpness):
    """From a posterior that is nearly flat to one of 0.03 degrees."""
    basis = DiskHarmonics.build(window_px)
    series = AngleSeries(basis)
    shapes = np.stack([motif(window_px, a, fold) for fold in (1, 2, 3, 4, 6) for a in (0.3, 0.4)])
    c = torch.as_tensor(basis.project(shapes))[:, None].expand(-1, 10, -1).flatten(0, 1)
    g = c.roll(1, 0) + 0.02 * torch.randn(c.shape, generator=torch.Generator().manual_seed(0))
    waves = series.of(c, g) * sharpness
    fine = torch.arange(14400, dtype=torch.float64) * 2 * torch.pi / 14400
    phase = series.orders.double()[:, None] * fine
    on_grid = waves.double() @ torch.cat([torch.ones(1, 14400), phase.cos(), phase.sin()])
    expected = torch.logsumexp(on_grid, -1) - np.log(14400)
    assert (series.log_mean(waves) - expected).abs().max() < 0.1


@pytest.mark.parametrize(("count", "window_px"), [(100, 24), (200, 40), (2000, 24)])
def test_pure_noise_has_no_angle(count, window_px):
    """Not even in stacks so small that the network learns them by heart."""
    noise = np.random.default_rng(0).normal(size=(count, window_px, window_px))
    model = RVAE(window_px)
    with pytest.warns(UserWarning, match="looks like noise"):
        model.fit(noise.astype(np.float32), progress=False)
    encoding = model.encode(noise)
    assert len(model.kinds) == 0 and (encoding.kind == -1).all() and (encoding.order == 0).all()
    assert np.median(encoding.angle_sd) > 1.5
    assert np.median(model.encode(noise, normalization="model").angle_sd) > 1.5
    places = np.random.default_rng(1).uniform(0, 1000, (count, 2))
    for values in (*encoding.latent.T, np.cos(encoding.angle), np.sin(encoding.angle)):
        assert abs(spatial_order(places, values)[1]) < 3.5


def test_warnings_point_at_the_line_that_asked():
    stack = np.random.default_rng(0).normal(size=(60, 24, 24)).astype(np.float32)
    with pytest.warns(UserWarning, match="a turn explains") as at_fit:
        model = RVAE(24).fit(stack, progress=False)
    with pytest.warns(UserWarning, match="were estimated from 60") as at_encode:
        model.encode(stack)
    assert {at_fit[0].filename, at_encode[0].filename} == {__file__}


def test_few_subimages_with_a_motif_are_not_taken_for_noise():
    stack, _ = turned_stack(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RVAE(WINDOW).fit(stack, progress=False)


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


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_interrupted_training_leaves_no_trained_model(monkeypatch):
    stack, _ = turned_stack(60)
    model = RVAE(WINDOW)
    monkeypatch.setattr("helpers.rvae.training._one_pass", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(stack, epochs=1, progress=False)
    assert "untrained" in repr(model) and model.history == []
    with pytest.raises(RuntimeError, match="fit"):
        model.encode(stack)


@pytest.mark.parametrize("ending", ["refused", "interrupted"])
def test_a_second_fit_that_fails_leaves_the_trained_model_as_it_was(monkeypatch, ending):
    stack, _ = turned_stack(60)
    model = RVAE(WINDOW).fit(stack, epochs=2, progress=False, pixel_size_nm=0.02)
    history, basis = model.history, model.basis
    before = model.encode(stack, normalization="model")
    if ending == "refused":
        with pytest.raises(ValueError, match="constant"):
            model.fit(np.ones_like(stack), classes=["a"] * 60, progress=False)
    else:
        monkeypatch.setattr("helpers.rvae.training._one_pass", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.fit(2 * stack[:50], epochs=1, progress=False, pixel_size_nm=0.01)
    after = model.encode(stack, normalization="model")
    np.testing.assert_array_equal(after.angle, before.angle)
    np.testing.assert_array_equal(after.latent, before.latent)
    assert model.history is history and model.basis is basis
    assert model.pixel_size_nm == 0.02 and model.classes == []


def test_classes_are_refused_for_a_store_which_draws_others_each_pass():
    class Store:
        basis = DiskHarmonics.build(WINDOW)

        def sample(self, seed):
            return self.basis.project(turned_stack(60)[0])

    with pytest.raises(ValueError, match="a store draws other sub-images for each pass"):
        RVAE(WINDOW).fit(Store(), epochs=2, classes=["a", "b"] * 30, progress=False)
    model = RVAE(WINDOW).fit(Store(), epochs=2, progress=False)
    assert len(model.history) == 2 and model.classes == []


def test_coefficients_with_nan_are_refused_and_counted():
    stack, _ = turned_stack(60)
    model = RVAE(WINDOW).fit(stack, epochs=1, progress=False)
    coefficients = model.basis.project(stack)
    whole = model.encode(coefficients, normalization="model")
    assert np.isfinite(whole.angle).all()
    coefficients[[3, 7], 5] = np.nan
    with pytest.raises(ValueError, match="2 of 60 sub-images hold NaN"):
        model.encode(coefficients, normalization="model")


def test_kinds_of_noise_may_be_handed_to_a_training():
    noise = np.random.default_rng(0).normal(size=(100, 24, 24)).astype(np.float32)
    kinds = find_kinds(noise)
    assert len(kinds) == 0
    model = RVAE(24).fit(noise, kinds=kinds, epochs=1, progress=False)
    assert (model.encode(noise, normalization="model").kind == -1).all()


def test_decode_takes_one_angle_for_all_or_one_each(two_kinds):
    model = two_kinds[3]
    latent = [[0, 0], [0, 1]]
    np.testing.assert_array_equal(model.decode(latent, 0.3), model.decode(latent, [0.3, 0.3]))
    with pytest.raises(ValueError, match="3 angles of shape .* for 2 latents"):
        model.decode(latent, [0, 1, 2])


def test_whoever_watches_may_stop_and_sees_the_same_passes():
    stack, rows = turned_stack(300)[0], []
    whole = RVAE(WINDOW, seed=1).fit(stack, epochs=6, progress=False, watch=rows.append)
    assert rows == whole.history
    early = RVAE(WINDOW, seed=1).fit(stack, progress=False, watch=lambda row: row["epoch"] == 3)
    again = RVAE(WINDOW, seed=1).fit(stack, progress=False, watch=lambda row: row["epoch"] == 3)
    assert len(early.history) == 3 and early.history == again.history
    assert np.isfinite(early.encode(stack).angle).all()


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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_ends_calmly_though_motifs_have_nearly_equal_ways_to_stand(seed):
    parts = [turned_stack(400, fold, noise=0.3, seed=fold) for fold in (2, 4)]
    stack = np.concatenate([part for part, _ in parts])
    rows = RVAE(WINDOW, seed=seed).fit(stack, progress=False).history
    best = min(row["loss"] for row in rows if row["beta"] == 1)
    assert rows[-1]["loss"] < best + 1  # nats a sub-image
    assert rows[-1]["learning_rate"] < 0.1 * rows[0]["learning_rate"]


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


def test_a_file_without_all_of_the_noise_is_refused(two_kinds, tmp_path):
    """As models of earlier versions are: what is missing would turn every angle into NaN."""
    from helpers.rvae.model_file import read_model, write_model

    path = two_kinds[3].save(tmp_path / "model.safetensors")
    weights, settings = read_model(path)
    del settings["noise"]["shift_px"]
    write_model(path, weights, settings)
    with pytest.raises(ValueError, match="shift_px"):
        RVAE.load(path)


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


@pytest.mark.parametrize(("window_px", "band_limit"), [(5, None), (6, None), (9, None), (9, 1.9)])
def test_smallest_windows_and_bands(window_px, band_limit):
    """Nothing to be learnt there, but numbers come out, and angles that nobody claims to know."""
    noise = np.random.default_rng(0).normal(size=(40, window_px, window_px))
    model = RVAE(window_px, band_limit=band_limit).fit(noise, epochs=2, progress=False)
    for count in (1, 2, 40):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            encoding = model.encode(noise[:count])
        for values in (encoding.angle, encoding.latent, encoding.residual, encoding.offset):
            assert np.isfinite(values).all()
        assert np.median(encoding.angle_sd) > 1.5


def test_corners_may_be_missing():
    stack, _ = turned_stack(40)
    stack[:, 0, 0] = np.nan
    RVAE(WINDOW).fit(stack, epochs=1, progress=False)


def test_no_sub_images_are_refused_and_why_is_said(two_kinds):
    stack, _, kind, model = two_kinds
    coefficients = model.basis.project(stack)
    for none in (stack[kind == 2], coefficients[kind == 2], stack[:0]):
        for normalization in ("stack", "model"):
            with pytest.raises(ValueError, match="no sub-images were given.*mask, slice"):
                model.encode(none, normalization=normalization)


def test_wrong_words_and_numbers():
    stack, _ = turned_stack(40)
    with pytest.raises(ValueError, match="latent_dim=0"):
        RVAE(WINDOW, latent_dim=0)
    with pytest.raises(ValueError, match="beta=0"):
        RVAE(WINDOW, beta=0)
    with pytest.raises(ValueError, match="epochs=0"):
        RVAE(WINDOW).fit(stack, epochs=0)
    with pytest.raises(ValueError, match="pixel_size_nm=0, but a number greater than 0"):
        RVAE(WINDOW).fit(stack, pixel_size_nm=0)
    with pytest.raises(RuntimeError, match="fit"):
        RVAE(WINDOW).encode(stack)
    with pytest.raises(RuntimeError, match="fit"):
        RVAE(WINDOW).decode([[0, 0]])
    model = RVAE(WINDOW).fit(stack, epochs=1, progress=False)
    with pytest.raises(ValueError, match="normalization"):
        model.encode(stack, normalization="none")
    with pytest.raises(ValueError, match="pixel_size_nm=nan"):
        model.encode(stack, pixel_size_nm=np.nan)
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


def test_the_posterior_is_kept_with_its_modes(two_kinds):
    stack, _, kind, model = two_kinds
    encoding = model.encode(stack)
    assert (encoding.mode_probability[kind == 1, 0] > 0.99).mean() > 0.95
    thirds = np.sort(encoding.mode_probability[kind == 3], axis=1)[:, -3:]
    assert np.median(thirds.sum(axis=1)) > 0.99 and (thirds[:, 0] > 0.02).mean() > 0.6
    np.testing.assert_allclose(encoding.angle_sd, encoding.folded_sd(1))


@pytest.mark.parametrize("memory_px", [1, 3])
def test_noise_that_pixels_share_widens_the_error_bars(memory_px):
    """Scan lines displaced at random: the error bar must know of it without the truth."""
    rng = np.random.default_rng(5)
    angle = rng.uniform(-np.pi, np.pi, 1000)
    basis = DiskHarmonics.build(61)
    pattern = ndimage.gaussian_filter(rng.normal(size=(1, 61, 61)), (0, 3, 3))
    clean = basis.synthesise(basis.rotate(basis.project(pattern / pattern.std()), angle))
    jitter = ndimage.gaussian_filter1d(rng.normal(size=(1000, 61)), memory_px, axis=1)
    jitter *= 0.25 / jitter.std()
    slope = np.gradient(clean, axis=2)
    stack = clean + jitter[:, :, None] * slope + 0.3 * rng.normal(size=clean.shape)
    stack = stack[:, 10:51, 10:51].astype(np.float32)
    model = RVAE(41).fit(stack, progress=False)
    encoding = model.encode(stack)
    error = fold_angles(align_gauge(encoding.angle, angle) - angle, 1)
    assert model._noise.overdispersion > 1.5
    assert 0.56 < (np.abs(error) < encoding.angle_sd).mean() < 0.78
    naive = encoding.angle_sd / model._noise.overdispersion**0.5
    assert (np.abs(error) < naive).mean() < 0.5


def test_a_known_class_is_left_out_of_the_latents():
    one, angle_one = turned_stack(300, 1, seed=1)
    three, _ = turned_stack(300, 3, seed=2)
    size = np.random.default_rng(3).uniform(0.6, 1.4, 600)
    stack = np.concatenate([one, three]) * size[:, None, None].astype(np.float32)
    kind = np.repeat(["one", "three"], 300)
    model = RVAE(WINDOW, latent_dim=1).fit(stack, classes=kind, progress=False)
    latent = model.encode(stack, classes=kind).latent[:, 0]
    for k in ("one", "three"):
        assert abs(np.corrcoef(latent[kind == k], size[kind == k])[0, 1]) > 0.95
    drawn = model.decode([[0], [0]], classes=["one", "three"])
    assert np.nanstd(drawn[0] - drawn[1]) > 0.05
    angle = model.encode(stack, classes=kind).angle[:300]
    off = fold_angles(align_gauge(angle, angle_one) - angle_one, 1)
    assert np.median(np.abs(off)) < np.deg2rad(2)
    with pytest.raises(ValueError, match="unknown ones: \\['two'\\]"):
        model.encode(stack, classes=["two"] * 600)
    with pytest.raises(ValueError, match="0 classes for 600"):
        model.encode(stack)
    with pytest.raises(ValueError, match="model without classes"):
        RVAE(WINDOW).fit(stack, epochs=1, progress=False).encode(stack, classes=kind)


def test_offsets_are_found_and_do_not_spoil_the_latents(tmp_path):
    """Windows off centre by a third of a pixel rms, the motif at its own angle in each."""
    rng = np.random.default_rng(8)
    angle, moved = rng.uniform(-np.pi, np.pi, 800), 0.33 * rng.normal(size=(800, 2))
    wide = np.stack([motif(WINDOW + 12, a, 2) + motif(WINDOW + 12, a) for a in angle])
    stack = np.stack([
        ndimage.shift(image, by, order=3)[6:-6, 6:-6] for image, by in zip(wide, moved, strict=True)
    ])  # fmt: skip
    stack = (stack + 0.05 * rng.normal(size=stack.shape)).astype(np.float32)
    model = RVAE(WINDOW, offsets=True).fit(stack, progress=False)
    encoding = model.encode(stack)
    for found, true in zip(encoding.offset.T, moved.T, strict=True):
        assert np.corrcoef(found, true)[0, 1] > 0.7
    plain = RVAE(WINDOW).fit(stack, progress=False).encode(stack)
    error = [fold_angles(align_gauge(e.angle, angle) - angle, 1) for e in (encoding, plain)]
    assert np.median(np.abs(error[0])) < 0.8 * np.median(np.abs(error[1]))
    again = RVAE.load(model.save(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(again.encode(stack).offset, encoding.offset)


def test_a_model_of_centred_motifs_finds_windows_off_centre():
    """Shift the windows, and the offset moves by that; the model need not have met any shift."""
    rng = np.random.default_rng(9)
    angle, moved = rng.uniform(-np.pi, np.pi, 400), 0.4 * rng.normal(size=(400, 2))
    wide = np.stack([motif(WINDOW + 12, a, 2) + motif(WINDOW + 12, a) for a in angle])
    noise = 0.05 * rng.normal(size=(400, WINDOW, WINDOW))
    off = [ndimage.shift(image, by, order=3) for image, by in zip(wide, moved, strict=True)]
    centred, shifted = (np.stack(images)[:, 6:-6, 6:-6] + noise for images in (wide, off))
    encoding = RVAE(WINDOW).fit(centred, progress=False).encode(shifted)
    for found, true in zip(encoding.offset.T, moved.T, strict=True):
        assert np.corrcoef(found, true)[0, 1] > 0.9
        assert np.polyfit(true, found, 1)[0] == pytest.approx(1, abs=0.25)


def test_shift_is_marginalised_as_a_sum_over_shifts_says():
    basis = DiskHarmonics.build(WINDOW)
    series = ShiftedSeries(basis)
    g = torch.as_tensor(basis.project(motif(WINDOW)[None]))
    c = torch.as_tensor(basis.project(motif(WINDOW, 0.4)[None]))
    log_sigma, shift = torch.tensor(-1.0), 0.4
    waves, rest = series.log_posterior(c, g, log_sigma, torch.tensor(np.log(shift)))
    places = torch.linspace(-5, 5, 41) * shift
    prior = torch.exp(-(places**2) / (2 * shift**2))
    prior = prior[:, None] * prior / (prior[:, None] * prior).sum()
    for angle in (0.3, 0.4, 1.5):
        total = 0.0
        for i, a in enumerate(places):
            for j, b in enumerate(places):
                drawn = g + a * (g @ series.slopes[0]) + b * (g @ series.slopes[1])
                turned = series.rotate(drawn, torch.tensor([angle]))
                squared = (c - turned).square().sum().double()
                log_p = -squared / (2 * torch.exp(2 * log_sigma)) - len(basis) * log_sigma
                total += prior[i, j] * torch.exp(log_p - 100)
        found = series.at(waves, torch.tensor([angle]))[0] + rest
        assert found.item() - 100 == pytest.approx(np.log(total.item()), abs=0.05)


def test_a_memory_mapped_stack_is_the_same_as_one_in_memory(tmp_path):
    stack, _ = turned_stack(100)
    np.save(tmp_path / "stack.npy", stack)
    mapped = np.load(tmp_path / "stack.npy", mmap_mode="r")
    models = [RVAE(WINDOW).fit(s, epochs=2, progress=False) for s in (stack, mapped)]
    assert models[0].history == models[1].history


def test_the_zero_of_the_angle_does_not_jump_between_like_motifs():
    """Motifs that fit a fourfold reference in four turns keep one zero as they change with z."""
    rng = np.random.default_rng(4)
    angle, share = rng.uniform(-np.pi, np.pi, 1500), rng.uniform(0.15, 0.6, 1500)
    four = np.stack([motif(WINDOW, a, 4) for a in angle])
    one = np.stack([motif(WINDOW, a, 1) for a in angle])
    stack = four + share[:, None, None] * one + 0.05 * rng.normal(size=four.shape)
    encoding = RVAE(WINDOW).fit(stack.astype(np.float32), progress=False).encode(stack)
    off = fold_angles(align_gauge(encoding.angle, angle) - angle, 1)
    assert (np.abs(off) < np.deg2rad(10)).mean() > 0.98


def test_a_noisy_motif_off_its_centre_stands_as_it_should():
    """A simulated polycrystal at few counts, windows off centre."""
    specimen, scan = polycrystal(shape=(512, 512), seed=6), Scan(dose=100)
    frames, truth = scan_specimen(specimen, 1, scan=scan, seed=6)
    places = truth.positions[0] + 0.4 * np.random.default_rng(6).normal(size=(len(truth), 2))
    inner = np.flatnonzero((truth.site == "Fe") & (truth.boundary_px > 20))
    model = RVAE(40).fit(cut_subimages(frames[0], places, 40)[0], progress=False)
    windows, kept = cut_subimages(frames[0], places[inner], 40)
    inner = truth.take(inner[kept])
    turn = inner.angle_rad + np.where(inner.sign > 0, 0, np.pi)
    angle = model.encode(windows, normalization="model").angle
    off = np.abs(fold_angles(align_gauge(angle, turn) - turn, 1)) > np.pi / 4
    assert off.mean() < 0.05


def test_ways_to_stand_widen_the_error_bar():
    """What two ways explain alike is told by neither: their posteriors are added."""
    ways = Ways(np.array([0, 0, 1]), np.array([0.5, 0.5, 1.0]), np.zeros((3, 3), np.float32))
    ways.series[:, 1] = [9.0, -9.0, 9.0]  # a peak at 0, one at 180 degrees, one at 0
    posterior = ways.posterior(np.linspace(-np.pi, np.pi, 360, endpoint=False), np.arange(2))
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    assert posterior[0, 180] == pytest.approx(posterior[0, 0])
    assert posterior[1, 180] > 1000 * posterior[1, 0]
