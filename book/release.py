"""Give the book its next version, and let launch links and Colab cells follow that release's tag.

``make release VERSION=0.2.0`` runs this file. A workshop whose links name a release does not shift
while ``main`` moves on. All new texts are computed, and checked, before the first is written; the
two commands that remain, commit and tag, are printed.
"""

import argparse
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
UNRELEASED = re.compile(r"^## [^\n]*(?i:not yet released)[^\n]*\n(.*?)(?=^## |\Z)", re.M | re.S)


def checked_version(version: str) -> str:
    """The version, if it has the form x.y.z and is higher than that of pyproject.toml."""
    if not re.fullmatch(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}", version):
        raise ValueError(f"{version!r} is not of the form x.y.z: give one like VERSION=0.2.0")
    now = re.search(r'^version = "(.*)"', read("pyproject.toml"), re.M)[1]
    if numbers(version) <= numbers(now):
        raise ValueError(f"{version} is not higher than {now} in pyproject.toml: give a higher one")
    return version


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def check_tree() -> None:
    """Refuse where something is not committed: it would become part of the release unseen."""
    listed = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode or listed.stdout:
        found = (listed.stdout or listed.stderr).strip().splitlines()[0]
        raise ValueError(f"git status says {found!r}: commit or remove what is not committed")


def check_changelog() -> None:
    section = UNRELEASED.search(read("CHANGELOG.md"))
    if not section or not section[1].strip():
        remedy = "say under a heading '## Not yet released' what is new"
        raise ValueError(f"CHANGELOG.md has no unreleased section with content: {remedy}")


def changes(version: str, day: str) -> list[tuple[list[str], str, str]]:
    """What is to change: files, a pattern that each must contain, and what takes its place."""
    repository = yaml.safe_load(read("_config.yml"))["repository"]
    url, branch = re.escape(repository["url"]), re.escape(repository["branch"])
    project = re.escape(repository["url"].removeprefix("https://github.com/"))
    notebooks = [path.relative_to(ROOT).as_posix() for path in (ROOT / "book").rglob("*.ipynb")]
    notebooks = sorted(name for name in notebooks if ".ipynb_checkpoints" not in name)
    texts = ["README.md", "CONTRIBUTING.md", "book/setup.md"]
    return [
        (["pyproject.toml"], r'(?m)^version = ".*"$', f'version = "{version}"'),
        (
            ["CITATION.cff"],
            r"(?m)^version: .*$(?:\ndate-released: .*$)?",
            f"version: {version}\ndate-released: {day}",
        ),
        (["CHANGELOG.md"], r"(?m)^## .*(?i:not yet released).*$", f"## {version} ({day})"),
        (["_config.yml"], r"(?m)^  branch: .*$", f"  branch: v{version}"),
        (notebooks, rf"(%pip install -q git\+{url})(?:@[\w.]+)?", rf"\g<1>@v{version}"),
        (texts, rf"(pip install (?:-q )?git\+{url})(?:@[\w.]+)?", rf"\g<1>@v{version}"),
        (["README.md"], rf"(/{project}/(?:blob/)?){branch}(?=[/?])", rf"\g<1>v{version}"),
    ]


def new_texts(version: str, day: str) -> dict[str, str]:
    """The texts of all files that change, by name."""
    texts = {}
    for names, pattern, new in changes(version, day):
        for name in names:
            texts[name], found = re.subn(pattern, new, texts.get(name) or read(name))
            if not found:
                raise ValueError(f"{name} has nothing like {pattern}: put that line back")
    return texts


def read(name: str) -> str:
    """A text as it is, with the line ends it has."""
    return (ROOT / name).read_bytes().decode("utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Set the version of a release everywhere.")
    parser.add_argument("version", help="x.y.z, higher than now")
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    options = parser.parse_args()
    try:
        version = checked_version(options.version)
        check_changelog()
        if not options.dry_run:
            check_tree()
        texts = new_texts(version, date.today().isoformat())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.dry_run:
        print(f"Would change {len(texts)} files:", *texts, sep="\n    ")
        return 0
    for name, text in texts.items():
        (ROOT / name).write_bytes(text.encode("utf-8"))
    print(f"{len(texts)} files name {version} now. What is left to do (and then to push):")
    print(f'    git commit --all --message "Release {version}"')
    print(f'    git tag --annotate v{version} --message "Release {version}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
