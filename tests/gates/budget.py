"""Measure the checker in tokens, and fail past a limit.

    python tests/gates/budget.py [FOLDER]

A token is one of Python's, without comments, docstrings, line ends and indents; a text with
`{...}` in it counts as one, in every version of Python.  A budget in lines was met by packing
lines, so tokens are counted, and packed lines are refused beside them: by length, by the number of
tokens on a line, by several values in one assignment, by an index that is a comparison.
"""

# ruff: noqa: T201 (a command)

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_TOKENS = 69_599
MOST_OF_A_FUNCTION = 450
MOST_ON_A_LINE = 25
MOST_COLUMNS = 100
MOST_PER_LINE = 9.0  # on average over the lines that hold code
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
# Since Python 3.12 a text with `{...}` comes in pieces, between these two.
TEXT_BEGINS = getattr(tokenize, "FSTRING_START", -1)
TEXT_ENDS = getattr(tokenize, "FSTRING_END", -1)


@dataclass(frozen=True)
class Size:
    """The tokens of one file: on each line of code, and in each function."""

    lines: Mapping[int, int]
    functions: Mapping[str, int]

    @property
    def tokens(self) -> int:
        """Return how many tokens the file has."""
        return sum(self.lines.values())


def tokens(text: str) -> Iterator[tuple[int, int]]:
    """Yield (line, type) of each token that is not layout; a formatted text is one token."""
    inside = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == TEXT_BEGINS:
            inside += 1
            if inside == 1:
                yield token.start[0], tokenize.STRING
        elif token.type == TEXT_ENDS:
            inside -= 1
        elif not inside and token.type not in LAYOUT:
            yield token.start[0], token.type


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the lines of the statements that are a text and nothing else."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            found |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def size(text: str) -> Size:
    """Return the tokens of each line and of each function, those inside it included."""
    tree = ast.parse(text)
    described = docstring_lines(tree)
    lines = Counter(
        line for line, kind in tokens(text) if kind != tokenize.STRING or line not in described
    )
    functions = {
        name: sum(lines[line] for line in range(node.lineno, (node.end_lineno or 0) + 1))
        for name, node in _functions(tree, "")
    }
    return Size(lines, functions)


def _functions(node: ast.AST, owner: str) -> Iterator[tuple[str, ast.stmt]]:
    for child in ast.iter_child_nodes(node):
        inner = owner
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{owner}{child.name}."
            if not isinstance(child, ast.ClassDef):
                yield inner[:-1], child
        yield from _functions(child, inner)


# --- packing ----------------------------------------------------------------------


def packed_assignments(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Several names get several values in one assignment; to exchange is not to pack.

    What a call or an enclosure returns may be taken apart: that is one thing, and named.  A tuple
    that is written down on the right is not.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, (ast.Tuple, ast.List)):
                wide = [shown for shown in _displays(node.value) if not _exchanges(target, shown)]
                if wide:
                    yield node.lineno, f"packs values: {ast.unparse(node)[:70]}"


def _displays(value: ast.expr) -> Iterator[ast.Tuple | ast.List]:
    """Yield the tuples that an expression writes down, in either branch of a choice."""
    if isinstance(value, (ast.Tuple, ast.List)):
        yield value
    elif isinstance(value, ast.IfExp):
        yield from _displays(value.body)
        yield from _displays(value.orelse)


def _exchanges(target: ast.Tuple | ast.List, value: ast.Tuple | ast.List) -> bool:
    return sorted(map(ast.unparse, target.elts)) == sorted(map(ast.unparse, value.elts))


def indexed_by_comparison(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """An index that is a truth value hides which of two things is taken."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and any(map(_decides, ast.walk(node.slice))):
            yield node.lineno, f"is indexed by a comparison: {ast.unparse(node)[:70]}"


def _decides(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )


# --- the limits -------------------------------------------------------------------


def summary(files: Mapping[str, str]) -> str:
    """Return the five numbers of some files, on one line."""
    sizes = [size(text) for text in files.values()]
    total = sum(one.tokens for one in sizes)
    lines = sum(len(one.lines) for one in sizes)
    largest_line = max((most for one in sizes for most in one.lines.values()), default=0)
    largest_function = max((most for one in sizes for most in one.functions.values()), default=0)
    average = total / lines if lines else 0
    return (
        f"tokens={total} lines={lines} per_line={average:.2f} "
        f"largest_line={largest_line} largest_function={largest_function}"
    )


def problems(files: Mapping[str, str]) -> list[str]:
    """Return what is past a limit, each with its place."""
    found: list[str] = []
    sizes = {name: size(text) for name, text in files.items()}
    total = sum(one.tokens for one in sizes.values())
    lines = sum(len(one.lines) for one in sizes.values())
    if total > MOST_TOKENS:
        found.append(f"{total} tokens, more than {MOST_TOKENS}")
    if total > MOST_PER_LINE * lines:
        found.append(f"{total / lines:.2f} tokens a line, more than {MOST_PER_LINE} on average")
    for name, one in sizes.items():
        for function, many in one.functions.items():
            if many > MOST_OF_A_FUNCTION:
                found.append(f"{name}: {function} has {many} tokens of {MOST_OF_A_FUNCTION}")
        for line, many in sorted(one.lines.items()):
            if many > MOST_ON_A_LINE:
                found.append(f"{name}:{line}: {many} tokens on a line of {MOST_ON_A_LINE}")
        for line, row in enumerate(files[name].splitlines(), 1):
            if len(row) > MOST_COLUMNS:
                found.append(f"{name}:{line}: {len(row)} columns of {MOST_COLUMNS}")
        tree = ast.parse(files[name])
        for lint in (packed_assignments, indexed_by_comparison):
            found += [f"{name}:{line}: {what}" for line, what in lint(tree, name)]
    return found


def read(folder: Path) -> dict[str, str]:
    """Return {path below the folder: text} of the Python files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8")
        for path in sorted(folder.rglob("*.py"))
    }


def main(argv: list[str]) -> int:
    """Print the numbers of each folder and of all, then what is past a limit."""
    files = read(Path(argv[0]) if argv else ROOT / "checker")
    parts: dict[str, dict[str, str]] = {}
    for name, text in files.items():
        part = f"{name.partition('/')[0]}/" if "/" in name else "."
        parts.setdefault(part, {})[name] = text
    for part, some in sorted(parts.items()):
        print(f"{part:<12}{summary(some)}")
    print(summary(files))
    found = problems(files)
    for problem in found:
        print(problem, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
