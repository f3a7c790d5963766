"""A registered file is found where it should be, and never taken unless its checksum is right."""

import hashlib
import os
import re
from pathlib import Path

import pooch
import pytest

from helpers import fetch
from helpers.files import registry

CONTENT = b"a small file"
SUM = hashlib.sha256(CONTENT).hexdigest()
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Three empty folders (shipped, own, cache), a registry of two files, and no network."""
    folders = {name: tmp_path / name for name in ("shipped", "own", "cache")}
    for folder in folders.values():
        folder.mkdir()
    (folders["shipped"] / "registry.txt").write_text(
        "# a comment\n"
        f"shipped.csv sha256:{SUM}\n"
        f"real.dm3 sha256:{SUM} https://example.org/Sample%20images/real.dm3\n"
    )
    monkeypatch.setattr(registry, "_shipped", lambda: folders["shipped"])
    monkeypatch.setenv("RVAE_STEM_DATA", str(folders["own"]))
    monkeypatch.setenv("RVAE_STEM_CACHE", str(folders["cache"]))
    monkeypatch.setenv("RVAE_STEM_OFFLINE", "1")
    return folders


def test_the_places_are_searched_in_order(places):
    for place in ("cache", "own", "shipped"):  # each found before the one of the last round
        (places[place] / "real.dm3").write_bytes(CONTENT)
        assert fetch("real.dm3") == places[place] / "real.dm3"


@pytest.mark.parametrize("place", ["shipped", "own"])
def test_a_changed_file_is_an_error_with_both_sums(places, place):
    path = places[place] / "real.dm3"
    path.write_bytes(b"something else")
    (places["cache"] / "real.dm3").write_bytes(CONTENT)
    with pytest.raises(ValueError) as refusal:
        fetch("real.dm3")
    message = str(refusal.value)
    assert str(path) in message
    assert SUM in message
    assert hashlib.sha256(b"something else").hexdigest() in message


def test_a_damaged_copy_in_the_cache_is_fetched_again(places, monkeypatch):
    (places["cache"] / "real.dm3").write_bytes(b"half a fi")
    monkeypatch.setenv("RVAE_STEM_OFFLINE", "0")

    def retrieve(url, known_hash, *, fname, path):
        assert url == "https://example.org/Sample%20images/real.dm3"
        assert known_hash == f"sha256:{SUM}"
        (path / fname).write_bytes(CONTENT)
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert fetch("real.dm3").read_bytes() == CONTENT


def test_offline_the_message_says_what_to_do(places):
    with pytest.raises(FileNotFoundError) as refusal:
        fetch("real.dm3")
    message = str(refusal.value)
    assert "https://example.org/Sample%20images/real.dm3" in message
    assert "RVAE_STEM_DATA" in message
    assert str(places["own"]) in message


def test_a_failed_download_says_what_to_do(places, monkeypatch):
    monkeypatch.setenv("RVAE_STEM_OFFLINE", "")

    def no_network(*args, **options):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(FileNotFoundError, match="no route to host.*RVAE_STEM_DATA"):
        fetch("real.dm3")


def test_a_download_with_another_checksum_is_an_error(places, monkeypatch):
    monkeypatch.delenv("RVAE_STEM_OFFLINE")

    def wrong_content(*args, **options):
        raise ValueError("SHA256 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", wrong_content)
    with pytest.raises(ValueError, match="is not the registered real.dm3"):
        fetch("real.dm3")


def test_a_shipped_file_that_is_gone_is_not_downloaded(places, monkeypatch):
    monkeypatch.delenv("RVAE_STEM_OFFLINE")
    with pytest.raises(FileNotFoundError, match="install the package again"):
        fetch("shipped.csv")


def test_a_relative_folder_is_taken_from_here_or_from_the_checkout(places, monkeypatch):
    (places["own"] / "real.dm3").write_bytes(CONTENT)
    monkeypatch.chdir(places["own"].parent)
    monkeypatch.setenv("RVAE_STEM_DATA", "own")
    assert fetch("real.dm3").read_bytes() == CONTENT
    monkeypatch.chdir(places["cache"])  # no folder `own` here, but one beside the checkout
    monkeypatch.setattr(registry, "_CHECKOUT", places["own"].parent)
    assert fetch("real.dm3").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../real.dm3", "own/real.dm3", "a\\real.dm3", "..", "/etc/hosts"])
def test_paths_are_refused(places, name):
    with pytest.raises(ValueError, match="bare name"):
        fetch(name)


@pytest.mark.parametrize("name", ["Real.DM3", "real.dm4", "shiped.csv", "", 7])
def test_an_unknown_name_lists_the_known_ones(places, name):
    with pytest.raises(ValueError, match="real.dm3.*shipped.csv"):
        fetch(name)


def test_a_near_name_is_suggested(places):
    with pytest.raises(ValueError, match=r"did you mean real\.dm3\?"):
        fetch("REAL.dm4")


def test_each_address_is_pinned_to_a_commit_and_has_licence_and_source_beside_it():
    text = (ROOT / "data" / "registry.txt").read_text(encoding="utf-8")
    paragraphs = [part for part in text.split("\n\n") if "https://raw." in part]
    assert len(paragraphs) == 4
    for paragraph in paragraphs:
        assert re.search(r"^# Licence: .*Copyright", paragraph, re.M)
        assert re.search(r"^# Source", paragraph, re.M)
    addresses = re.findall(r" (https://\S+)$", text, re.M)
    assert len([a for a in addresses if "raw.githubusercontent.com" in a]) == 6
    for address in addresses:
        assert re.search(r"raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/", address)


def test_every_shipped_file_is_registered_with_its_present_checksum(monkeypatch):
    monkeypatch.delenv("RVAE_STEM_DATA", raising=False)
    shipped = [p for p in (ROOT / "data").iterdir() if p.suffix in data_suffixes()]
    assert shipped
    for path in shipped:
        assert os.path.samefile(fetch(path.name), path), "run: python data/recipes/register.py"


def data_suffixes() -> set[str]:
    source = (ROOT / "data" / "recipes" / "register.py").read_text(encoding="utf-8")
    return set(re.findall(r'"\*(\.\w+)"', source))
