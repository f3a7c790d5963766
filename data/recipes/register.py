"""Write the checksums of the shipped files into registry.txt.

    python data/recipes/register.py

Run it whenever a shipped file was made anew. Lines with an address and comments stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import pooch

DATA = Path(__file__).resolve().parents[1]
SHIPPED = ("*.npz", "*.hspy", "*.csv", "*.safetensors", "*.json")


def is_checksum(line: str) -> bool:
    """Whether a line of the registry is of a shipped file: its name and checksum, no address."""
    if line.startswith("#"):
        return False
    return len(line.split()) == 2


def main() -> None:
    """Keep comments and files with an address; append one line for each shipped file."""
    registry = DATA / "registry.txt"
    text = registry.read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not is_checksum(line)]
    files = []
    for pattern in SHIPPED:
        files += DATA.glob(pattern)
    shipped = []
    for path in sorted(files):
        checksum = pooch.file_hash(str(path))
        shipped.append(f"{path.name} sha256:{checksum}")
    lines = "\n".join(kept + shipped)
    registry.write_text(lines + "\n", encoding="utf-8")
    print(f"{registry}: {len(shipped)} shipped files")


if __name__ == "__main__":
    main()
