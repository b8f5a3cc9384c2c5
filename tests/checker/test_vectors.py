"""Every vector, in this process: the verdict, the clause, and every number that an accepted
certificate gives.
"""

from __future__ import annotations

import ast
from hashlib import sha256
from pathlib import Path

import architecture
import conformance
import make_vectors
import pytest
from conformance import Vector

from checker.__main__ import facts, main
from checker.check import Theorem, check, parse, require_shown
from checker.ground.errors import Declined, Refusal, Rejected

ALL = {vector.name: vector for vector in conformance.vectors()}
DIRECT = {
    name: v
    for name, v in ALL.items()
    if not v.arguments and v.model.is_file() and v.certificate.is_file()
}
ACCEPTED = {name: v for name, v in DIRECT.items() if v.expect["verdict"] == "VERIFIED"}
REFUSED = {name: v for name, v in DIRECT.items() if v.expect["verdict"] != "VERIFIED"}
MOST_BYTES = 2_200_000


def proved(vector: Vector) -> Theorem:
    """Return the theorem of a vector, in the order in which the command line asks for it."""
    theorem = check(
        parse(vector.model.read_bytes(), vector.certificate.read_bytes()),
        lambda done, declared: None,
    )
    require_shown(theorem)
    return theorem


def test_there_is_a_name_for_every_kind() -> None:
    assert len(ACCEPTED) >= 80
    assert len(REFUSED) >= 200
    assert {name.partition("/")[2].partition("-")[0] for name in ALL} == {"accept", "reject"}
    for name, vector in ALL.items():
        assert ("accept-" in name) == (vector.expect["verdict"] == "VERIFIED")
        assert name.partition("/")[0] == vector.expect.get("clause", name.partition("/")[0])
        assert vector.expect["why"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_for_the_right_reason(name: str) -> None:
    vector = REFUSED[name]
    with pytest.raises(Refusal) as refusal:
        proved(vector)
    assert refusal.value.rule == vector.expect["clause"]
    assert isinstance(
        refusal.value, {"REJECTED": Rejected, "DECLINED": Declined}[vector.expect["verdict"]]
    )
    assert refusal.value.why.isprintable()
    assert refusal.value.why.isascii()
    assert len(refusal.value.why) < 250


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_with_these_numbers(name: str) -> None:
    vector = ACCEPTED[name]
    theorem = proved(vector)
    expect, said, ledger = vector.expect, facts(theorem), theorem.ledger
    for key in ("correct_lower", "correct_upper", "margin_lower"):
        assert said[key] == expect[key]
    assert theorem.correct_lower <= int(expect["correct"]) <= theorem.correct_upper
    assert not expect["exact"] or theorem.correct_lower == theorem.correct_upper
    assert [ledger.mul, ledger.add, ledger.cmp, ledger.exp] == expect["operations"]
    outcomes = "".join(f"{o.lower},{o.upper},{o.size},{o.margin};" for o in theorem.outcomes)
    assert expect["outcomes"] in (outcomes, sha256(outcomes.encode()).hexdigest())


@pytest.mark.parametrize("name", sorted(set(ALL) - set(DIRECT)))
def test_what_depends_on_the_command_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    vector = ALL[name]
    code = main([str(vector.model), str(vector.certificate), *vector.arguments])
    found = capsys.readouterr()
    assert conformance.problems(vector, conformance.Outcome(code, found.out, found.err)) == []


def test_progress_is_reported_and_a_watch_may_stop_the_work() -> None:
    vector = ACCEPTED["SPEC-3.2/accept-canonical"]
    seen: list[tuple[int, int]] = []
    parsed = parse(vector.model.read_bytes(), vector.certificate.read_bytes())
    theorem = check(parsed, lambda done, declared: seen.append((done, declared)))
    assert seen[-1] == (theorem.ledger.total, parsed.operations)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 10


def test_every_refusal_in_the_code_has_two_vectors() -> None:
    reasons = dict.fromkeys(architecture.clauses_in_code(architecture.sources("checker")), 0)
    for vector in ALL.values():
        if vector.expect["verdict"] != "VERIFIED":
            reasons[vector.expect["clause"]] = reasons.get(vector.expect["clause"], 0) + 1
    assert {clause for clause, count in reasons.items() if count < 2} == set()


def test_every_vector_of_a_clause_has_its_own_bytes() -> None:
    pairs = [(v.model, v.certificate, v.arguments) for v in ALL.values()]
    contents = [
        (m.read_bytes() if m.is_file() else m, c.read_bytes() if c.is_file() else c, a)
        for m, c, a in pairs
    ]
    assert len(set(contents)) >= len(contents) - 4  # the same certificate opens three folders


def test_the_vectors_are_what_the_generator_writes() -> None:
    made, found = make_vectors.make(), dict(make_vectors.on_disk())
    assert (
        sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
        == []
    )
    assert sum(map(len, found.values())) < MOST_BYTES


def test_the_generator_takes_no_time_and_no_chance() -> None:
    tree = ast.parse(Path(make_vectors.__file__).read_text("utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert (
        not {
            "time.time",
            "random.random",
            "random.seed",
            "random.SystemRandom",
            "os.urandom",
            "hash",
            "id",
        }
        & calls
    )


def test_a_vector_is_refused_only_for_its_defect(tmp_path: Path) -> None:
    # The base certificate of most vectors is accepted: what is refused is the one difference.
    vector: Vector = ACCEPTED["SPEC-3.2/accept-canonical"]
    assert vector.certificate.read_bytes() == make_vectors.TEXT
    assert vector.model.read_bytes() == make_vectors.PAIR.bytes
