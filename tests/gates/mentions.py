"""Who mentions a name: for damages that act while modules are imported.

A constant of a module is seen by the statements that name it, wherever they are.  The tests that
execute one of these, or name it themselves, are those that can notice.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

from damages import defined, name_of

Place = tuple[str, int]


def statements(tree: ast.AST, function: str = "") -> Iterator[tuple[ast.stmt, str]]:
    """Yield (statement, the function around it or nothing)."""
    for child in ast.iter_child_nodes(tree):
        inner = function
        if isinstance(child, ast.stmt):
            yield child, function
        if isinstance(child, ast.FunctionDef):
            inner = function or child.name
        yield from statements(child, inner)


def own_names(statement: ast.stmt) -> set[str]:
    """Return the names in a statement, without the statements in it and without types."""
    found: set[str] = set()
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if name_of(node):
            found.add(name_of(node))
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns"):
                continue
            some = value if isinstance(value, list) else [value]
            todo += [n for n in some if isinstance(n, ast.AST) and not isinstance(n, ast.stmt)]
    return found


class Mentions:
    """Where the names of the checker are used, in the checker and in the tests."""

    def __init__(self, checker: Mapping[str, str], tests: Mapping[str, str]) -> None:
        self.places: dict[str, set[Place]] = defaultdict(set)
        self.passed_on: dict[str, set[str]] = defaultdict(set)
        self.tests: dict[str, set[str]] = defaultdict(set)
        for file, text in checker.items():
            for statement, function in statements(ast.parse(text)):
                for name in own_names(statement):
                    self.places[name].add((file, statement.lineno))
                    if not function:
                        self.passed_on[name].update(defined(statement))
        for file, text in tests.items():
            for node in ast.parse(text).body:
                names = {name_of(n) for n in ast.walk(node)} - {""}
                test = isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
                place = f"{file}::{node.name}" if isinstance(node, ast.FunctionDef) else file
                for name in names:
                    self.tests[name].add(place if test else file)

    def of(self, targets: tuple[str, ...]) -> tuple[set[Place], set[str]]:
        """Return the places of the checker and the tests that see what the names stand for."""
        names: set[str] = set()
        todo = list(targets)
        while todo:
            name = todo.pop()
            if name not in names:
                names.add(name)
                todo += self.passed_on[name]
        places = set[Place]().union(*(self.places[name] for name in names))
        return places, set[str]().union(*(self.tests[name] for name in names))
