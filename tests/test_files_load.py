"""Every format comes in as float32 on axes in nm, and every broken file as a clear ValueError."""

import logging
import warnings

import dask.array
import make_files
import numpy as np
import pytest

from helpers import load_image
from helpers.files import read
from helpers.images import as_image, as_positions, as_whole, frames_of, one_each, one_frame

IMAGE = np.random.default_rng(5).poisson(20.0, (18, 25)).astype(np.float32)
STACK = np.stack([IMAGE, IMAGE[::-1], IMAGE + 1])


def make_signal(values, *, scale=0.02, units="nm", title="ADF"):
    import hyperspy.api as hs

    signal = hs.signals.Signal2D(np.asarray(values))
    signal.metadata.General.title = title
    for axis in signal.axes_manager.signal_axes:
        axis.scale, axis.units = scale, units
    return signal


def make_signal_of_masked(values):
    import hyperspy.api as hs

    return hs.signals.Signal2D(values)


def make_lazy(values):
    return dask.array.from_array(values, chunks=7)


def make_lazy_signal(values):
    return make_signal_of_masked(make_lazy(values)).as_lazy()


MAKERS = [np.ma.asarray, list, make_signal_of_masked, make_lazy, make_lazy_signal]


def save_with_hyperspy(path, values, **options):
    make_signal(values).save(path, **options)


WRITERS = {
    "dm3": make_files.write_dm,
    "dm4": lambda path, values: make_files.write_dm(path, values, version=4),
    "velox.emd": lambda path, values: make_files.write_velox(path, [values]),
    "ncem.emd": save_with_hyperspy,
    "ser": make_files.write_ser,
    "emi": make_files.write_emi,
    "tif": save_with_hyperspy,
    "mrc": make_files.write_mrc,
    "hspy": save_with_hyperspy,
    "zspy": save_with_hyperspy,
    "zip.zspy": lambda path, values: save_with_hyperspy(path, values, store_type="zip"),
}
ONE_IMAGE_ONLY = {"ser", "emi"}

pytestmark = [  # of the libraries that write the test files
    pytest.mark.filterwarnings("ignore:Duplicate name"),
    pytest.mark.filterwarnings("ignore:The NestedDirectoryStore"),
]


@pytest.mark.parametrize("ending", WRITERS)
def test_one_image_of_each_format(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    WRITERS[ending](path, IMAGE)
    image = load_image(path)
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, IMAGE)
    for axis in image.axes_manager.signal_axes:
        assert (axis.scale, axis.units) == (pytest.approx(0.02, rel=1e-6), "nm")


@pytest.mark.parametrize("ending", [e for e in WRITERS if e not in ONE_IMAGE_ONLY])
def test_a_stack_of_each_format(tmp_path, ending):
    path = tmp_path / f"stack.{ending}"
    WRITERS[ending](path, STACK)
    stack = load_image(str(path))
    assert stack.axes_manager.navigation_shape == (3,)
    np.testing.assert_array_equal(stack.data, STACK)
    assert stack.axes_manager.signal_axes[1].scale == pytest.approx(0.02, rel=1e-6)


def test_names_with_capitals_and_brackets(tmp_path):
    path = tmp_path / "grain [2]*.DM3"
    make_files.write_dm(path, IMAGE)
    np.testing.assert_array_equal(load_image(path).data, IMAGE)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float64])
def test_every_number_becomes_float32(tmp_path, kind):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE.astype(kind)).save(path)
    assert load_image(path).data.dtype == np.float32


@pytest.mark.parametrize(
    ("scale", "units"),
    [
        (0.02, "nm"),
        (0.02, "n_m"),
        (0.02, "[n_m]"),
        (2e-11, "m"),
        (2e-5, "µm"),
        (2e-5, "μm"),
        (2e-5, "um"),
        (0.2, "Å"),
        (0.2, "\N{ANGSTROM SIGN}"),
        (0.2, "Angstrom"),
        (20.0, "pm"),
        (2e-8, "mm"),
    ],
)
def test_length_units_become_nm(tmp_path, scale, units):
    path = tmp_path / "image.hspy"
    signal = make_signal(IMAGE, scale=scale, units=units)
    signal.axes_manager.signal_axes[0].offset = 10 * scale
    signal.save(path)
    columns, rows = load_image(path).axes_manager.signal_axes
    assert (columns.scale, rows.scale) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (columns.units, rows.units) == ("nm", "nm")
    assert columns.offset == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("scale", "units"),
    [(0.0135, ""), (0.0135, "<undefined>"), (0.0135, "1/nm"), (0.0135, "s"), (0.0, "nm"),
     (-0.0135, "nm"), (np.inf, "nm")],
)  # fmt: skip
def test_without_a_usable_unit_the_axes_stay_in_px(tmp_path, scale, units):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE, scale=scale, units=units).save(path)
    with pytest.warns(UserWarning, match=rf"image\.hspy.*{scale:.6g}.*pixel_size_nm="):
        image = load_image(path)
    assert [(a.scale, a.units) for a in image.axes_manager.signal_axes] == [(1.0, "px")] * 2


