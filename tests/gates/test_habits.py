"""Habits that are easily lost: one version, pinned tools, described targets, no clock in tests."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import architecture as a
import processor
import pytest

import certify
import checker

PROJECT = tomllib.loads((a.ROOT / "pyproject.toml").read_text("utf-8"))
CHECKER_PROJECT = tomllib.loads((a.ROOT / "checker" / "pyproject.toml").read_text("utf-8"))
MAKEFILE = (a.ROOT / "Makefile").read_text("utf-8")
# They run other programs, or count what a run took, and fail for neither.
WATCHES = {
    "tests/gates/processor.py",
    "tests/gates/mutants.py",
    "tests/gates/conformance.py",
    "tests/gates/hostile.py",
}
HANGS = ("BACKSTOP", "HANGS")  # for what does not work but waits


def test_there_is_one_version() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "checker/__init__.py"}
    assert CHECKER_PROJECT["tool"]["hatch"]["version"] == {"path": "__init__.py"}
    assert certify.__version__ == checker.__version__
    cited = (a.ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {checker.__version__}\n" in cited
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", checker.__version__)


def test_every_tool_is_pinned() -> None:
    lines = (a.ROOT / "tests" / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert [name for name in wanted if name not in pins] == []
    assert all(re.fullmatch(r"[0-9][0-9.]*", version) for version in pins.values())
    builder = [f"hatchling=={pins['hatchling']}"]
    assert PROJECT["build-system"]["requires"] == builder
    assert CHECKER_PROJECT["build-system"]["requires"] == builder
    assert "-c tests/constraints.txt" in MAKEFILE


def test_every_supported_python_is_tried_and_named() -> None:
    named = [
        line.rpartition(" ")[2]
        for line in PROJECT["project"]["classifiers"]
        if re.search(r":: 3\.[0-9]+$", line)
    ]
    tried = re.search(r"for version in ([0-9. ]+);", (a.ROOT / ".ci" / "run").read_text("utf-8"))
    assert tried is not None
    assert tried[1].split() == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_checker_is_a_package_of_its_own_that_needs_nothing() -> None:
    own, whole = CHECKER_PROJECT["project"], PROJECT["project"]
    assert own["dependencies"] == []
    assert "optional-dependencies" not in own
    for key in ("license", "authors", "requires-python"):
        assert own[key] == whole[key]
    supported = [text for text in whole["classifiers"] if "Python ::" in text]
    assert [text for text in own["classifiers"] if "Python ::" in text] == supported


def test_python_for_the_browser_is_pinned_once() -> None:
    package = json.loads((a.ROOT / "web" / "package.json").read_text("utf-8"))
    locked = json.loads((a.ROOT / "web" / "package-lock.json").read_text("utf-8"))["packages"]
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version)
        assert locked[f"node_modules/{name}"]["version"] == version
    assert all(found["integrity"].startswith("sha512-") for name, found in locked.items() if name)


def test_the_page_names_nothing_from_elsewhere() -> None:
    page = (a.ROOT / "web" / "index.html").read_text("utf-8")
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', page)
    assert loaded
    assert [name for name in loaded if not (a.ROOT / "web" / name).is_file()] == []
    for word in ("connect-src 'self'", "default-src 'none'", "form-action 'none'"):
        assert word in page
    assert "unsafe-inline" not in page
    assert "'unsafe-eval'" not in page


def test_every_target_is_described() -> None:
    targets = set(re.findall(r"^([a-z][a-z.-]*):", MAKEFILE, re.MULTILINE)) - {"clean", "lint"}
    assert targets >= {"demo", "quick", "test", "test-all", "format", "certificates", "mutants"}
    described = set(re.findall(r"make ([a-z.-]+[a-z])", MAKEFILE.partition("PYTHON ?=")[0]))
    assert targets - described == set()


def limits_on_the_clock(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """A test that reads the clock, or ends a program by it, fails on a busy machine."""
    for node in ast.walk(tree):
        backstop = isinstance(node, ast.keyword) and ast.unparse(node.value).endswith(HANGS)
        if isinstance(node, ast.keyword) and node.arg == "timeout" and not backstop:
            yield node.value.lineno, "limits the clock"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "time.time",
            "time.monotonic",
            "time.perf_counter",
            "monotonic",
            "perf_counter",
        ):
            yield node.lineno, "reads the clock"


def test_tests_limit_the_processor_and_never_the_clock() -> None:
    files = {name: text for name, text in a.sources("tests").items() if name not in WATCHES}
    assert a.run(limits_on_the_clock, files) == []


@pytest.mark.parametrize("snippet", ["run(x, timeout=3)", "time.monotonic()", "t = perf_counter()"])
def test_a_limit_on_the_clock_is_caught(snippet: str) -> None:
    assert a.run(limits_on_the_clock, {"tests/x.py": snippet}) != []


def test_a_program_is_ended_by_its_own_seconds(tmp_path: Path) -> None:
    endless = [sys.executable, "-S", "-c", "while True: pass"]
    assert processor.run(endless, 1).returncode == -24
    greedy = [sys.executable, "-S", "-c", "x = bytearray(1 << 30)"]
    done = processor.run(greedy, 5, memory=1 << 29, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
    calm = processor.run([sys.executable, "-c", "print(1)"], 60, capture_output=True, text=True)
    assert (calm.returncode, calm.stdout) == (0, "1\n")
