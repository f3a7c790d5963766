"""The file of a model: written whole or not at all, and nothing is built from one that lies."""

import errno
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from test_subimages_harmonics import motif

from helpers import RVAE, fetch
from helpers.rvae.model_file import FORMAT
from helpers.subimages.harmonics import DiskHarmonics, count_functions

SMALL = 11  # px: a window whose basis is computed in no time
MUTATIONS = 300
CHECKPOINT = "sr3fe2o7_rvae_40px.safetensors"

# A pass or two are not enough to learn from.
pytestmark = pytest.mark.filterwarnings("ignore:a turn explains:UserWarning")


def read(path: Path) -> tuple[dict, dict, dict]:
    """The tensors, the settings and the whole header of a file, as they are."""
    with safe_open(path, framework="pt") as stored:
        header = stored.metadata()
        tensors = {name: stored.get_tensor(name).clone() for name in stored.keys()}
    return tensors, json.loads(header["settings"]), header


def write(path: Path, tensors: dict, settings) -> Path:
    """A file that claims to be a model; settings may be text that is no JSON."""
    text = settings if isinstance(settings, str) else json.dumps(settings)
    save_file(tensors, path, metadata={"format": FORMAT, "settings": text})
    return path


def places(settings: dict, before: tuple = ()) -> list[tuple]:
    """The keys that lead to each value."""
    found = []
    for key, value in settings.items():
        found.append((*before, key))
        if isinstance(value, dict):
            found += places(value, (*before, key))
    return found


def holder(settings: dict, place: tuple) -> dict:
    for key in place[:-1]:
        settings = settings[key]
    return settings


def refusal(path: Path) -> str:
    """What is said of a file that is refused: in one short line, at once, by its name."""
    before = time.process_time()
    with pytest.raises(ValueError) as caught:
        RVAE.load(path)
    assert time.process_time() - before < 1
    said = str(caught.value)
    assert said.startswith(f"{path} is not a whole model") and "\n" not in said
    assert len(said) < len(str(path)) + 500
    return said


def small_stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    clean = [motif(SMALL, angle, fold) for fold in (1, 3) for angle in rng.uniform(-3, 3, 100)]
    return (clean + 0.1 * rng.normal(size=np.shape(clean))).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    options = {"epochs": 2, "progress": False, "pixel_size_nm": 0.02}
    return RVAE(SMALL).fit(small_stack(), **options)


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory) -> Path:
    return model.save(tmp_path_factory.mktemp("whole") / "model.safetensors")


# ------------------------------------------------------------------------------ what comes back


def test_the_checkpoint_is_the_same_after_it_was_loaded_and_saved(tmp_path):
    path = fetch(CHECKPOINT)
    model = RVAE.load(path)
    again = model.save(tmp_path / "again.safetensors")
    tensors, settings, header = read(path)
    tensors_again, settings_again, header_again = read(again)
    assert settings_again == settings and header_again["format"] == header["format"]
    assert tensors_again.keys() == tensors.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(tensors_again[name], values)
    stack = np.random.default_rng(0).normal(size=(20, 40, 40))
    here = model.encode(stack, normalization="model")
    there = RVAE.load(again).encode(stack, normalization="model")
    np.testing.assert_array_equal(here.angle, there.angle)
    np.testing.assert_array_equal(here.latent, there.latent)


def test_models_of_noise_of_classes_and_of_one_latent_come_back(tmp_path):
    stack = small_stack()
    noise = np.random.default_rng(1).normal(size=stack.shape)
    cases = {
        "noise": (noise, {}, {}),
        "classes": (stack, {}, {"classes": ["a", "b"] * 100}),
        "one": (stack, {"latent_dim": 1, "seed": 2**40, "offsets": True}, {}),
        "five": (stack, {"latent_dim": 5, "beta": 1e-3}, {}),
        "clean": (np.stack([motif(SMALL, angle) for angle in np.linspace(0, 6, 40)]), {}, {}),
    }
    for name, (shown, options, known) in cases.items():
        model = RVAE(SMALL, **options).fit(shown, epochs=1, progress=False, **known)
        again = RVAE.load(model.save(tmp_path / name))
        here, there = (
            m.encode(shown, normalization="model", **known).latent for m in (model, again)
        )
        np.testing.assert_array_equal(here, there)


def test_a_loaded_model_does_not_hang_on_its_file(whole, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole.read_bytes())
    loaded = RVAE.load(path)
    motifs = loaded.kinds.motifs.copy()
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    np.testing.assert_array_equal(loaded.kinds.motifs, motifs)
    assert loaded.kinds.pieces.mixture.motifs.abs().max() > 0


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_a_pixel_size_as_numpy_gives_it_is_kept(model, kind, tmp_path, monkeypatch):
    monkeypatch.setattr(model, "pixel_size_nm", kind(2))
    assert RVAE.load(model.save(tmp_path / "model.safetensors")).pixel_size_nm == 2


