"""The pages of the site: every block of code runs, in order, in a folder that is like a clone.

How a block is treated is told by the word after its fence:

``bash``                  is run, and must end well
``python``                is run as a program
any with ``title="F"``    is written to the file F
``console-output``        is what a block before it printed
``text``                  is not run; a comment before it says why: ``<!-- not run: reason -->``

A block after the comment ``<!-- needs: N -->`` is left out where there is no file and no module N.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import stand_ins

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
CONFIG = DOCS / "site" / "mkdocs.yml"
LIKE_A_CLONE = (
    *("certificates", "certify", "checker", "benchmarks", "tests"),
    *("Makefile", "README.md", "pyproject.toml"),
)
LANGUAGES = ("bash", "python", "toml", "json", "console-output", "text")
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<told>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$", re.M | re.S
)
NEEDS = re.compile(r"<!-- needs: (\S+) -->\n\n?\Z")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\n?\Z")


@dataclass(frozen=True)
class Block:
    """A block of code: the page and the line where it begins, its language, the file that it is
    written to, the file or module that it needs, and the reason why it is not run.
    """

    where: str
    language: str
    title: str
    needs: str
    code: str
    reason: str


def pages() -> list[str]:
    """Return the pages that the configuration of the site lists."""
    return re.findall(r": ([a-z0-9-]+\.md)$", CONFIG.read_text(), re.M)


def blocks(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    for found in FENCE.finditer(text):
        language, _, more = found["told"].strip().partition(" ")
        before = text[: found.start()]
        title = re.search(r'title="([^"]+)"', more)
        code = re.sub(rf"^{found['indent']}", "", found["code"], flags=re.M)
        yield Block(
            f"{page}:{len(before.splitlines()) + 1}",
            language,
            first(title),
            first(NEEDS.search(before)),
            code,
            first(NOT_RUN.search(before)),
        )


def first(found: re.Match[str] | None) -> str:
    """Return the first group of a match, nothing where there is none."""
    return "" if found is None else found[1]


def indented(text: str) -> list[str]:
    """Return the lines that Markdown takes for code without a fence."""
    outside = FENCE.sub("", text).splitlines()
    return [
        line
        for before, line in zip(["", *outside], outside, strict=False)
        if line.startswith("    ")
        and not before.strip()
        and not line.strip().startswith("options:")
    ]


@pytest.mark.parametrize("page", pages())
def test_every_block_of_a_page_says_what_it_is(page: str) -> None:
    text = (DOCS / page).read_text("utf-8")
    found = list(blocks(page, text))
    assert text.count("\n```") + text.startswith("```") == 2 * len(found)
    for block in found:
        assert block.language in LANGUAGES, block.where
        assert (block.language == "text") == bool(block.reason), block.where
        if block.language in ("toml", "json"):
            assert block.title, block.where
    assert indented(text) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_every_block_of_a_page_runs(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text("utf-8")
    folder, environment = clone(tmp_path)
    stand_ins.for_page(page, folder)
    for block in blocks(page, text):
        if has(block.needs, folder):
            run_block(block, folder, environment)


def has(needed: str, folder: Path) -> bool:
    """Return whether a file is in the folder, or a module of this name is installed."""
    if "." in needed:
        return (folder / needed).exists()
    return not needed or importlib.util.find_spec(needed) is not None


def clone(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a folder with a clone's files, and the environment of one who has installed it."""
    folder, programs = tmp_path / "clone", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    for name in LIKE_A_CLONE:
        (folder / name).symlink_to(ROOT / name)
    (folder / "docs").mkdir()
    for name, words in {
        "certify": "-P -m certify",
        "python": "",
        "python3": "",
    }.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return folder, {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def run_block(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Do with a block what its language says, and assert that it ended well."""
    if block.title:
        (folder / block.title).write_text(block.code)
    elif block.language in ("bash", "python"):
        words = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else ["python", "-c"]
        ended = subprocess.run(
            [*words, block.code],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, (
            f"{block.where}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        )


def test_a_page_without_a_language_is_caught() -> None:
    page = "# T\n\n```bash\ntrue\n```\n\n<!-- not run: no -->\n```text\nx\n```\n\n```\ny\n```\n"
    assert [(one.language, one.reason) for one in blocks("p.md", page)] == [
        ("bash", ""),
        ("text", "no"),
        ("", ""),
    ]
    assert indented("words\n\n    code\n") == ["    code"]


def test_a_block_that_fails_is_caught(tmp_path: Path) -> None:
    folder, environment = clone(tmp_path)
    with pytest.raises(AssertionError, match=r"p\.md:1"):
        run_block(Block("p.md:1", "bash", "", "", "false | true", ""), folder, environment)
    with pytest.raises(AssertionError, match=r"p\.md:2"):
        run_block(Block("p.md:2", "python", "", "", "1 / 0", ""), folder, environment)
