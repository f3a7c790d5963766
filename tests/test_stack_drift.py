"""Known sub-pixel drifts come back, also from noisy frames of a lattice that matches itself."""

import warnings

import numpy as np
import pytest

from helpers import align_stack
from helpers.stack.drift import _Frames

STEP = np.array([1.4, -0.9])  # drift a frame, [rows, columns] in px
PERIODS_PX = (19.25, 50.4)


def lattice(drift, *, side=256, period=PERIODS_PX, counts=6.5, seed=None):
    """Frames (F, side, side) of Gaussian columns on a turned lattice, moved by `drift` (F, 2).

    Brightness grows along the diagonal, as in a wedge. With `seed` the frames are Poisson counts.
    """
    turn = np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]])
    index = np.stack(np.mgrid[:side, :side], axis=-1).astype(float)
    frames = []
    for move in drift:
        cell = (index - move) @ turn.T / period  # (side, side, 2) lattice coordinates
        frame = np.zeros((side, side))
        for site, brightness in [((0, 0), 1.0), ((0.5, 0.4), 0.7), ((0.5, 0.6), 0.7)]:
            offset = (cell - site - np.round(cell - site)) * period
            frame += brightness * np.exp(-(offset**2).sum(axis=-1) / (2 * 2.8**2))
        frame *= 1 + 0.8 * index.sum(axis=-1) / (2 * side)
        frames.append(frame * counts / frame.mean())
    frames = np.array(frames)
    return frames if seed is None else np.random.default_rng(seed).poisson(frames)


def wandering(n_frames, step=STEP):
    drift = np.arange(n_frames)[:, None] * step
    drift = drift + 0.3 * np.random.default_rng(3).normal(size=drift.shape)
    return drift - drift[0]


def lazy(frames):
    import dask.array as da

    return da.from_array(frames, chunks=(1, *frames.shape[1:]))


def drift_of(mean, shifts):
    row0, _, column0, _ = mean.metadata.Rvae_stem.common_area_px
    return shifts - [row0, column0]


def test_the_drift_of_noiseless_frames_comes_back():
    drift = wandering(6)
    mean, shifts = align_stack(lattice(drift), progress=False)
    assert np.sqrt(np.mean((drift_of(mean, shifts) - drift) ** 2)) < 0.02


@pytest.mark.parametrize("counts", [6.5, 1.6])
def test_the_drift_of_noisy_frames_comes_back(counts):
    drift = wandering(8)
    frames = lattice(drift, side=384, counts=counts, seed=1)
    mean, shifts = align_stack(frames, progress=False)
    assert np.sqrt(np.mean((drift_of(mean, shifts) - drift) ** 2)) < 0.1


@pytest.mark.parametrize("step", [(7.0, -6.0), (-4.5, 4.2), (0.0, 0.0)])
def test_no_frame_jumps_by_a_lattice_vector(step):
    drift = wandering(8, step=np.array(step))
    mean, shifts = align_stack(lattice(drift, side=320, seed=2), progress=False)
    assert np.abs(drift_of(mean, shifts) - drift).max() < 0.2


def test_a_sudden_jump_is_followed_where_the_image_does_not_repeat():
    image = np.random.default_rng(0).normal(size=(400, 400))
    frames = np.stack([image[100:356, 100:356], image[40:296, 130:386], image[41:297, 130:386]])
    mean, shifts = align_stack(frames, progress=False)
    np.testing.assert_allclose(drift_of(mean, shifts), [[0, 0], [60, -30], [59, -30]], atol=0.01)


def test_positions_in_the_mean_plus_shifts_are_positions_in_each_frame():
    side, sigma = 96, 2.5
    index = np.stack(np.mgrid[:side, :side], axis=-1)
    drift = np.array([[0, 0], [3.4, -2.3], [-1.7, 5.6]])
    atoms = np.array([[30.2, 41.7], [60.6, 25.1], [55.3, 70.9]])  # in frame 0

    def frame(move):
        distance = index[:, :, None] - atoms - move
        return np.exp(-(distance**2).sum(axis=-1) / (2 * sigma**2)).sum(axis=-1)

    mean, shifts = align_stack(np.array([frame(move) for move in drift]), progress=False)
    row0, row1, column0, column1 = mean.metadata.Rvae_stem.common_area_px
    assert mean.data.shape == (row1 - row0, column1 - column0)
    for atom in atoms:
        guess = np.round(atom - [row0, column0]).astype(int)
        around = tuple(slice(g - 8, g + 9) for g in guess)
        weight = mean.data[around]
        centre = [(weight * axis).sum() / weight.sum() for axis in np.mgrid[around]]
        np.testing.assert_allclose(centre + shifts, atom + drift, atol=0.05)