# ------------------------------------------------------------------------------ writing


def test_the_home_folder_may_be_meant(model, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    path = model.save("~/model.safetensors")
    assert path == tmp_path / "model.safetensors" and path.is_file()
    assert RVAE.load("~/model.safetensors").history == model.history


def test_others_may_read_the_file(model, tmp_path):
    """As far as the umask lets them, like any file that Python writes."""
    plain = tmp_path / "plain"
    plain.write_text("")
    assert model.save(tmp_path / "model").stat().st_mode == plain.stat().st_mode


def test_a_place_where_no_file_can_be_is_refused_in_one_line(model, tmp_path):
    missing = tmp_path / "none" / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no folder .*none.*: make it"):
        model.save(missing)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ValueError, match="folder is a folder.*name a file in it"):
        model.save(folder)
    with pytest.raises(ValueError, match="is a folder"):
        model.save("")
    below_a_file = tmp_path / "file" / "model.safetensors"
    below_a_file.parent.write_text("mine")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        model.save(below_a_file)
    with pytest.raises(OSError, match="was not written"):
        model.save(tmp_path / ("a" * 1000))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
def test_what_is_no_ordinary_file_is_not_replaced(model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is no ordinary file"):
        model.save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.fixture
def little_room():
    """No file may grow beyond 50 kB, a third of a model."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize("before", [None, b"an older model"])
def test_without_room_the_old_file_stays_and_nothing_else(model, before, tmp_path, little_room):
    path = tmp_path / "model.safetensors"
    if before:
        path.write_bytes(before)
    with pytest.raises(OSError, match=f"{path} was not written.*too large.*free some room") as e:
        model.save(path)
    assert "\n" not in str(e.value)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == ({path.name: before} if before else {})


def stop(*_):
    raise KeyboardInterrupt


def fail(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")


@pytest.mark.parametrize(("ending", "raised"), [(stop, KeyboardInterrupt), (fail, OSError)])
@pytest.mark.parametrize("step", ["mkdir", "replace"])
def test_an_end_before_the_file_is_in_place_leaves_the_old_one(
    model, ending, raised, step, tmp_path, monkeypatch
):
    path = model.save(tmp_path / "model.safetensors")
    before = path.read_bytes()
    owner = os if step == "mkdir" else Path
    with monkeypatch.context() as patch, pytest.raises(raised) as caught:
        patch.setattr(owner, step, ending)
        model.save(path)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before
    if raised is OSError:
        assert str(caught.value).startswith(f"{path} was not written (No space left on device)")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pixel_size_nm", -0.02, "pixel_size_nm is -0.02, but a number from"),
        ("pixel_size_nm", "0.02 nm", "pixel_size_nm is '0.02 nm'"),
        ("pixel_size_nm", np.nan, "pixel_size_nm is nan"),
        ("history", [{"epoch": 1}], "history"),
        ("seed", 2**64, "seed is"),
        ("classes", [{1}], "a file cannot keep it"),
    ],
)
def test_what_could_not_be_loaded_again_is_not_saved(
    model, name, value, said, tmp_path, monkeypatch
):
    monkeypatch.setattr(model, name, value)
    with pytest.raises(ValueError, match=f"model.safetensors was not written.*{said}"):
        model.save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------ reading

NO_NUMBERS = ["40", None, True, [], {}, [40], 10**400, -(10**400)]
WRONG = {
    ("window_px",): [4, 0, -1, 41, 40.5, 10**5, 10**9, *NO_NUMBERS],
    ("band_limit",): [1.0, 12.5, 1e5, 1e9, 10**9, -5, *NO_NUMBERS],
    ("latent_dim",): [0, -1, 1, 3, 2.5, 10**9, *NO_NUMBERS],
    ("seed",): [-1, 0.5, 2**64, *NO_NUMBERS],
    ("beta",): [0, -1, *NO_NUMBERS],
    ("offsets",): [0, 1, "no", None, []],
    ("classes",): ["a", ["a"], [1], [None], {"a": 1}, None, ["a"] * 10**5],
    ("pixel_size_nm",): [0, -0.02, "0.02", True, [], 10**400],
    ("history",): [5, None, "many", {}, [5], [[]], [{}], [{"epoch": 1}], [None]],
    ("contrast",): [None, 1, [], {}, [1, 2]],
    ("contrast", "offset"): NO_NUMBERS,
    ("contrast", "gain"): [0, -1, *NO_NUMBERS],
    ("noise",): [None, {}, {"sigma": 1}],
    ("noise", "sigma"): [0, -0.1, 1e300, *NO_NUMBERS],
    ("noise", "overdispersion"): [0.5, -1, 1e300, *NO_NUMBERS],
    ("noise", "shift_px"): [0, -1, 1e300, *NO_NUMBERS],
    ("kinds",): [None, [], {}],
    ("kinds", "names"): [[], ["one", "two"], [5], "a", None, ["a"] * 1000],
    ("kinds", "share"): [[], [1, 1], [0.5], [-1], ["a"], 1, None, [[1]]],
    ("kinds", "order"): [[], [5], [-1], [1.5], [1, 1], ["1"], [None], [[1]], 1, [10**400]],
    ("kinds", "variance"): [0, -1, 1e300, *NO_NUMBERS],
}


RELATED = {  # what else is said of: a tensor or a list that no longer fits
    "window_px": "window_px|motifs",
    "band_limit": "band_limit|coder",
    "latent_dim": "latent_dim|coder|axes",
    "classes": "classes|coder",
    "names": "names|share",
}


def test_settings_are_refused_by_name(whole, tmp_path):
    tensors, settings, _ = read(whole)
    assert set(WRONG) == set(places(settings)), "each has its wrong values"
    for place, values in WRONG.items():
        for value in values:
            changed = json.loads(json.dumps(settings))
            holder(changed, place)[place[-1]] = value
            said = refusal(write(tmp_path / "model.safetensors", tensors, changed))
            names = RELATED.get(place[-1], place[-1])
            assert re.search(names, said), said


def test_each_setting_and_no_other_must_be_there(whole, tmp_path):
    tensors, settings, _ = read(whole)
    for place in places(settings):
        missing = json.loads(json.dumps(settings))
        del holder(missing, place)[place[-1]]
        said = refusal(write(tmp_path / "model.safetensors", tensors, missing))
        assert f"lacks {place[-1]!r}" in said
        more = json.loads(json.dumps(settings))
        holder(more, place)["surprise"] = 1
        said = refusal(write(tmp_path / "model.safetensors", tensors, more))
        assert "'surprise'" in said


def test_a_row_of_the_history_is_a_row_of_finite_numbers(whole, tmp_path):
    tensors, settings, _ = read(whole)
    for name in settings["history"][1]:
        for value in (None, "1", True, [], 10**400):
            changed = json.loads(json.dumps(settings))
            changed["history"][1][name] = value
            said = refusal(write(tmp_path / "model.safetensors", tensors, changed))
            assert name in said
    settings["history"] *= 25_001
    said = refusal(write(tmp_path / "model.safetensors", tensors, settings))
    assert "history has 50002 rows, but at most 50000 are kept" in said


TEXTS = {
    "NaN": lambda text: text.replace('"beta": 1.0', '"beta": NaN'),
    "Infinity": lambda text: text.replace('"beta": 1.0', '"beta": Infinity'),
    "beyond a double": lambda text: text.replace('"beta": 1.0', '"beta": 1e999'),
    "twice": lambda text: text.replace('"beta": 1.0', '"beta": 1.0, "beta": 1.0'),
    "many digits": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 100_000}'),
    "a bomb": lambda text: "[" * 10**6 + "]" * 10**6,
    "a bomb inside": lambda text: text.replace('"seed": 0', '"seed": ' + '{"a":' * 10**5),
    "long": lambda text: "[" + "[]," * 10**7 + "[]]",
    "a list": lambda text: f"[{text}]",
    "a number": lambda text: "7",
    "half": lambda text: text[: len(text) // 2],
    "none": lambda text: "",
    "pickle": lambda text: "\x80\x04pickle",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_is_no_settings_is_refused(whole, kind, tmp_path):
    tensors, settings, header = read(whole)
    text = TEXTS[kind](header["settings"])
    assert text != header["settings"]
    refusal(write(tmp_path / "model.safetensors", tensors, text))


@pytest.mark.parametrize(
    "header",
    [None, {}, {"format": FORMAT}, {"settings": "{}"}, {"format": "other" * 10**6}],
)
def test_a_header_that_is_another_is_refused(whole, header, tmp_path):
    tensors, settings, _ = read(whole)
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata=header)
    refusal(path)
    if header:
        save_file(tensors, path, metadata=header | read(whole)[2] | {"code": "import os"})
        assert "'code'" in refusal(path)


def changes_of(values: torch.Tensor) -> dict:
    """Tensors that are not what a model holds, from one that is."""
    changed = {
        "double": values.double() if values.dtype != torch.float64 else values.float(),
        "complex": torch.zeros(values.shape, dtype=torch.complex64),
        "bool": torch.ones(values.shape, dtype=torch.bool),
        "bfloat16": values.to(torch.bfloat16),
        "float8": values.to(torch.float8_e4m3fn),
        "uint64": torch.zeros(values.shape, dtype=torch.uint64),
        "more axes": values[None],
        "empty": values.new_zeros(0),
        "empty, of many axes": values.new_zeros(0, 10**9, *values.shape),
        "longer": torch.cat([values.reshape(-1), values.reshape(-1)]),
    }
    flat = values.clone().reshape(-1)
    finite = flat.isfinite().nonzero()
    largest = [np.nan, np.inf, -np.inf, 1e38] if values.is_floating_point() else [-1, 10**9, 2]
    for value in largest:
        flat[finite[len(finite) // 2]] = value
        changed[str(value)] = flat.reshape(values.shape).clone()
    return changed


def test_tensors_are_refused_by_name(whole, tmp_path):
    tensors, settings, _ = read(whole)
    for name, values in tensors.items():
        for kind, wrong in changes_of(values).items():
            changed = tensors | {name: wrong.contiguous()}
            said = refusal(write(tmp_path / "model.safetensors", changed, settings))
            # Where it is the number of pieces that differs, the other tensors of pieces are named.
            assert name.partition(".")[0] in said, kind
        others = {other: tensors[other] for other in tensors if other != name}
        said = refusal(write(tmp_path / "model.safetensors", others, settings))
        assert f"lacks {name!r}" in said
    more = tensors | {"surprise": torch.zeros(3)}
    assert "'surprise'" in refusal(write(tmp_path / "model.safetensors", more, settings))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("kinds.log_share", lambda values: values + 1),
        ("kinds.log_share", lambda values: values - 1),
        ("kinds.kind", lambda values: values + 1),
        ("kinds.likeness", lambda values: values + 1),
        ("kinds.motifs", lambda values: torch.nan_to_num(values)),
        ("kinds.motifs", lambda values: values * np.nan),
        ("axes", lambda values: 2 * values),
        ("axes", lambda values: 0 * values),
        ("prior_sd", lambda values: 0 * values),
        ("log_sigma", lambda values: values + 1000),
    ],
)
def test_tensors_that_cannot_be_are_refused(whole, name, change, tmp_path):
    tensors, settings, _ = read(whole)
    tensors[name] = change(tensors[name])
    assert name in refusal(write(tmp_path / "model.safetensors", tensors, settings))


@pytest.mark.parametrize(("window_px", "limit"), [(5, 1.9), (9, None), (25, 15.6), (40, 26.0)])
def test_functions_are_counted_without_building_them(window_px, limit):
    assert count_functions(window_px, limit) == len(DiskHarmonics.build(window_px, limit))
    for absurd in (1e5, 1e9, np.inf, np.nan, -1):
        with pytest.raises(ValueError, match="band_limit="):
            count_functions(window_px, absurd)


def test_a_basis_that_fits_no_memory_is_not_built(whole, monkeypatch):
    before = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: before._replace(available=100_000))
    with pytest.raises(ValueError, match="cannot be read here .window_px=11.* GiB are free"):
        RVAE.load(whole)


def test_a_window_as_large_as_nobody_has_is_refused_though_all_fits(whole, tmp_path):
    """Of noise there is no kind, and no mean motif that would tell the size of the window."""
    tensors, settings, _ = read(whole)
    settings["kinds"] |= {"names": [], "share": [], "order": []}
    tensors["kinds.likeness"] = tensors["kinds.likeness"][:0, :0]
    for window_px in (10**4, 10**5, 10**6, 10**9):
        settings["window_px"] = window_px
        tensors["kinds.motifs"] = torch.zeros(0, window_px, window_px)
        said = refusal(write(tmp_path / "model.safetensors", tensors, settings))
        assert str(window_px) in said and "1024" in said


def test_a_folder_or_nothing_is_no_model_file(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / "a\0b", tmp_path / ("a" * 1000), ""):
        with pytest.raises(FileNotFoundError, match="no model file"):
            RVAE.load(path)


# ------------------------------------------------------------------------------ damage by chance


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """A file in which a few bytes are others: of its header, of its settings, or anywhere."""
    changed = bytearray(content)
    size = int.from_bytes(content[:8], "little")
    settings = content.index(b"settings")
    reach = [(0, 8 + size), (settings, size), (8 + size, len(content))][rng.integers(3)]
    for _ in range(rng.integers(1, 4)):
        place = rng.integers(*reach)
        changed[place] = rng.choice(list(b'0123456789-.eE",:[]{}\x00\xff\x7f'))
    return bytes(changed[: rng.integers(len(changed))] if rng.random() < 0.1 else changed)


def test_of_damaged_files_each_is_refused_or_works(whole, tmp_path):
    rng = np.random.default_rng(5)
    stack = small_stack()[::20]
    content = whole.read_bytes()
    path = tmp_path / "model.safetensors"
    refused = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, rng))
        try:
            loaded = RVAE.load(path)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{path} is not a whole model")
        else:
            encoding = loaded.encode(stack, normalization="model")
            assert len(encoding) == len(stack)
    assert 0.3 * MUTATIONS < refused < MUTATIONS
