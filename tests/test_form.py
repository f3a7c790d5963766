"""The form of the code: short functions, small modules, one thing said by one statement."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "helpers").rglob("*.py"))
LONGEST_FUNCTION, LONGEST_MODULE = 30, 280  # lines of code
MOST_CALLS_A_LINE, MOST_PACKED = 0.6, 0.015


def lines_of_code(text: str) -> set[int]:
    """Numbers of the lines that hold code: no blank line, comment or docstring."""
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    ignored |= {tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in ignored:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def is_packed(node: ast.AST) -> bool:
    """Whether a statement gives several names unrelated values: ``a, b = x, y``."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple):
        return False
    return any(isinstance(target, ast.Tuple) for target in node.targets)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_functions_and_modules_are_short(path):
    text = path.read_text(encoding="utf-8")
    lines = lines_of_code(text)
    assert len(lines) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            size = len(lines & set(range(node.lineno, node.end_lineno + 1)))
            assert size <= LONGEST_FUNCTION, f"{node.name} has {size} lines of code"
    assert "fmt: " + "skip" not in text


def test_lines_have_air():
    """Few calls a line, and few statements that say two things."""
    lines = calls = packed = assignments = 0
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(text)))
        lines += len(lines_of_code(text))
        calls += sum(isinstance(node, ast.Call) for node in nodes)
        packed += sum(map(is_packed, nodes))
        assignments += sum(isinstance(node, ast.Assign | ast.AnnAssign) for node in nodes)
    assert calls / lines <= MOST_CALLS_A_LINE
    assert packed / assignments <= MOST_PACKED
