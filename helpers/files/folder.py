"""A folder that is written whole or not at all."""

import shutil
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def new_folder(path, *, overwrite: bool = False):
    """A folder to write into, which takes the place of `path` only when all went well."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists already: choose another name, or pass overwrite=True")
    parent = path.parent
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=parent, prefix=f"{path.name}.") as scratch:
        new = Path(scratch) / path.name
        new.mkdir()
        yield new
        if path.exists():
            shutil.rmtree(path)
        new.replace(path)
