"""The house's numbers and taboos, as far as a machine can check them; a line for each breach."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastmail_ingest"
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 45
PARAMETERS_MAX = 8
SCRIPT_HEAD = ("-- Purpose:", "-- KEYS:", "-- ARGV:", "-- Returns:")
HOME_OF_KEYS = "stream/keys.py"
KEY_LITERAL = re.compile(r":(again|live|backfill|queued|delayed|done|seen|dead|cursor|node)\b[:\"']?$")


def breaches() -> Iterator[str]:
    """All breaches in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        name = path.relative_to(ROOT)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            yield f"{name}: {lines} lines, at most {FILE_LINES_MAX}"
        for node in ast.walk(ast.parse(text)):
            for what in wrong_with(node, str(name)):
                yield f"{name}:{getattr(node, 'lineno', 0)}: {what}"
    for path in sorted(PACKAGE.rglob("*.lua")):
        head = path.read_text()
        for word in SCRIPT_HEAD:
            if word not in head:
                yield f"{path.relative_to(ROOT)}: no {word!r} in its head"


def wrong_with(node: ast.AST, name: str) -> Iterator[str]:
    """What is wrong with one node of a file's syntax tree."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"
        arguments = node.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if count > PARAMETERS_MAX:
            yield f"{node.name} has {count} parameters, at most {PARAMETERS_MAX}"
    if isinstance(node, ast.Assert):
        yield "assert: raise an error of errors.py, asserts vanish with -O"
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    if KEY_LITERAL.match(text) and not name.endswith(HOME_OF_KEYS):
        yield f"{text!r} looks like a Redis key: keys are spelled in {HOME_OF_KEYS} only"


if __name__ == "__main__":
    found = list(breaches())
    sys.stdout.write("".join(f"{line}\n" for line in found) or "house rules: kept\n")
    sys.exit(1 if found else 0)