@pytest.mark.parametrize("units", ["nm", "<undefined>"])
def test_a_given_pixel_size_wins_over_the_file(tmp_path, units):
    path = tmp_path / "image.hspy"
    make_signal(IMAGE, scale=0.5, units=units).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = load_image(path, pixel_size_nm=0.0151)
    assert [(a.scale, a.units) for a in image.axes_manager.signal_axes] == [(0.0151, "nm")] * 2


@pytest.mark.parametrize("size", [0, -0.02, np.nan, np.inf, "0.02", True])
def test_an_impossible_pixel_size_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match="greater than 0"):
        load_image(tmp_path / "any.dm3", pixel_size_nm=size)


def test_unequal_rows_and_columns_warn(tmp_path):
    signal = make_signal(IMAGE)
    signal.axes_manager.signal_axes[1].scale = 0.021
    signal.save(tmp_path / "image.hspy")
    with pytest.warns(UserWarning, match="rows are 0.021 nm apart, columns 0.02 nm"):
        image = load_image(tmp_path / "image.hspy")
    assert [a.scale for a in image.axes_manager.signal_axes] == pytest.approx([0.02, 0.021])


def test_several_signals_are_listed_and_chosen(tmp_path):
    path = tmp_path / "several.emd"
    make_files.write_velox(path, [IMAGE, STACK])
    with pytest.raises(ValueError, match=r"2 signals") as refusal:
        load_image(path)
    assert "0: HAADF0, shape (18, 25)" in str(refusal.value)
    assert "1: HAADF1, shape (3, 18, 25)" in str(refusal.value)
    np.testing.assert_array_equal(load_image(path, signal=0).data, IMAGE)
    np.testing.assert_array_equal(load_image(path, signal="HAADF1").data, STACK)
    for wrong in (2, -1, "BF"):
        with pytest.raises(ValueError, match="names no signal.*several.emd"):
            load_image(path, signal=wrong)


def test_a_title_that_stands_twice_names_no_signal(tmp_path):
    path = tmp_path / "twins.emd"
    make_files.write_velox(path, [IMAGE, IMAGE])
    import h5py

    with h5py.File(path, "r+") as file:  # both get the name of the first detector
        first, second = file["Data/Image"].values()
        del second["Metadata"]
        second["Metadata"] = first["Metadata"][:]
    with pytest.raises(ValueError, match="names several signals"):
        load_image(path, signal="HAADF0")


def test_the_size_of_a_folder_and_of_the_files_beside_an_emi_counts(tmp_path):
    make_files.write_emi(tmp_path / "image.emi", IMAGE)
    make_files.write_ser(tmp_path / "other_1.ser", IMAGE)
    beside = (tmp_path / "image_1.ser").stat().st_size
    own = (tmp_path / "image.emi").stat().st_size
    assert read._size_bytes(tmp_path / "image.emi") == own + beside
    make_signal(np.random.default_rng(0).normal(size=(64, 64))).save(tmp_path / "image.zspy")
    assert read._size_bytes(tmp_path / "image.zspy") > 64 * 64 * 4


@pytest.mark.parametrize("ending", ["hspy", "zspy", "dm3", "mrc", "velox.emd"])
def test_a_large_file_stays_on_disk(tmp_path, monkeypatch, ending):
    path = tmp_path / f"large.{ending}"
    WRITERS[ending](path, STACK.astype(np.float32))
    monkeypatch.setattr(read, "LAZY_ABOVE_BYTES", 10)
    stack = load_image(path)
    assert stack._lazy
    assert stack.data.dtype == np.float32
    np.testing.assert_array_equal(stack.data.compute(), STACK)


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("wrap", MAKERS)
def test_masked_pixels_are_missing_pixels(kind, wrap):
    values = np.arange(400, dtype="float64").reshape(20, 20) % 200
    values[5, 7] = 255  # a hot pixel, masked
    masked = np.ma.masked_equal(values.astype(kind), 255)
    with pytest.warns(UserWarning, match="1 NaN or infinite pixels were filled"):
        image = as_image(wrap(masked))
    assert isinstance(image, np.ndarray) and not isinstance(image, np.ma.MaskedArray)
    assert image.dtype == np.float32 and image.max() < 200
    assert image[5, 7] in (values[4, 7], values[6, 7], values[5, 6], values[5, 8])
    is_valid = ~np.ma.getmaskarray(masked)
    np.testing.assert_array_equal(image[is_valid], values[is_valid])
    assert masked.data[5, 7] == 255  # what was handed in is not changed
    np.testing.assert_array_equal(np.isnan(one_frame(wrap(masked))), masked.mask)


