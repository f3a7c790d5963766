"""Many frames in a store: right places, kept identity, interruption, damage, training from disk."""

import os
import shutil
import subprocess
import sys
import time
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Client
from scipy.spatial import cKDTree

from helpers import RVAE, FrameStore, cut_subimages, find_kinds, process_stack
from helpers.columns.segmentation import probability_of
from helpers.results.angles import fold_angles
from helpers.simulate.lattices import render_columns
from helpers.simulate.scan import Scan, scan_specimen
from helpers.simulate.specimen import single_crystal
from helpers.stack import process, store as store_module

ARRAYS = ("positions", "sd", "seen", "coefficients", "state")


@pytest.fixture(scope="module")
def recorded():
    """Eight simulated frames of 192², and where each true column lies in each."""
    specimen = single_crystal(shape=(192, 192), seed=3)
    stack, truth = scan_specimen(specimen, 8, scan=Scan(drift_px=(0.8, -0.5)), seed=5)
    return stack.astype(np.float32), truth


@pytest.fixture(scope="module")
def store(recorded, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "frames.zarr"
    return process_stack(recorded[0], path, progress=False)


def contents(store):
    return {name: store.group[name][:] for name in ARRAYS}


def same(one, other):
    return all(one[name].tobytes() == other[name].tobytes() for name in ARRAYS)


# ------------------------------------------------------------ what is in it


def test_positions_are_those_of_the_truth_in_every_frame(store, recorded):
    for number, places in enumerate(store.group["positions"][:]):
        found = np.isfinite(places[:, 0])
        distance, _ = cKDTree(recorded[1].positions[number]).query(places[found])
        assert np.median(distance) < 0.5
        expected = store.group["columns"][:] + store.group["shifts"][number]
        inside = ((expected > 0) & (expected < 191)).all(axis=1)
        assert found[inside].mean() > 0.95


def test_a_column_keeps_its_number_in_every_frame(store, recorded):
    places = store.group["positions"][:]
    nearest = [
        cKDTree(t).query(p)[1]
        for t, p in zip(recorded[1].positions, np.nan_to_num(places), strict=True)
    ]
    fitted = np.isfinite(places[..., 0]).all(axis=0)
    assert fitted[: len(store.group["reference"])].mean() > 0.9  # the others come and go
    assert (np.array(nearest)[:, fitted] == nearest[0][fitted]).all()


def test_coefficients_are_those_of_the_sub_images(store, recorded):
    columns, coefficients = store.of_frame(3)
    places = store.group["positions"][3]
    stack, kept = cut_subimages(recorded[0][3], places, store.basis.window_px)
    assert np.array_equal(kept, columns)
    np.testing.assert_array_equal(store.basis.project(stack), coefficients)


def test_lazy_stacks_and_workers_give_the_same(store, recorded, tmp_path):
    lazy = da.from_array(recorded[0], chunks=(1, 192, 192))
    with Client(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as client:
        other = process_stack(lazy, tmp_path / "frames.zarr", client=client, progress=False)
    assert same(contents(store), contents(other))


def test_what_a_frame_shows_is_what_the_network_says_of_it(recorded, tmp_path, monkeypatch):
    """It is asked by `probability_of` alone: blind on the right, it shows nothing there."""

    def left_half(image, spacing_px):
        probability = probability_of(image, spacing_px)
        probability[:, 96:] = 0
        return probability

    monkeypatch.setattr(process, "probability_of", left_half)
    path = tmp_path / "frames.zarr"
    half = process_stack(recorded[0][:3], path, window_px=24, progress=False)
    for number, seen in enumerate(half.group["seen"][:] > 0):
        column = (half.group["columns"][:] + half.group["shifts"][number])[:, 1]
        assert seen[column < 90].mean() > 0.9
        assert not seen[column > 100].any()


@pytest.mark.filterwarnings("ignore:1 NaN or infinite pixels:UserWarning")
def test_masked_pixels_are_missing_ones_lazy_or_not(recorded, tmp_path):
    frames = recorded[0][:3].copy()
    frames[1, 96, 96] = 1e6  # hot
    masked = np.ma.masked_equal(frames, 1e6)
    stacks = {
        "missing": masked.filled(np.nan),
        "masked": masked,
        "lazy": da.from_array(masked, chunks=(1, 192, 192)),
    }
    found = {}
    for name, stack in stacks.items():
        done = process_stack(stack, tmp_path / name, window_px=24, progress=False)
        found[name] = contents(done)
    assert same(found["missing"], found["masked"])
    assert same(found["missing"], found["lazy"])


# ------------------------------------------------------------ columns that come and go


COMES, GOES = range(4, 10), range(5)  # frames of twelve that show the one, and the other


@pytest.fixture(scope="module")
def changing():
    """Twelve frames of a square lattice in which one column comes and goes, and one goes."""
    rng, spacing = np.random.default_rng(2), 13.0
    lattice = spacing * np.argwhere(np.ones((15, 15))) + 12.3
    new, lost, shown = lattice[100] + spacing / 2, 120, []
    for number in range(12):
        there = lattice if number in GOES else np.delete(lattice, lost, axis=0)
        there = np.concatenate([there, [new]]) if number in COMES else there
        drawn = render_columns((208, 208), there + [0.5 * number, -0.3 * number], 60.0, 2.4)
        shown.append(rng.poisson(drawn + 10))
    return np.array(shown, np.float32), new, lattice[lost]


def column_at(store, place):
    """Number of the column nearest to a place in frame 0."""
    distance, number = cKDTree(store.group["columns"][:] + store.group["shifts"][0]).query(place)
    assert distance < 1
    return number


def test_columns_that_come_or_go_are_told_from_those_that_stay(changing, tmp_path):
    frames, new, lost = changing
    store = process_stack(frames, tmp_path / "frames.zarr", window_px=20, progress=False)
    seen, known = store.group["seen"][:], len(store.group["reference"])
    comes, goes = column_at(store, new), column_at(store, lost)
    assert np.flatnonzero(seen[:, comes]).tolist() == list(COMES)
    assert np.flatnonzero(seen[:, goes]).tolist() == list(GOES)
    moved = store.group["positions"][4:10, comes] - store.group["shifts"][4:10]
    assert np.abs(moved + store.group["shifts"][0] - new).max() < 0.6
    others = np.setdiff1d(np.arange(known), [comes, goes])
    assert seen[:, others].mean() > 0.99 and known + 30 > seen.shape[1]


def test_the_mean_alone_shows_no_column_that_stays_for_a_few_frames(changing, tmp_path):
    frames, new, _ = changing
    path, options = tmp_path / "frames.zarr", {"window_px": 20, "progress": False}
    store = process_stack(frames, path, segment_frames=False, **options)
    assert len(store.group["columns"]) == len(store.group["reference"])
    assert not store.group["seen"][:].any() and len(store.frames) == 12


def test_of_more_peaks_than_fit_the_least_probable_are_left_out(store, recorded, tmp_path):
    path = tmp_path / "frames.zarr"
    shutil.copytree(store.path, path)
    copy, room = FrameStore(path), 60
    copy.group.full("peaks", np.nan, shape=(8, room, 2), dtype="f8", overwrite=True)
    process._segment(copy, recorded[0][0], 0)
    found, kept = store.group["peaks"][0], copy.group["peaks"][0]
    found = found[np.isfinite(found[:, 0])]
    probability = process.probability_of(recorded[0][0], store.group.attrs["spacing_px"])
    of_found, of_kept = (probability[tuple(np.rint(p).astype(int).T)] for p in (found, kept))
    numbers = [np.flatnonzero((found == place).all(axis=1)).item() for place in kept]
    assert numbers == sorted(set(numbers)) and len(found) > room
    assert of_kept.min() >= np.sort(of_found)[-room]


# ------------------------------------------------------------ interruption


SCRIPT = """
import sys
import numpy as np
from helpers import process_stack

process_stack(np.load(sys.argv[1]), sys.argv[2], progress=False)
"""


@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_at_any_moment_goes_on_where_it_was(store, recorded, tmp_path, seed):
    np.save(tmp_path / "stack.npy", recorded[0])
    path, rng, killed = tmp_path / "frames.zarr", np.random.default_rng(seed), 0
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "stack.npy"), str(path)]
    for _ in range(20):
        running = subprocess.Popen(command)
        while running.poll() is None and not path.exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        running.kill()
        if running.wait() == 0:
            break
        killed += 1
    again = process_stack(recorded[0], path, progress=False)
    assert killed and same(contents(store), contents(again))


