"""A release sets its version and tag everywhere or nowhere, and the tests of addresses agree."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
MAJOR, MINOR, PATCH = map(int, VERSION.split("."))
NEXT = f"{MAJOR}.{MINOR + 1}.0"
NEWS = "## Not yet released\n\n- Something new.\n\n"
OF_ADDRESSES = "address or another_release or first_and_last_code_cell"


def git(folder, *arguments):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command += ["-c", "commit.gpgsign=false", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_news(folder, news):
    """Make `news` the newest section of the changelog, in place of what is not yet released."""
    path = folder / "CHANGELOG.md"
    title, *sections = re.split(r"(?m)^(?=## )", path.read_text(encoding="utf-8"))
    old = [
        section for section in sections if "not yet released" not in section.split("\n")[0].lower()
    ]
    path.write_text(title + news + "".join(old), encoding="utf-8")


@pytest.fixture
def checkout(clone, tmp_path):
    """A clean checkout with something to release."""
    folder = shutil.copytree(clone, tmp_path / "checkout")
    write_news(folder, NEWS)
    git(folder, "commit", "-q", "--allow-empty", "--all", "-m", "News")
    return folder


def release(folder, *arguments):
    command = [sys.executable, str(folder / "book" / "release.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def status_of_address_tests(folder):
    """Whether the tests of addresses and Colab cells pass there: pytest's status."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", OF_ADDRESSES]
    command += ["tests/test_project.py", "tests/test_book.py"]
    variables = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True).returncode


def assert_refused(folder, because, *arguments):
    before = git(folder, "status", "--porcelain")
    done = release(folder, *arguments)
    assert done.returncode == 2 and because in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert git(folder, "status", "--porcelain") == before


def test_versions_agree():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    branch = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    assert str(about["version"]) == VERSION
    assert branch["branch"] in ("main", f"v{VERSION}")


def test_a_release_is_named_wherever_an_address_stands(checkout):
    done = release(checkout, NEXT)
    assert done.returncode == 0, done.stderr
    assert f"git tag --annotate v{NEXT}" in done.stdout and "git commit" in done.stdout
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    about = yaml.safe_load((checkout / "CITATION.cff").read_text(encoding="utf-8"))
    config = yaml.safe_load((checkout / "_config.yml").read_text(encoding="utf-8"))
    assert project["version"] == about["version"] == NEXT
    assert about["date-released"] == date.today()
    assert config["repository"]["branch"] == f"v{NEXT}"
    heading = f"## {NEXT} ({date.today().isoformat()})\n"
    assert NEWS.split("\n", 1)[1] in (checkout / "CHANGELOG.md").read_text().split(heading)[1]
    assert status_of_address_tests(checkout) == 0


def test_of_a_notebook_one_line_changes(checkout):
    release(checkout, NEXT)
    rows = [line.split("\t") for line in git(checkout, "diff", "--numstat").splitlines()]
    changed = {name: (plus, minus) for plus, minus, name in rows}
    notebooks = set(git(checkout, "ls-files", "book/*.ipynb").split())
    others = {"pyproject.toml", "CITATION.cff", "CHANGELOG.md", "_config.yml"}
    others |= {"README.md", "CONTRIBUTING.md", "book/setup.md"}
    assert set(changed) == notebooks | others
    assert {changed[name] for name in notebooks} == {("1", "1")}


def test_a_tag_in_the_configuration_alone_is_noticed(checkout):
    path = checkout / "_config.yml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(?m)^  branch: .*$", f"  branch: v{NEXT}", text), encoding="utf-8")
    assert status_of_address_tests(checkout) == 1


def test_the_same_version_twice_is_refused_and_the_next_one_is_not(checkout):
    assert release(checkout, NEXT).returncode == 0
    assert_refused(checkout, f"not higher than {NEXT}", NEXT)
    assert_refused(checkout, "no unreleased section", f"{MAJOR + 1}.0.0")
    write_news(checkout, NEWS)
    git(checkout, "commit", "-q", "--all", "-m", "More news")
    assert release(checkout, f"{MAJOR + 1}.0.0").returncode == 0
    assert f"@v{NEXT}" not in (checkout / "README.md").read_text(encoding="utf-8")
    assert status_of_address_tests(checkout) == 0


def test_what_is_no_higher_version_is_refused(checkout):
    for version in ("0.0.0", VERSION):
        assert_refused(checkout, "not higher", version)
    for version in ("", "1", "99.0", f"v{NEXT}", f"{NEXT}rc1", "99.0.01", "99.0.0.0"):
        assert_refused(checkout, "x.y.z", version)


@pytest.mark.parametrize(
    "news", ["", "## Not yet released\n\n", "## 9.0.0 (1999-01-01)\n\n- Old.\n"]
)
def test_nothing_new_is_refused(checkout, news):
    write_news(checkout, news)
    git(checkout, "commit", "-q", "--all", "-m", "Nothing")
    assert_refused(checkout, "no unreleased section", NEXT)


def test_what_is_not_committed_is_refused_but_for_a_rehearsal(checkout):
    (checkout / "book" / "draft.md").write_text("A draft.\n")
    assert_refused(checkout, "draft.md", NEXT)
    done = release(checkout, NEXT, "--dry-run")
    assert done.returncode == 0 and "_config.yml" in done.stdout
    assert git(checkout, "status", "--porcelain") == "?? book/draft.md\n"


def test_a_line_that_is_missing_is_refused_and_nothing_is_half_written(checkout):
    path = checkout / "book" / "20_break_model.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("%pip install", "%pip download"), encoding="utf-8")
    git(checkout, "commit", "-q", "--all", "-m", "Damage")
    assert_refused(checkout, "book/20_break_model.ipynb", NEXT)
