"""An axis that holds images of different kinds is never taken for frames of one image."""

import numpy as np
import pytest
from test_files_load import IMAGE, STACK, make_signal

from helpers import load_image


def write_stack(path, values, **axes):
    """A HyperSpy file whose first axes have names, and units after a comma."""
    signal = make_signal(values)
    names = list(axes.items())
    for axis, (name, units) in zip(signal.axes_manager.navigation_axes[::-1], names, strict=True):
        axis.name, axis.units = name, units
    signal.save(path)


@pytest.mark.parametrize("name", ["channel", "Channels", "detector", "Detectors", "colour"])
@pytest.mark.parametrize("ending", ["hspy", "zspy", "emd"])
def test_detectors_are_asked_for(tmp_path, name, ending):
    path = tmp_path / f"both.{ending}"
    write_stack(path, STACK, **{name: ""})
    message = rf"first axis is {name} \({name} 0, {name} 1, {name} 2\): choose one with signal="
    with pytest.raises(ValueError, match=message):
        load_image(path)
    for wanted in (2, f"{name} 2"):
        chosen = load_image(path, signal=wanted)
        np.testing.assert_array_equal(chosen.data, STACK[2])
        assert chosen.axes_manager.signal_axes[0].units == "nm"
    with pytest.raises(ValueError, match="signal=3 names no signal"):
        load_image(path, signal=3)


@pytest.mark.parametrize(("name", "units"), [("tilt", "°"), ("focus", "nm"), ("time", "s")])
@pytest.mark.parametrize("untrusted", [False, True])
def test_other_axes_keep_their_name_unit_and_step(tmp_path, name, units, untrusted):
    path = tmp_path / "series.hspy"
    signal = make_signal(STACK)
    signal.axes_manager[0].name = name
    signal.axes_manager[0].units = units
    signal.axes_manager[0].scale = 5
    signal.save(path)
    (axis,) = load_image(path, untrusted=untrusted).axes_manager.navigation_axes
    assert (axis.name, axis.units, axis.scale) == (name, units, 5)


@pytest.mark.parametrize("untrusted", [False, True])
def test_an_axis_of_unequal_steps_keeps_them(tmp_path, untrusted):
    path = tmp_path / "series.hspy"
    signal = make_signal(STACK)
    signal.axes_manager[0].convert_to_non_uniform_axis()
    signal.axes_manager[0].axis = [0.0, 1.0, 4.0]
    signal.save(path)
    (axis,) = load_image(path, untrusted=untrusted).axes_manager.navigation_axes
    np.testing.assert_array_equal(axis.axis, [0, 1, 4])


def test_one_channel_alone_needs_no_choice(tmp_path):
    path = tmp_path / "one.hspy"
    write_stack(path, STACK[:1], channel="")
    np.testing.assert_array_equal(load_image(path).data, IMAGE)


def test_channels_count_among_several_signals(tmp_path):
    import h5py

    path = tmp_path / "several.hspy"
    write_stack(path, STACK, channel="")
    with h5py.File(path, "a") as file:
        file.copy("Experiments/ADF", "Experiments/other")
    with pytest.raises(ValueError, match="signal=None names several signals.*holds 6 signals"):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, signal=5).data, STACK[2])


def test_an_index_may_be_a_text_as_a_command_line_gives_it(tmp_path):
    path = tmp_path / "both.hspy"
    write_stack(path, STACK, channel="")
    np.testing.assert_array_equal(load_image(path, signal="1").data, STACK[1])
    for wrong in ("3", "-1", "1.0", "", "²", True):
        with pytest.raises(ValueError, match=f"signal={wrong!r} names no signal"):
            load_image(path, signal=wrong)


def test_a_title_that_is_a_number_is_a_title(tmp_path):
    path = tmp_path / "one.hspy"
    make_signal(IMAGE, title="7").save(path)
    np.testing.assert_array_equal(load_image(path, signal="7").data, IMAGE)
    np.testing.assert_array_equal(load_image(path, signal="0").data, IMAGE)


def test_frames_of_frames_are_refused_by_name(tmp_path):
    path = tmp_path / "both.hspy"
    write_stack(path, np.stack([STACK, STACK]), time="s", depth="nm")
    with pytest.raises(ValueError, match=r"along time, depth\..*signal\.inav"):
        load_image(path)