def test_the_common_area_is_all_that_every_frame_shows():
    drift = np.array([[0, 0], [3.4, -2.3], [-1.7, 5.6]])
    mean, _ = align_stack(lattice(drift, side=128), progress=False)
    # Row r of frame 0 is row r + drift of the others, and must lie in 0 ... 127 in all three.
    assert mean.metadata.Rvae_stem.common_area_px == [2, 124, 3, 122]


def test_averaging_keeps_the_columns_sharp_and_lowers_the_noise():
    drift = wandering(8)
    clean = lattice(drift[:1], side=192)[0]
    mean, _ = align_stack(lattice(drift, side=192, seed=4), progress=False)
    row0, row1, column0, column1 = mean.metadata.Rvae_stem.common_area_px
    truth = clean[row0:row1, column0:column1]
    assert np.sqrt(np.mean((mean.data - truth) ** 2)) < 1.1 * np.sqrt(truth.mean() / 8)
    assert np.polyfit(truth.ravel(), mean.data.ravel(), 1)[0] == pytest.approx(1, abs=0.03)


def test_calibration_and_metadata_come_along():
    import hyperspy.api as hs

    stack = hs.signals.Signal2D(lattice(wandering(3), side=96))
    stack.metadata.General.title = "grain 7"
    for axis, start in zip(stack.axes_manager.signal_axes, (5.0, 7.0), strict=True):
        axis.scale, axis.units, axis.offset = 0.02, "nm", start
    mean, _ = align_stack(stack, progress=False)
    row0, _, column0, _ = mean.metadata.Rvae_stem.common_area_px
    columns, rows = mean.axes_manager.signal_axes
    assert (rows.scale, rows.units, columns.scale, columns.units) == (0.02, "nm", 0.02, "nm")
    assert rows.offset == pytest.approx(7 + 0.02 * row0)
    assert columns.offset == pytest.approx(5 + 0.02 * column0)
    assert mean.metadata.General.title == "grain 7"
    assert mean.data.dtype == np.float32
    assert not stack.metadata.has_item("Rvae_stem")


def test_the_last_two_axes_are_those_of_the_image_also_where_a_signal_has_one():
    import hyperspy.api as hs

    lines = hs.signals.Signal1D(lattice(wandering(3), side=96))
    for axis, name in zip(lines.axes_manager.navigation_axes, ("row", "frame"), strict=True):
        axis.name = name
    lines.axes_manager.signal_axes[0].name = "column"
    mean, _ = align_stack(lines, progress=False)
    assert [axis.name for axis in mean.axes_manager.signal_axes] == ["column", "row"]


def test_a_lazy_stack_gives_the_same():
    import hyperspy.api as hs

    frames = lattice(wandering(3), side=96)
    _, expected = align_stack(frames, progress=False)
    _, shifts = align_stack(hs.signals.Signal2D(frames).as_lazy(), progress=False)
    np.testing.assert_allclose(shifts, expected)


@pytest.mark.parametrize("shape", [(64, 64), (1, 64, 64)])
def test_one_frame_is_its_own_mean(shape):
    frame = lattice(np.zeros((1, 2)), side=64).reshape(shape)
    mean, shifts = align_stack(frame, progress=False)
    np.testing.assert_array_equal(shifts, np.zeros((1, 2)))
    np.testing.assert_allclose(mean.data, frame.reshape(64, 64), rtol=1e-5)


