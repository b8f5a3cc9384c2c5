"""The table of formal/README.md against SPEC and against the Coq files, both ways."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THEORIES = ROOT / "formal" / "theories"
CLAUSE = re.compile(r"SPEC-([0-9]+(?:\.[0-9]+)*)")
STATES = ("proved", "trusted", "not proved")


def spec_clauses() -> set[str]:
    """Return the numbered clauses of chapters 4 to 7 that SPEC has, in whichever page."""
    found = set()
    for page in (ROOT / "checker").rglob("SPEC.md"):
        text = page.read_text("utf-8")
        found |= set(re.findall(r"^#+ SPEC-([4-7]\.[0-9]+)\b", text, re.MULTILINE))
        found |= set(re.findall(r"^\*\*([4-7]\.[0-9]+)\b", text, re.MULTILINE))
    return found


def table() -> dict[str, tuple[str, set[str]]]:
    """Return per clause what README says of it: the state, and the theorems."""
    rows = {}
    for line in (ROOT / "formal" / "README.md").read_text("utf-8").splitlines():
        row = re.fullmatch(r"\| SPEC-([0-9.]+) \| ([^|]+) \| ([^|]+) \|", line)
        if row:
            assert row[1] not in rows
            names = set(re.findall(r"`(\w+)`", row[3]))
            rows[row[1]] = row[2], names
    return rows


def theorems() -> dict[str, set[str]]:
    """Return per theorem that a comment above it names by a clause, those clauses."""
    found: dict[str, set[str]] = {}
    for file in sorted(THEORIES.glob("*.v")):
        lines = file.read_text("utf-8").splitlines()
        for above, line in pairwise(lines):
            stated = re.match(r"(?:Theorem|Lemma) (\w+)", line)
            clauses = set(CLAUSE.findall(above)) if above.rstrip().endswith("*)") else set()
            if stated and clauses:
                assert stated[1] not in found
                found[stated[1]] = clauses
    return found


def test_every_clause_of_the_chapters_is_in_the_table() -> None:
    assert len(spec_clauses()) >= 30
    assert set(table()) == spec_clauses()


def test_every_row_says_whether_it_is_proved() -> None:
    for clause, (state, names) in table().items():
        assert state.startswith(STATES), clause
        assert not state.startswith("proved") or names, clause


def test_every_theorem_of_the_table_is_named_by_its_clause_in_coq() -> None:
    known = theorems()
    for clause, (state, names) in table().items():
        for name in names if state.startswith("proved") else ():
            assert clause in known.get(name, set()), f"{name} is not named by SPEC-{clause}"


def test_every_clause_that_coq_names_has_its_theorem_in_the_table() -> None:
    rows = table()
    for name, clauses in theorems().items():
        for clause in clauses & set(rows):
            assert name in rows[clause][1], f"{name} is not in the row of SPEC-{clause}"
    mentioned = {
        clause
        for file in THEORIES.glob("*.v")
        for clause in CLAUSE.findall(file.read_text("utf-8"))
        if re.fullmatch(r"[4-7]\.[0-9]+", clause)
    }
    assert mentioned <= set(rows)
    assert all(not rows[clause][0].startswith("not proved") for clause in mentioned)


def test_nothing_is_admitted_and_four_axioms_are_known() -> None:
    for file in THEORIES.glob("*.v"):
        assert not re.search(
            r"\b(Admitted|admit|Axiom|Parameter|Conjecture)s?\b", file.read_text("utf-8")
        ), file.name
    listed = (ROOT / "formal" / "assumptions.txt").read_text("utf-8")
    names = set(re.findall(r"^[A-Z]\w*\.(\w+)", listed, re.MULTILINE))
    assert names == {
        "classic",
        "functional_extensionality_dep",
        "sig_forall_dec",
        "sig_not_dec",
    }
