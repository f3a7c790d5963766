"""Run those parts of notebooks that need an installation: the Colab cell, imports, fetch(…).

A program, not a test: tests/test_everywhere.py runs it with the python of an environment that has
the wheel and not the checkout. It prints, as JSON, what the Colab cell of each notebook asked pip
for, and what failed.
"""

import ast
import json
import re
import sys
from pathlib import Path

import google.colab  # noqa: F401  (a stub: the cell looks whether it is loaded)
from IPython.core.interactiveshell import InteractiveShell

from helpers import fetch

SHIPPED = fetch("sr3fe2o7_truth.csv").parent
REGISTERED = set(re.findall(r"(?m)^(\S+) sha256:", (SHIPPED / "registry.txt").read_text()))
NOT_FOUND = {"FileNotFoundError", "OSError", "Exception"}


def sources(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_colab_cell(source: str) -> list[str]:
    """What the cell would have pip do."""
    asked = []
    shell = InteractiveShell.instance()
    shell.register_magic_function(asked.append, "line", "pip")
    shell.run_cell(source).raise_error()
    return asked


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def parts(tree: ast.Module) -> list[ast.AST]:
    """Imports and calls of fetch, in the order of the text."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) or is_call(node, "fetch")
    ]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def guarded(tree: ast.Module) -> set[ast.AST]:
    """What stands in a ``try`` that knows what to do without a file."""
    inside = set()
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.Try)]:
        if any(ast.unparse(handler.type) in NOT_FOUND for handler in block.handlers):
            inside |= {node for statement in block.body for node in ast.walk(statement)}
    return inside


def statements(node: ast.AST, literals: set[str]) -> list[str]:
    """What to run: the part itself, or one fetch for each file that a variable may stand for."""
    if is_call(node, "fetch") and not isinstance(node.args[0], ast.Constant):
        return [f"fetch({name!r})" for name in sorted(literals & REGISTERED)]
    return [ast.unparse(node)]


def run_parts(source: str) -> list[str]:
    """What of it fails, in a name space of its own."""
    tree, names, failed = ast.parse(source), {"sys": sys}, []
    excused = guarded(tree)
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    literals = {value for value in constants if isinstance(value, str)}
    for node in parts(tree):
        lines = statements(node, literals)
        failed += [] if lines else [f"{ast.unparse(node)}: no registered file is named"]
        for statement in lines:
            try:
                exec(statement, names)
            except Exception as error:
                if not (isinstance(error, FileNotFoundError) and node in excused):
                    failed.append(f"{statement}: {error!r}")
    return failed


def main(paths: list[str]) -> dict[str, dict]:
    result = {}
    for path in paths:
        colab, *others = sources(Path(path))
        asked = run_colab_cell(colab)
        result[path] = {"pip": asked, "failed": run_parts("\n".join(others))}
    return result


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