@pytest.mark.parametrize("shape", [(64,), (2, 3, 64, 64), (0, 64, 64), (3, 64, 15), (3, 0, 64)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(.*frames, rows, columns"):
        align_stack(np.ones(shape))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_blank_frame_is_named(value):
    frames = lattice(wandering(3), side=64)
    frames[1] = value
    with pytest.raises(ValueError, match="frame 1 cannot be aligned"):
        align_stack(frames, progress=False)


def test_a_dead_pixel_is_filled_with_a_warning():
    frames = lattice(wandering(3), side=64)
    frames[1, 20, 30] = np.nan
    with pytest.warns(UserWarning, match="1 NaN"):
        mean, _ = align_stack(frames, progress=False)
    assert np.isfinite(mean.data).all()


def test_between_two_frames_warnings_of_others_are_heard():
    frames = lattice(wandering(2), side=64)
    frames[1, 20, 30] = np.nan
    with pytest.warns(UserWarning, match="1 NaN"):
        usable = _Frames(frames, skip_damaged=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number, _ in enumerate(usable):
            warnings.warn(f"after frame {number}", stacklevel=1)
    assert [str(one.message) for one in caught] == ["after frame 0", "after frame 1"]


def test_a_frame_of_mere_noise_is_named():
    frames = lattice(wandering(5), side=128, seed=5)
    frames[3] = np.random.default_rng(6).poisson(6.5, frames[3].shape)
    with pytest.warns(UserWarning, match=r"frames \[3\] hardly resemble"):
        align_stack(frames, progress=False)


def test_frames_without_a_common_area_are_refused():
    image = np.random.default_rng(0).normal(size=(64, 400))
    frames = np.stack([image[:, 20 * i : 20 * i + 64] for i in range(6)])
    with pytest.raises(ValueError, match="no area in common"):
        align_stack(frames, progress=False)


def test_the_progress_bar_can_be_silenced(capsys):
    frames = lattice(wandering(2), side=64)
    align_stack(frames, progress=False)
    assert capsys.readouterr().err == ""
    align_stack(frames)
    assert "aligning frames" in capsys.readouterr().err


def test_damaged_frames_can_be_left_out_and_are_named():
    drift = wandering(6)
    frames = lattice(drift, side=160)
    frames[2], frames[4, :30] = 5, np.nan
    with pytest.warns(UserWarning, match=r"frames \[2, 4\] are damaged"):
        mean, shifts = align_stack(frames, progress=False, skip_damaged=True)
    good = [0, 1, 3, 5]
    assert np.isnan(shifts[[2, 4]]).all()
    np.testing.assert_allclose(drift_of(mean, shifts)[good], drift[good], atol=0.05)
    with pytest.raises(ValueError, match="frame 2 .*skip_damaged=True"):
        align_stack(frames, progress=False)
    with pytest.raises(ValueError, match="all 2 frames"):
        align_stack(np.ones((2, 64, 64)), progress=False, skip_damaged=True)


@pytest.mark.parametrize("wrap", [np.ma.asarray, list, lazy])
@pytest.mark.filterwarnings("ignore:1 NaN or infinite pixels:UserWarning")
def test_a_masked_pixel_is_a_missing_one_in_every_kind_of_stack(wrap):
    drift = wandering(4)
    frames = lattice(drift, side=128)
    frames[2, 60, 60] = 1e6  # hot
    masked = np.ma.masked_equal(frames, 1e6)
    mean, shifts = align_stack(wrap(masked), progress=False)
    np.testing.assert_allclose(drift_of(mean, shifts), drift, atol=0.05)
    filled, _ = align_stack(masked.filled(np.nan), progress=False)
    np.testing.assert_array_equal(mean.data, filled.data)


def test_a_repeated_frame_is_named():
    frames = lattice(wandering(4), side=160, seed=1)
    frames[2] = frames[1]
    with pytest.warns(UserWarning, match=r"frames \[2\] repeat"):
        align_stack(frames, progress=False)


def test_a_lazy_stack_is_read_one_frame_at_a_time():
    import time

    import dask
    import dask.array as da
    import hyperspy.api as hs

    frames, held, most = lattice(wandering(5), side=128), [0], [0]

    def read(number):
        held[0] += 1
        most[0] = max(most[0], held[0])
        time.sleep(0.02)  # long enough to be met by another thread
        held[0] -= 1
        return frames[number]

    made = [da.from_delayed(dask.delayed(read)(n), (128, 128), float) for n in range(5)]
    for stack in (da.stack(made), hs.signals.Signal2D(da.stack(made)).as_lazy()):
        _, shifts = align_stack(stack, progress=False)
        np.testing.assert_allclose(shifts, align_stack(frames, progress=False)[1])
    assert most == [1]