def test_what_is_done_is_not_done_again(store, recorded, monkeypatch):
    monkeypatch.setattr(process, "_step", None)
    assert len(process_stack(recorded[0], store.path, progress=False).frames) == 8


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), MemoryError()])
def test_a_full_disk_is_said_and_what_was_done_is_kept(
    fault, store, recorded, tmp_path, monkeypatch
):
    path, locate = tmp_path / "frames.zarr", process._locate

    def fail_at_five(store, image, number):
        if number == 5:
            raise fault
        return locate(store, image, number)

    monkeypatch.setattr(process, "_locate", fail_at_five)
    with pytest.raises(RuntimeError, match="frames to do .*call again"):
        process_stack(recorded[0], path, progress=False)
    assert 5 not in FrameStore(path).frames
    monkeypatch.setattr(process, "_locate", locate)
    assert same(contents(store), contents(process_stack(recorded[0], path, progress=False)))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_disk_without_room_for_a_chunk_leaves_no_half_of_it(store, recorded, tmp_path):
    np.save(tmp_path / "stack.npy", recorded[0])
    path = tmp_path / "frames.zarr"
    room = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    command = [sys.executable, "-c", room + SCRIPT, str(tmp_path / "stack.npy"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode and "frames to do (OSError: [Errno 27]" in done.stderr
    begun = FrameStore(path)
    assert len(begun.frames) == 0 and np.isnan(begun.group["coefficients"][:]).all()
    again = process_stack(recorded[0], path, progress=False)
    assert same(contents(store), contents(again))


@pytest.fixture
def deadly(recorded):
    """The stack, lazy, such that reading frame 5 ends the process, unless it is this one."""
    home = os.getpid()

    def read(block, block_info=None):
        if os.getpid() != home and block_info[0]["chunk-location"][0] == 5:
            os._exit(1)
        return block

    return da.from_array(recorded[0], chunks=(1, 192, 192)).map_blocks(read, dtype="f4")


def test_a_worker_that_dies_is_said_and_what_was_done_is_kept(store, recorded, deadly, tmp_path):
    path = tmp_path / "frames.zarr"
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client,
        pytest.raises(RuntimeError, match="frames to do .*KilledWorker.*call again"),
    ):
        process_stack(deadly, path, client=client, progress=False)
    assert 5 not in FrameStore(path).frames
    again = process_stack(recorded[0], path, progress=False)
    assert same(contents(store), contents(again))


# ------------------------------------------------------------ damage


@pytest.fixture(scope="module")
def damaged(recorded):
    stack = recorded[0].copy()
    stack[2] = 7
    stack[6, :20] = np.nan
    return stack


def test_a_damaged_frame_ends_the_run_and_is_named(damaged, tmp_path):
    with pytest.raises(ValueError, match="frame 2 .*constant.*skip_damaged=True"):
        process_stack(damaged, tmp_path / "frames.zarr", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:frames:UserWarning")
def test_damaged_frames_are_skipped_by_choice_and_named(damaged, tmp_path):
    store = process_stack(damaged, tmp_path / "frames.zarr", skip_damaged=True, progress=False)
    assert store.frames.tolist() == [0, 1, 3, 4, 5, 7]
    assert set(store.damaged) == {2, 6} and "constant" in store.damaged[2]
    assert "NaN" in store.damaged[6] and np.isnan(store.group["positions"][2]).all()


@pytest.mark.filterwarnings("ignore:frames .2. hardly resemble:UserWarning")
def test_a_frame_without_any_column_is_left_out_and_the_run_goes_on(recorded, tmp_path):
    """As one that was recorded beside the specimen: a ramp is no damage, but no lattice either."""
    frames = recorded[0][:5].copy()
    frames[2] = np.linspace(3, 4, 192)
    path, options = tmp_path / "frames.zarr", {"window_px": 24, "progress": False}
    with pytest.warns(UserWarning, match=r"frames \[2\] show no column with a whole window"):
        store = process_stack(frames, path, **options)
    assert store.frames.tolist() == [0, 1, 3, 4]
    assert list(store.damaged) == [2] and "window of 24 px" in store.damaged[2]
    for name in ("positions", "sd", "seen", "coefficients"):
        assert np.isnan(store.group[name][2]).all()
    assert np.isfinite(store.sample(0)).all()
    before = contents(store)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = process_stack(frames, path, **options)
    assert same(before, contents(again))


@pytest.mark.parametrize("shape", [(192, 192), (0, 192, 192), (2, 2, 192, 192), ()])
def test_what_is_no_stack_is_refused_with_a_way_out(shape, tmp_path):
    with pytest.raises(ValueError, match=r"\(F, H, W\) is needed.*load_image.*align_stack"):
        process_stack(np.ones(shape), tmp_path / "frames.zarr")


def test_another_stack_or_window_does_not_go_into_a_store(store, recorded):
    with pytest.raises(ValueError, match="another stack"):
        process_stack(recorded[0] + 1, store.path, progress=False)
    with pytest.raises(ValueError, match="windows of"):
        process_stack(recorded[0], store.path, window_px=store.basis.window_px + 2, progress=False)


def test_something_else_is_no_store(tmp_path):
    with pytest.raises(ValueError, match="no store of frames"):
        FrameStore(tmp_path / "nothing")
    zarr.open_group(str(tmp_path / "other"), mode="w").attrs["format"] = "something"
    with pytest.raises(ValueError, match="something"):
        FrameStore(tmp_path / "other")


# ------------------------------------------------------------ training


@pytest.fixture(scope="module")
def trained(store):
    model = RVAE(store.basis.window_px).fit(store, progress=False)
    store.encode(model)
    return model


def test_angles_from_the_store_are_those_of_the_crystal(trained, store, recorded):
    """Modulo a quarter turn, since the zero of each kind is free."""
    angle, sd = store.group["angle"][:], store.group["angle_sd"][:]
    encoded = np.isfinite(angle)
    surely = encoded & (sd < 0.2)
    assert surely.mean() > 0.4
    axis = np.angle(np.mean(np.exp(4j * angle[surely]))) / 4
    assert np.median(np.abs(fold_angles(angle[surely] - axis, 4))) < np.deg2rad(5)
    assert np.mean(np.abs(fold_angles(angle[encoded] - axis, 4)) < np.deg2rad(10)) > 0.8


def test_encoding_from_the_store_is_that_of_the_sub_images(trained, store, recorded):
    columns, _ = store.of_frame(4)
    stack, _ = cut_subimages(recorded[0][4], store.group["positions"][4], store.basis.window_px)
    expected = trained.encode(stack, normalization="model")
    assert np.array_equal(store.group["angle"][4][columns], expected.angle)
    assert np.array_equal(store.group["latent"][4][columns], expected.latent)
    assert np.array_equal(store.group["kind"][4][columns], expected.kind)
    assert np.array_equal(store.group["order"][4][columns], expected.order)
    assert np.isnan(np.delete(store.group["residual"][4], columns)).all()


def test_each_pass_draws_a_few_frames(trained, store, monkeypatch):
    monkeypatch.setattr(store_module, "FRAMES_A_PASS", 3)
    sizes = [len(store.of_frame(n)[0]) for n in range(8)]
    first, second = store.sample([0, 1]), store.sample([0, 2])
    assert len(first) < sum(sizes) / 2 and not np.array_equal(first[:50], second[:50])
    assert np.array_equal(first, store.sample([0, 1]))
    model = RVAE(store.basis.window_px).fit(store, epochs=30, progress=False)
    assert model.history[-1]["loss"] < model.history[0]["loss"]


def test_a_frame_without_a_whole_window_is_encoded_as_missing(trained, store, tmp_path):
    path = tmp_path / "frames.zarr"
    shutil.copytree(store.path, path)
    copy = FrameStore(path)
    copy.group["coefficients"][2] = np.nan
    copy.encode(trained)
    for name in ("angle", "angle_sd", "residual", "kind", "order", "latent"):
        expected = store.group[name][:]
        expected[2] = np.nan
        np.testing.assert_array_equal(copy.group[name][:], expected)


def test_a_store_without_any_done_frame_says_so(store, tmp_path):
    path = tmp_path / "frames.zarr"
    shutil.copytree(store.path, path)
    copy = FrameStore(path)
    copy.group["state"][:] = store_module.SEGMENTED
    with pytest.raises(ValueError, match="no frame of .* is done: call process_stack"):
        copy.sample(0)
    with pytest.raises(ValueError, match="no frame of .* is done"):
        RVAE(store.basis.window_px).fit(copy, progress=False)


def test_a_band_limit_that_is_not_the_store_s_is_refused(store):
    window_px, limit = store.basis.window_px, store.basis.band_limit
    both = f"band_limit={0.9 * limit:g}, but the store has .*band_limit={limit:g}"
    model = RVAE(window_px, band_limit=0.9 * limit)
    with pytest.raises(ValueError, match=both):
        model.fit(store, progress=False)
    with pytest.raises(ValueError, match=both):
        find_kinds(store, basis=model.basis)
    with pytest.raises(ValueError, match=f"={limit:g}, but the model has .*={0.9 * limit:g}"):
        store.encode(model)
    sub_images = store.basis.synthesise(store.sample(0)[:64])
    kinds = find_kinds(model.basis.project(sub_images), basis=model.basis)
    with pytest.raises(ValueError, match=both):
        RVAE(window_px).fit(store, kinds=kinds, progress=False)


def test_a_window_that_is_not_the_store_s_is_refused(store):
    with pytest.raises(ValueError, match="window_px="):
        RVAE(store.basis.window_px + 4).fit(store, progress=False)