def test_too_many_masked_pixels_are_refused_and_an_empty_mask_is_none():
    masked = np.ma.masked_less(IMAGE.astype(int), 20)
    with pytest.raises(ValueError, match="pixels are NaN or infinite, but at most 1% can be"):
        as_image(masked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(as_image(np.ma.masked_less(IMAGE, -1)), IMAGE)


@pytest.mark.parametrize("wrap", [np.ma.asarray, list, make_lazy])
def test_masked_places_and_numbers_are_missing_ones(wrap):
    places = np.ma.masked_equal([[3, 4], [9, 999], [5, 6]], 999)
    positions = as_positions(wrap(places))
    np.testing.assert_array_equal(positions, [[3, 4], [9, np.nan], [5, 6]])
    values = one_each(wrap(np.ma.masked_equal([1, 2, 3], 2)), positions, "values")
    np.testing.assert_array_equal(values, [1, np.nan, 3])
    with pytest.raises(ValueError, match="0 finite numbers"):
        as_positions(wrap(np.ma.masked_less(places, 1000)))


def test_images_of_several_shapes_are_no_stack():
    with pytest.raises(ValueError, match=r"shapes \[\(17, 25\), \(18, 25\)\].*cut them alike"):
        frames_of([IMAGE, IMAGE[1:]])
    np.testing.assert_array_equal(frames_of(list(STACK)), STACK)


@pytest.mark.parametrize("value", [True, False, np.True_, 1.5, np.nan, np.inf, "1", None])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="count=.*a whole number of at least 0 is needed"):
        as_whole("count", value, 0)
    assert as_whole("count", np.int64(3), 0) == as_whole("count", 3.0, 0, 3) == 3


@pytest.mark.parametrize("name", ["hyperspy", "rsciio", "tifffile", "PIL"])
def test_the_log_level_of_the_libraries_is_as_before(tmp_path, name):
    make_signal(IMAGE).save(tmp_path / "image.hspy")
    (tmp_path / "broken.hspy").write_bytes(b"nonsense")
    load_image(tmp_path / "image.hspy")  # HyperSpy's import sets a level as well
    logger = logging.getLogger(name)
    before = logger.level
    try:
        logger.setLevel(logging.INFO)
        handlers = list(logger.handlers)
        load_image(tmp_path / "image.hspy")
        assert logger.level == logging.INFO
        with pytest.raises(ValueError, match="could not be read"):
            load_image(tmp_path / "broken.hspy")
        assert logger.level == logging.INFO and logger.handlers == handlers
        with read._quiet_libraries():
            assert not logger.isEnabledFor(logging.CRITICAL)
    finally:
        logger.setLevel(before)


@pytest.mark.parametrize("navigates", ["00", "000", "100", "001", "110"])
def test_axes_come_in_the_order_of_the_array(navigates):
    import hyperspy.api as hs

    sizes = (2, 3, 4)[: len(navigates)]
    flags = [flag == "1" for flag in navigates]
    axes = [{"size": n, "navigate": flag} for n, flag in zip(sizes, flags, strict=True)]
    signal = hs.signals.BaseSignal(np.zeros(sizes), axes=axes)
    assert tuple(axis.size for axis in read.axes_of(signal)) == sizes


def test_metadata_comes_along(tmp_path):
    signal = make_signal(IMAGE, title="grain 7")
    signal.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200.0)
    signal.save(tmp_path / "image.hspy")
    image = load_image(tmp_path / "image.hspy")
    assert image.metadata.General.title == "grain 7"
    assert image.metadata.Acquisition_instrument.TEM.beam_energy == 200.0


