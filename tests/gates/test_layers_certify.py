"""The layers of `certify/`: imports go only upwards in the table of its docstring, and no module
outside a family, the rules and their training names a task.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import architecture as a
import pytest

import certify
from certify.question.rules import RULES

CERTIFY = a.sources("certify")
AT_HOME = (
    *("certify/cells/", "certify/sums/", "certify/leaves/", "certify/training/", "certify/lab/"),
    *("certify/question/rules.py", "certify/question/composition.py"),
)
"""Where a task may be named."""
ENGLISH = ("group",)
"""Names of tasks that are words of English too."""


def layers(docstring: str) -> dict[str, int]:
    """Return the layer of every module or package of the table in a docstring, the lowest first."""
    table = [line for line in docstring.splitlines() if line.startswith("    ")]
    found = {}
    for layer, line in enumerate(table):
        for name in re.split(r"\s{2,}", line.strip())[0].split(", "):
            found[name] = layer
    return found


LAYERS = layers(certify.__doc__ or "")


def room(name: str) -> str:
    """Return the module or package right below `certify` that a file belongs to."""
    return name.split("/")[1].removesuffix(".py")


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and room of everything that is imported from `certify`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "certify":
                    yield node.lineno, parts[1] if len(parts) > 1 else "everything"
        elif isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            if node.level:
                yield node.lineno, "a relative import"
            elif parts == ["certify"]:
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif parts[0] == "certify":
                yield node.lineno, parts[1]


def upward(name: str, text: str) -> list[str]:
    """Return the imports of a file that are not of its own package or of a lower layer."""
    own = room(name)
    return [
        f"{name}:{line}: {own} imports {other}"
        for line, other in imported(text)
        if other not in (own, "__version__") and LAYERS.get(other, 99) >= LAYERS[own]
    ]


def docstrings(tree: ast.Module) -> set[ast.Constant]:
    """Return the texts that stand alone: docstrings, and those of constants."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def named_tasks(name: str, text: str) -> list[str]:
    """Return the texts of a file, but for docstrings, that name a task."""
    tree = ast.parse(text)
    names = "|".join(re.escape(rule) for rule in RULES if rule not in ENGLISH)
    # A word of English names a task where a parameter follows.
    plain = "|".join(rf"{word}:(?!\s)" for word in ENGLISH)
    word = re.compile(rf"(?<![\w-])(({names})(?![\w-])|{plain})")
    said = docstrings(tree)
    return [
        f"{name}:{node.lineno}: {node.value[:40]!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said
        if word.search(node.value)
    ]


def test_every_module_has_a_layer() -> None:
    rooms = {room(name) for name in CERTIFY} - {"__init__", "__main__"}
    assert rooms <= set(LAYERS)
    assert len(set(LAYERS.values())) > 8


def test_imports_go_only_to_lower_layers() -> None:
    inner = {name: text for name, text in CERTIFY.items() if room(name) in LAYERS}
    assert [found for name, text in inner.items() for found in upward(name, text)] == []


def test_no_circle_within_a_package() -> None:
    graph = {
        name.removesuffix(".py").removesuffix("/__init__"): text for name, text in CERTIFY.items()
    }
    arrows = {name: set(modules(text)) & set(graph) - {name} for name, text in graph.items()}
    while arrows:
        leaves = {name for name, others in arrows.items() if not others & set(arrows)}
        assert leaves, sorted(arrows)
        arrows = {name: others for name, others in arrows.items() if name not in leaves}


def modules(text: str) -> Iterator[str]:
    """Yield the modules of `certify` that are imported from, as paths; packages are only faces."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("certify."):
            path = (node.module or "").replace(".", "/")
            yield path
            yield from (f"{path}/{alias.name}" for alias in node.names)


def test_only_families_rules_and_training_name_a_task() -> None:
    others = {name: text for name, text in CERTIFY.items() if not name.startswith(AT_HOME)}
    assert "certify/command/prove.py" in others
    assert [found for name, text in others.items() for found in named_tasks(name, text)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("certify/ladder/climb.py", "from certify.cells.rungs import rungs"),
        ("certify/ladder/climb.py", "from certify import families"),
        ("certify/model/file.py", "import certify.question.rules"),
        ("certify/cells/draft.py", "def f():\n    from certify.sums.draft import draft"),
        ("certify/families.py", "from certify.command.group import main"),
        ("certify/api.py", "import certify"),
        ("certify/api.py", "from .errors import CertifyError"),
    ],
)
def test_upward_imports_are_caught(name: str, text: str) -> None:
    assert len(upward(name, text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("certify/ladder/climb.py", "from certify import __version__\nimport json"),
        ("certify/ladder/climb.py", "from certify.ladder.rung import Rung"),
        ("certify/command/show.py", "from certify import api, families"),
    ],
)
def test_other_imports_are_not(name: str, text: str) -> None:
    assert upward(name, text) == []


@pytest.mark.parametrize(
    "text",
    [
        'x = "max-of-k"',
        'f("--task argmax")',
        'x = f"{y} argmax"',
        'x = "polynomial"',
        'x = f"--task group:{y}"',
    ],
)
def test_names_of_tasks_are_caught(text: str) -> None:
    assert len(named_tasks("certify/command/x.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Train on max-of-k."""',
        'x = "max-of-4-seed-0"',
        "x = y.argmax(axis=1)",
        'f("the weakest group is")',
        'x = {"group": 1}',
        'f("that is no group: why")',
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert named_tasks("certify/command/x.py", text) == []
