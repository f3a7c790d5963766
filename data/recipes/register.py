"""Write the checksums of the shipped files into registry.txt.

    python data/recipes/register.py

Run it whenever a shipped file was made anew. Lines with an address and comments stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import pooch

DATA = Path(__file__).resolve().parents[1]
SHIPPED = ("*.npz", "*.hspy", "*.csv", "*.safetensors", "*.json")


def main() -> None:
    """Keep comments and files with an address; append one line for each shipped file."""
    registry = DATA / "registry.txt"
    lines = registry.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.startswith("#") or len(line.split()) != 2]
    files = sorted(path for pattern in SHIPPED for path in DATA.glob(pattern))
    shipped = [f"{path.name} sha256:{pooch.file_hash(str(path))}" for path in files]
    registry.write_text("\n".join(kept + shipped) + "\n", encoding="utf-8")
    print(f"{registry}: {len(shipped)} shipped files")


if __name__ == "__main__":
    main()