def test_what_is_no_image_is_refused_with_a_way_out(tmp_path):
    import hyperspy.api as hs

    four = make_signal(np.ones((2, 3, 18, 25)))
    colour = np.zeros((18, 25), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    cases = {
        "spectrum": (hs.signals.Signal1D(np.arange(50.0)), "not an image"),
        "line": (hs.signals.Signal1D(np.ones((4, 50))), "as_signal2D"),
        "maps": (four, "4D-STEM"),
        "colour": (make_signal(colour), "screenshot"),
        "phase": (make_signal(IMAGE + 1j), "complex"),
    }
    for name, (signal, message) in cases.items():
        signal.save(tmp_path / f"{name}.hspy")
        with pytest.raises(ValueError, match=rf"{name}\.hspy.*{message}"):
            load_image(tmp_path / f"{name}.hspy")


def test_an_empty_array_is_refused(tmp_path):
    np.save(tmp_path / "nothing.npy", np.zeros((0, 5)))
    with pytest.raises(ValueError, match=r"nothing\.npy.*empty"):
        load_image(tmp_path / "nothing.npy")


def test_a_screenshot_is_refused(tmp_path):
    import imageio.v3 as imageio

    imageio.imwrite(tmp_path / "screen.png", np.arange(450, dtype=np.uint8).reshape(10, 15, 3))
    with pytest.raises(ValueError, match="in colour"):
        load_image(tmp_path / "screen.png")


class Trap:
    """What, when it is unpickled, leaves a trace in the folder where it happens."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("options", [{}, {"store_type": "zip"}])
def test_pickled_arrays_are_not_opened(tmp_path, options, monkeypatch):
    import numcodecs
    import zarr

    # Newer versions of numcodecs refuse by themselves; this makes them as trusting as older ones.
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    trace, path = tmp_path / "trace", tmp_path / "trap.zspy"
    make_signal(IMAGE).save(path, **options)
    store = zarr.ZipStore(path, mode="a") if options else zarr.DirectoryStore(path)
    trap = np.array([Trap(trace)], dtype=object)
    where = zarr.open_group(store)["Experiments/ADF/original_metadata"]
    where.create_dataset("trap", data=trap, object_codec=numcodecs.Pickle())
    store.close()
    with pytest.raises(ValueError, match=r"trap\.zspy.*pickled"):
        load_image(path)
    assert not trace.exists()


def test_stored_models_are_left_out(tmp_path):
    import hyperspy.api as hs

    signal = make_signal(IMAGE)
    model = signal.create_model()
    model.append(hs.model.components2D.Gaussian2D())
    model.store("fit")
    signal.save(tmp_path / "model.hspy")
    assert len(hs.load(tmp_path / "model.hspy").models) == 1
    assert len(load_image(tmp_path / "model.hspy").models) == 0


def test_missing_file_folder_and_unsafe_format(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.dm3"):
        load_image(tmp_path / "none.dm3")
    with pytest.raises(ValueError, match="is a folder"):
        load_image(tmp_path)
    (tmp_path / "image.nc").write_bytes(b"CDF")
    with pytest.raises(ValueError, match="program code"):
        load_image(tmp_path / "image.nc")


def test_an_mrc_header_that_claims_too_much_is_refused_at_once(tmp_path):
    path = tmp_path / "huge.mrc"
    make_files.write_mrc(path, IMAGE)
    path.write_bytes(b"\xff\xff\xff\x00" * 3 + path.read_bytes()[12:])
    with pytest.raises(ValueError, match=r"huge\.mrc.*header claims"):
        load_image(path)


CONTENTS = {
    "empty": b"",
    "text": b"this is no microscope file\n" * 40,
    "zeros": bytes(4096),
    "noise": np.random.default_rng(0).bytes(4096),
    "more_noise": np.random.default_rng(1).bytes(100_000),
}
ENDINGS = "dm3 dm4 emd ser emi tif mrc hspy zspy png npy blo xyz".split()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_nonsense_is_a_clear_error(tmp_path, ending, content):
    path = tmp_path / f"broken.{ending}"
    path.write_bytes(CONTENTS[content])
    with pytest.raises(ValueError, match=rf"broken\.{ending}"):
        load_image(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
@pytest.mark.parametrize("ending", [e for e in WRITERS if e not in ("emi", "zspy")])
def test_a_truncated_file_is_a_clear_error(tmp_path, ending, share):
    path = tmp_path / f"cut.{ending}"
    WRITERS[ending](path, IMAGE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=rf"cut\.{ending}"):
        load_image(path)


REAL = {  # shape, nm per pixel (None: no usable unit)
    "PZO.dm3": ((525, 525), 0.01599),
    "PTO100-40nm-HAADF.dm4": ((258, 244), 0.016),
    "REBCO-ROI_raw.dm3": ((128, 128), 0.05408),
    "Tecnai_Osiris_SrTiO3.tif": ((512, 512), 0.013517),
    "Ti3C2_MXene_1655.tif": ((955, 576), None),
    "fei_emd_image.emd": ((512, 512), 5.302),
}


@pytest.mark.parametrize("name", REAL)
def test_real_microscope_files(real_file, name):
    shape, expected_nm = REAL[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        image = load_image(real_file(name))
    asked = any("pixel_size_nm=" in str(warning.message) for warning in caught)
    axis = image.axes_manager.signal_axes[0]
    assert image.data.shape == shape
    assert image.data.dtype == np.float32
    assert np.isfinite(image.data).all() and np.ptp(image.data) > 0
    assert asked == (expected_nm is None)
    assert axis.units == ("px" if expected_nm is None else "nm")
    assert axis.scale == pytest.approx(expected_nm or 1.0, rel=1e-3)
