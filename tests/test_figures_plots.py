"""The figure style: what is drawn is where, as long and as coloured as the data say."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from skimage.color import rgb2lab

from helpers import plots

POSITIONS = np.array([[10.0, 10.0], [10.0, 30.0], [30.0, 10.0], [30.0, 30.0]])
ANGLE = np.array([0.0, np.pi / 2, np.pi, -np.pi / 2])


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(100, 200)).astype(np.float32)


def drawn(ax):
    """Render for real: errors of layout show up only then."""
    ax.figure.savefig(io.BytesIO(), format="png", dpi=40)
    return ax


def bar_of(ax):
    (bar,) = [artist for artist in ax.artists if isinstance(artist, AnchoredSizeBar)]
    return bar.size_bar.get_children()[0].get_width(), bar.txt_label.get_text()


def dots_of(ax):
    (dots,) = [artist for artist in ax.collections if isinstance(artist, EllipseCollection)]
    return dots


# --- angle colours ---------------------------------------------------------------------------


def test_colours_close_the_circle():
    below, above = plots.angle_colours([-np.pi + 1e-3, np.pi - 1e-3])
    assert np.abs(below - above).max() < 0.02
    assert np.abs(plots.angle_colours(0.0) - plots.angle_colours(np.pi)).max() > 0.3


def test_equal_turns_are_equal_steps_of_colour():
    turn = np.linspace(-np.pi, np.pi, 90, endpoint=False) + 0.002
    lab = rgb2lab(plots.angle_colours(turn)[None, :, :3])[0]
    step = np.linalg.norm(lab - np.roll(lab, 1, axis=0), axis=1)
    assert step.max() < 1.1 * step.min()


def test_folded_angles_repeat_their_colours():
    angle = np.array([0.2, 0.2 + np.pi / 2, 0.2 - np.pi])
    colours = plots.angle_colours(angle, order=4)
    assert np.abs(colours - colours[0]).max() < 0.02
    assert np.abs(np.diff(plots.angle_colours(angle), axis=0)).max() > 0.2


# Linear-RGB views of full protanopia and deuteranopia (Machado, Oliveira and Fernandes 2009).
DICHROMATS = {
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
}


@pytest.mark.parametrize("kind", DICHROMATS)
def test_quarter_turns_stay_apart_for_the_colour_blind(kind):
    turn = np.linspace(-np.pi, np.pi, 72, endpoint=False)
    seen = plots.angle_colours(turn)[:, :3] ** 2.2 @ np.transpose(DICHROMATS[kind])
    lab = rgb2lab(seen.clip(0, 1)[None] ** (1 / 2.2))[0]
    for shift in (18, 36):  # a quarter and half a turn; colours closer than 10 look alike
        assert np.linalg.norm(lab - np.roll(lab, shift, axis=0), axis=1).min() > 25


@pytest.mark.parametrize("order", [0, -1, np.nan])
def test_order_must_be_positive(order):
    with pytest.raises(ValueError, match=r"order=.* greater than 0"):
        plots.angle_colours([0.0], order=order)


# --- scale bar and images --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel_size_nm", "label", "length_px"),
    [(0.02, "1 nm", 50), (0.013, "0.5 nm", 0.5 / 0.013), (5.3, "200 nm", 200 / 5.3)],
)
def test_scale_bar_is_round_and_long_enough(image, pixel_size_nm, label, length_px):
    ax = drawn(plots.show_image(image, pixel_size_nm=pixel_size_nm))
    width, text = bar_of(ax)
    assert text == label
    assert width == pytest.approx(length_px)


def test_scale_bar_without_calibration_is_in_pixels(image):
    assert bar_of(plots.show_image(image)) == (50, "50 px")


def test_scale_bar_of_exactly_the_longest_length():
    ax = plots.show_image(np.eye(40))
    assert bar_of(ax) == (10, "10 px")


def test_pixel_size_comes_from_a_calibrated_signal(image):
    from hyperspy.signals import Signal2D

    signal = Signal2D(image)
    signal.axes_manager.signal_axes.set(scale=0.02, units="nm")
    assert bar_of(plots.show_image(signal)) == (50, "1 nm")
    assert bar_of(plots.show_image(signal, pixel_size_nm=0.04)) == (50, "2 nm")


def test_one_hot_pixel_does_not_set_the_contrast(image):
    image[3, 3] = 1e6
    ax = plots.show_image(image)
    assert ax.images[0].get_clim()[1] < 10


def test_image_is_drawn_with_rows_downwards_and_takes_an_axes(image):
    ax = plt.subplots()[1]
    assert plots.show_image(image, ax=ax, title="a frame") is ax
    assert ax.get_ylim() == (99.5, -0.5)
    assert ax.get_title() == "a frame"


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_constant_and_missing_images_can_be_shown(value):
    drawn(plots.show_image(np.full((20, 20), value)))


@pytest.mark.parametrize("shape", [(5,), (3, 8, 8), (0, 4)])
def test_image_of_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match="align_stack"):
        plots.show_image(np.ones(shape))


# --- maps ------------------------------------------------------------------------------------


def test_columns_are_ringed_at_column_and_row(image):
    ax = drawn(plots.show_image(image, columns=[[20.0, 150.0], [20.0, 160.0]]))
    assert dots_of(ax).get_offsets().tolist() == [[150, 20], [160, 20]]
    assert ax.get_xlim() == (-0.5, 199.5)


def test_rings_are_sized_by_the_spacing():
    near, far = (dots_of(plots.show_columns(POSITIONS * scale)) for scale in (1, 3))
    assert far.get_widths()[0] == pytest.approx(3 * near.get_widths()[0])


def test_rings_take_values():
    rings = dots_of(drawn(plots.show_columns(POSITIONS, values=[1, 2, 3, 4])))
    assert len(np.unique(rings.get_edgecolor(), axis=0)) == 4


def test_angle_map_wears_the_cyclic_colours(image):
    ax = drawn(plots.plot_angle_map(POSITIONS, ANGLE, image=image, pixel_size_nm=0.02))
    np.testing.assert_allclose(dots_of(ax).get_facecolor(), plots.angle_colours(ANGLE))
    assert bar_of(ax)[1] == "1 nm"


def test_missing_angles_are_grey_and_missing_positions_left_out():
    positions = POSITIONS.copy()
    positions[0] = np.nan
    angle = ANGLE.copy()
    angle[1] = np.nan
    dots = dots_of(drawn(plots.plot_angle_map(positions, angle, ticks=True)))
    grey = matplotlib.colors.to_rgba(plots.GREY)
    np.testing.assert_allclose(dots.get_facecolor()[1], grey, atol=0.01)
    np.testing.assert_allclose(dots.get_facecolor()[2:], plots.angle_colours(ANGLE[2:]))


def test_masked_angles_are_missing_ones():
    angle = np.ma.array(ANGLE, mask=[False, True, False, False])
    colours = plots.angle_colours(angle)
    grey = matplotlib.colors.to_rgba(plots.GREY)
    np.testing.assert_allclose(colours[1], grey, atol=0.01)
    bars = plots.plot_rose(angle, bins=8).patches
    assert sum(bar.get_height() ** 2 for bar in bars) == pytest.approx(3)


def test_uncertain_angles_fade():
    ax = plots.plot_angle_map(POSITIONS, ANGLE, angle_sd=[0.0, 0.5, 3.0, np.nan])
    alpha = dots_of(ax).get_facecolor()[:, 3]
    assert alpha[0] == 1 and 0.5 < alpha[1] < 0.95 and alpha[2] == alpha[3] < 0.2


def test_wheel_turns_counter_clockwise_as_displayed():
    (wheel,) = plots.plot_angle_map(POSITIONS, ANGLE).child_axes
    colours = wheel.images[0].get_array()
    middle, near, far = 120, 30, 210  # rows and columns inside the ring
    shown = [colours[middle, far], colours[near, middle], colours[middle, near]]
    np.testing.assert_allclose(np.array(shown)[:, :3], plots.angle_colours(ANGLE[:3])[:, :3])
    np.testing.assert_allclose(colours[far, middle, :3], plots.angle_colours(ANGLE[3])[:3])
    assert wheel.images[0].origin == "upper" and wheel.get_ylim() == (-1, 1)
    assert colours[middle, middle, 3] == colours[0, 0, 3] == 0


def test_wheel_of_folded_angles_repeats():
    (wheel,) = plots.plot_angle_map(POSITIONS, ANGLE / 4, order=4).child_axes
    colours = wheel.images[0].get_array()
    np.testing.assert_allclose(colours, np.rot90(colours), atol=0.02)


def test_ticks_point_counter_clockwise():
    ax = drawn(plots.plot_angle_map(POSITIONS, np.full(4, np.pi / 2), ticks=True))
    (ticks,) = [artist for artist in ax.collections if isinstance(artist, LineCollection)]
    start, tip = ticks.get_segments()[0]
    assert tip[1] < start[1] and tip[0] == pytest.approx(start[0])  # up: the row falls


def test_value_map_has_a_bar_and_robust_limits(image):
    rng = np.random.default_rng(1)
    positions = rng.uniform(0, 100, (500, 2))
    value = rng.normal(size=500)
    value[:2] = 1e4, np.nan
    ax = drawn(plots.plot_value_map(positions, value, label="latent 1", image=image))
    assert dots_of(ax).get_clim()[1] < 5
    assert dots_of(ax).colorbar.ax.get_ylabel() == "latent 1"
    np.testing.assert_allclose(
        dots_of(ax).get_facecolor()[1], matplotlib.colors.to_rgba(plots.GREY), atol=0.01
    )


@pytest.mark.parametrize("value", [np.full(4, 2.0), np.full(4, np.nan)])
def test_constant_and_missing_values_can_be_drawn(value):
    drawn(plots.plot_value_map(POSITIONS, value, label="latent"))


def test_a_single_column_can_be_drawn():
    drawn(plots.plot_angle_map([[3.0, 4.0]], [0.1], pixel_size_nm=0.02))


def test_one_value_for_each_position():
    with pytest.raises(ValueError, match=r"angle has shape \(3,\), but \(4,\).*kept"):
        plots.plot_angle_map(POSITIONS, ANGLE[:3])
    with pytest.raises(ValueError, match=r"value has shape \(4, 2\)"):
        plots.plot_value_map(POSITIONS, np.ones((4, 2)), label="latent")
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        plots.plot_angle_map(np.ones((4, 3)), ANGLE)


# --- montage ---------------------------------------------------------------------------------


def test_montage_of_an_odd_number_leaves_the_rest_blank():
    stack = np.arange(1, 8)[:, None, None] * np.ones((7, 16, 16))
    ax = drawn(plots.plot_montage(stack, columns=3, disk=False, pixel_size_nm=0.1))
    canvas = ax.images[0].get_array().filled(np.nan)
    assert canvas.shape == (3 * 17 - 1, 3 * 17 - 1)
    centres = canvas[8::17, 8::17]
    np.testing.assert_array_equal(centres, [[1, 2, 3], [4, 5, 6], [7, np.nan, np.nan]])
    assert bar_of(ax)[1] == "1 nm"


def test_montage_blanks_the_corners_alone():
    ax = plots.plot_montage(np.ones((1, 40, 40)))
    canvas = ax.images[0].get_array().filled(np.nan)
    assert np.isnan(canvas[0, 0]) and np.isnan(canvas[-1, -1])
    assert np.isfinite(canvas[20, [0, -1]]).all()
    assert np.isnan(canvas).mean() == pytest.approx(1 - np.pi / 4, abs=0.02)


def test_montage_does_not_change_its_stack_and_takes_labels():
    stack = np.ones((2, 8, 8))
    ax = drawn(plots.plot_montage(stack, labels=["Fe", "Sr1"]))
    assert [text.get_text() for text in ax.texts] == ["Fe", "Sr1"]
    assert np.isfinite(stack).all()


def test_montage_refuses_what_is_no_stack():
    for wrong in (np.ones((8, 8)), np.ones((2, 8, 9))):
        with pytest.raises(ValueError, match=r"\(M, \d, \d\).*motif\[None\]"):
            plots.plot_montage(wrong)
    with pytest.raises(ValueError, match="no sub-images were given"):
        plots.plot_montage(np.ones((0, 8, 8)))
    with pytest.raises(ValueError, match="1 labels for 2"):
        plots.plot_montage(np.ones((2, 8, 8)), labels=["Fe"])


# --- curves ----------------------------------------------------------------------------------


def test_rose_area_counts_the_angles():
    ax = drawn(plots.plot_rose([0.1] * 9 + [2.0] + [np.nan], directions=[0.1]))
    heights = {round(bar.get_height(), 6) for bar in ax.patches}
    assert heights == {0, 1, 3}
    tallest = max(ax.patches, key=lambda bar: bar.get_height())
    assert tallest.get_x() <= 0.1 <= tallest.get_x() + tallest.get_width()
    (lines,) = ax.collections
    np.testing.assert_allclose(lines.get_segments()[0][:, 0], 0.1)


def test_rose_of_folded_angles_is_repeated():
    heights = np.array([bar.get_height() for bar in plots.plot_rose([0.1], order=4).patches])
    np.testing.assert_array_equal(heights, np.roll(heights, 18))
    assert heights.sum() == 4


def test_rose_needs_polar_axes_and_an_angle():
    with pytest.raises(ValueError, match="polar"):
        plots.plot_rose([0.1], ax=plt.subplots()[1])
    with pytest.raises(ValueError, match="finite"):
        plots.plot_rose([np.nan])


def report(nm):
    from helpers.subimages.window import ROW, WindowReport

    table = np.zeros(3, dtype=ROW)
    table["window_px"] = (24, 32, 40)
    table["window_nm"] = np.array([24, 32, 40]) * nm
    table["share_kept"] = 0.9
    table["score"] = (0.3, 0.6, 0.5)
    table["angle_error_deg"] = 9, 1, np.nan
    return WindowReport(table, 32, "32 px sees enough.")


@pytest.mark.parametrize("nm", [0.02, np.nan])
def test_window_report_draws_shares_error_and_recommendation(nm):
    ax = drawn(plots.plot_window_report(report(nm)))
    score, kept, _, mark = ax.lines
    assert score.get_xydata().tolist() == [[24, 0.3], [32, 0.6], [40, 0.5]]
    assert kept.get_label() == "share kept" and set(kept.get_ydata()) == {0.9}
    assert mark.get_xdata() == [32, 32]
    (right,) = [other for other in ax.figure.axes if other is not ax]
    assert right.lines[0].get_ydata()[:2].tolist() == [9, 1]
    assert [above.get_xlabel() for above in ax.child_axes] == ["window (nm)"] * (nm == 0.02)


def test_window_report_without_any_angle_can_be_drawn():
    blind = report(0.02)
    blind.table["angle_error_deg"] = np.nan
    drawn(plots.plot_window_report(blind))


def test_style_is_readable_at_phone_width():
    with matplotlib.rc_context():
        plots.use_style()
        sizes = [matplotlib.rcParams[f"{axis}tick.labelsize"] for axis in "xy"]
        assert min([*sizes, matplotlib.rcParams["font.size"]]) >= 9
        assert matplotlib.rcParams["figure.figsize"][0] == 6.4
        assert not matplotlib.rcParams["axes.grid"]


def test_window_is_drawn_around_its_column(image):
    ax = drawn(plots.show_window(image, (30.5, 80.25), 40, pixel_size_nm=0.02))
    box, disk = ax.patches
    assert (box.get_x(), box.get_y(), box.get_width()) == (60.25, 10.5, 40)
    assert disk.center == (80.25, 30.5) and disk.radius == 20  # x is the column
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # rows run down
    with pytest.raises(ValueError, match="window_px"):
        plots.show_window(image, (30, 80), 0)
