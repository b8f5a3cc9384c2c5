"""The pages of SPEC: short, in one form, about this code; and the example is what it says."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import architecture
import models
import processor
import pytest

ROOT = architecture.ROOT
PAGES = architecture.spec_files()
ROOT_PAGE = PAGES["checker/SPEC.md"]
CHAPTERS = {name: text for name, text in PAGES.items() if name != "checker/SPEC.md"}
CLAUSES = {
    clause: text
    for page in CHAPTERS.values()
    for clause, text in architecture.text_of_clauses(page).items()
    if "." in clause
}
MOST_WORDS = 4_000
PARTS = ("Words", "Fields", "Premises", "Conclusion", "Proof", "Cost")
# Clauses that say what a word or a key means, or what is computed, and so have nothing to prove.
WITHOUT_PROOF = {
    "SPEC-4.5", "SPEC-5.3", "SPEC-7.2", "SPEC-7.3", "SPEC-7.4", "SPEC-7.7", "SPEC-7.11",
    "SPEC-7.12", "SPEC-12.1", "SPEC-12.3", "SPEC-12.6", "SPEC-13.1", "SPEC-14.1",
    "SPEC-14.2", "SPEC-14.8",
}  # fmt: skip
# Clauses that take no operation: nothing is computed, or only what is parsed.
WITHOUT_COST = {
    "SPEC-4.5", "SPEC-5.3", "SPEC-5.7", "SPEC-7.1", "SPEC-7.2", "SPEC-7.3", "SPEC-7.4", "SPEC-7.7",
    "SPEC-7.11", "SPEC-7.13", "SPEC-12.1", "SPEC-12.4", "SPEC-12.6", "SPEC-13.1", "SPEC-14.1",
    "SPEC-14.2", "SPEC-15.1",
}  # fmt: skip
EVERYWHERE = (
    *("*.md", "benchmarks/**/*.py", "certificates/*.md", "certify/**/*.py", "checker/**/*.md"),
    *("checker/**/*.py", "docs/*.md", "tests/*.md", "tests/**/*.py"),
)
# Where only the one spelling of a clause may occur, as patterns under the repository.
SPELLED = EVERYWHERE
SPELLED_OTHERWISE = "tests/gates/test_architecture.py"  # it shows the lint what it must catch


def section(title: str) -> str:
    """Return the text of a section of the root page."""
    return ROOT_PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str) -> list[str]:
    """Return the fenced blocks of a text."""
    return re.findall(r"(?ms)^```\w*\n(.*?)^```$", text)


def cells_of(text: str) -> Iterator[list[str]]:
    """Yield the rows of every table in a text, split into cells; a | in backticks is none."""
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip() for cell in re.split(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)", line)[1:-1]]


def parts_of(clause: str) -> list[str]:
    """Return the parts of a clause in order, those of the fixed form."""
    found = re.findall(r"(?m)^\*([A-Z][a-z]+)\.\*", CLAUSES[clause])
    return [part for part in found if part in PARTS]


# --- the pages --------------------------------------------------------------------


def test_the_root_page_is_short() -> None:
    assert len(ROOT_PAGE.split()) <= MOST_WORDS


def test_clauses_are_numbered_without_holes() -> None:
    numbers = [clause[5:].split(".") for clause in architecture.clauses_of_spec(PAGES)]
    for major in {number[0] for number in numbers}:
        minors = sorted(int(number[1]) for number in numbers if number[0] == major and number[1:])
        assert minors == list(range(1, len(minors) + 1)), major
    assert {int(number[0]) for number in numbers} == set(range(1, 17))


def test_the_root_page_says_where_every_clause_is() -> None:
    rows = {row[0].partition("](")[2][:-1]: row[1] for row in cells_of(ROOT_PAGE) if "](" in row[0]}
    assert {f"checker/{page}" for page in rows} == set(CHAPTERS)
    order = sorted(CLAUSES, key=lambda clause: tuple(map(int, clause[5:].split("."))))
    for page, named in rows.items():
        held = set(architecture.text_of_clauses(PAGES[f"checker/{page}"])) & set(order)
        told: set[str] = set()
        for first, last in re.findall(r"(SPEC-[0-9.]+)(?: to (SPEC-[0-9.]+))?", named):
            told |= set(order[order.index(first) : order.index(last or first) + 1])
        assert held == told, page


def test_lines_of_prose_are_short_and_a_sentence_begins_a_line() -> None:
    for name, page in PAGES.items():
        for line in re.sub(r"(?ms)^```.*?^```$", "", page).splitlines():
            assert line.startswith("|") or len(line) <= 120, (name, line)
            if not line.startswith(("|", "    ", "- ", "1. ", "2. ", "3. ", "#", "*")):
                assert not re.search(r"[a-z0-9`)]\. [A-Z][a-z]", line), (name, line)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_names_the_modules_beside_it(name: str) -> None:
    folder = (ROOT / name).parent
    named = {row[0].strip("`") for row in cells_of(PAGES[name]) if row[0].endswith(".py`")}
    assert named == {path.name for path in folder.glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("name", sorted(set(CHAPTERS) - {"checker/ground/SPEC.md"}))
def test_a_chapter_begins_with_its_fields(name: str) -> None:
    headings = re.findall(r"(?m)^## (.*)$", PAGES[name])
    assert headings[0] == "Fields"
    assert {row[1] for row in cells_of(PAGES[name]) if row[0] == "object"} == {"key"}


@pytest.mark.parametrize("name", PAGES)
def test_files_and_pages_that_are_named_exist(name: str) -> None:
    page, folder = PAGES[name], (ROOT / name).parent
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page)]
    assert [link for link in links if not (folder / link).exists()] == []
    paths = re.findall(r"`([a-z_0-9]+/[\w./-]+\.(?:py|json|safetensors))`", page)
    roots = (ROOT, ROOT / "checker")
    assert [path for path in paths if not any((root / path).is_file() for root in roots)] == []


# --- the form of a clause -----------------------------------------------------------


@pytest.mark.parametrize("clause", CLAUSES)
def test_every_clause_has_the_one_form(clause: str) -> None:
    parts = parts_of(clause)
    assert parts == [part for part in PARTS if part in parts], "once each, in this order"
    assert "Conclusion" in parts
    assert ("Proof" in parts) != (clause in WITHOUT_PROOF)
    assert ("Cost" in parts) != (clause in WITHOUT_COST)
    assert re.match(r"### SPEC-[0-9.]+ [A-Z]", CLAUSES[clause]), "a title"
    if re.search(r"(?m)(^|\* )\*(Lemma|Theorem)", CLAUSES[clause]):
        assert "∎" in CLAUSES[clause]


def test_exceptions_from_the_form_are_clauses() -> None:
    assert set(CLAUSES) >= WITHOUT_PROOF | WITHOUT_COST


def test_what_must_be_is_a_field_or_a_premise() -> None:
    for clause, text in CLAUSES.items():
        for part, body in re.findall(
            r"(?ms)^\*([A-Z][a-z]+)\.\*(.*?)(?=^\*[A-Z][a-z]+\.\*|\Z)", text
        ):
            assert part in ("Fields", "Premises") or "MUST" not in body, clause


def test_what_the_code_refuses_the_text_refuses() -> None:
    texts = {c: t for page in PAGES.values() for c, t in architecture.text_of_clauses(page).items()}
    for clause in architecture.clauses_in_code(architecture.sources("checker")):
        assert re.search(r"\bMUST\b|(?i:declined?s?)\b", texts[clause]), clause


# --- one spelling ---------------------------------------------------------------------


def spelled() -> dict[str, str]:
    """Return {path: text} of the files in which a clause has one spelling."""
    paths = {path for pattern in SPELLED for path in ROOT.glob(pattern)}
    named = {path.relative_to(ROOT).as_posix(): path for path in paths}
    return {
        name: path.read_text("utf-8") for name, path in named.items() if name != SPELLED_OTHERWISE
    }


def test_clauses_have_one_spelling() -> None:
    assert [
        (name, found)
        for name, text in spelled().items()
        for found in re.findall(r"SPEC\s+[0-9]+", text)
    ] == []


def test_every_clause_that_is_cited_exists() -> None:
    known = set(architecture.clauses_of_spec(PAGES)) | {"SPEC-1.1"}  # tests use it for any clause
    for name, text in spelled().items():
        for cited in re.findall(r"SPEC-[0-9]+(?:\.[0-9]+)?", text):
            assert cited in known, (name, cited)


def test_pages_cite_clauses_in_full() -> None:
    numbers = "|".join(
        re.escape(clause[5:]) for clause in architecture.clauses_of_spec(PAGES) if "." in clause
    )
    bare = re.compile(rf"(?<![\w.-])(?<!Lemma )(?:{numbers})(?![\w.]|\.[0-9])")
    for name, page in PAGES.items():
        prose = re.sub(r"`[^`]*`|(?ms:^```.*?^```$)", "", page)
        assert [line for line in prose.splitlines() if bare.search(line)] == [], name


# --- the example --------------------------------------------------------------------

EXAMPLE, SPOKEN = blocks(section("A whole certificate"))
COMMAND, *PRINTED = SPOKEN.splitlines()
MODEL, CERTIFICATE = COMMAND.split()[-2:]


def test_the_example_is_the_file() -> None:
    written = "".join(line.partition(" #")[0] for line in EXAMPLE.splitlines())
    assert "".join(written.split()) + "\n" == (ROOT / CERTIFICATE).read_text("ascii")


def test_every_key_of_the_example_has_a_remark() -> None:
    for line in EXAMPLE.splitlines():
        assert re.fullmatch(r'[ {\[]*"\w+":[^#]+ # .+', line), line
        assert line.count('":') == 1, line


def test_the_checker_says_of_the_example_what_the_page_says() -> None:
    assert COMMAND.startswith("$ python3 -S -m checker ")
    done = processor.run(
        [sys.executable, *COMMAND.split()[2:]], 60, capture_output=True, text=True, cwd=ROOT
    )
    assert (done.stderr, done.returncode) == ("", 0)
    found = re.sub(r"seconds=[0-9]+\.[0-9]+", "seconds=0.00", done.stdout)
    assert found == "\n".join(PRINTED) + "\n"
    assert PRINTED[-1].startswith("s VERIFIED ")


def test_the_matrices_of_the_example_are_those_of_the_model() -> None:
    pair = models.pair()
    assert pair.bytes == (ROOT / MODEL).read_bytes()
    assert pair.config["d_model"] == pair.config["d_head"] == 1
    assert pair.tensors["pos_embed.W_pos"] == [[0], [0]]
    assert not [name for name in pair.tensors if ".b_" in name]
    rows = [row[0] for row in pair.tensors["embed.W_E"]]
    read = pair.tensors["unembed.W_U"][0]
    q, k, v, o = (pair.tensors[f"{models.ATTENTION}W_{letter}"][0][0][0] for letter in "QKVO")
    told = dict(re.findall(r"(EQKE|EVOU|EU) = (\[\[.*?\]\])", section("A whole certificate")))
    assert json.loads(told["EQKE"]) == [[query * q * k * key for key in rows] for query in rows]
    assert json.loads(told["EVOU"]) == [[token * v * o * u for u in read] for token in rows]
    assert json.loads(told["EU"]) == [[query * u for u in read] for query in rows]


# --- the keys -----------------------------------------------------------------------


def keys_in(value: Any) -> Iterator[str]:
    """Yield every key of a value, at any depth."""
    if isinstance(value, dict):
        yield from value
    for item in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from keys_in(item)


def accepted() -> Iterator[Path]:
    """Yield the accepted vectors, and a scope file; tables are in certificates."""
    folder = ROOT / "tests" / "vectors"
    for pattern in ("SPEC-*/accept-*.json", "scopes/right.json"):
        yield from folder.glob(pattern)


def test_the_list_of_keys_is_complete() -> None:
    listed = {
        key for row in cells_of(section("All keys")) for key in re.findall(r"`([\w-]+)`", row[1])
    }
    found = {key for path in accepted() for key in keys_in(json.loads(path.read_bytes()))}
    assert listed - {"right"} == found - {"right"}  # the method of a leaf, and the key of a pair
    assert "right" in found


def test_chapters_name_the_keys_of_their_proofs() -> None:
    rows = list(cells_of(section("All keys")))
    first = next(index for index, row in enumerate(rows) if row[0] == "`proof`")
    listed = {key for row in rows[first:] for key in re.findall(r"`(\w+)`", row[1])}
    told = {
        key
        for page in CHAPTERS.values()
        for row in cells_of(page.partition("\n## Fields\n")[2].partition("\n## ")[0])
        for key in re.findall(r"`(\w+)`", " ".join(row[:3]))
    }
    assert listed - {"operations", "precision", "strategy", "right"} <= told
