"""The checker conforms through its command line, and the suite fails whoever does not."""

from __future__ import annotations

import sys
from pathlib import Path

import conformance
import pytest
from conformance import Outcome, Vector

CHECKER = (sys.executable, "-S", "-m", "checker")
ALL = conformance.vectors()
FOLDERS = sorted({vector.name.partition("/")[0] for vector in ALL})


def of(folder: str) -> list[Vector]:
    return [vector for vector in ALL if vector.name.startswith(folder + "/")]


def one_of_each() -> list[Vector]:
    """Return the first vector of every verdict of every folder."""
    first: dict[tuple[str, str], Vector] = {}
    for vector in ALL:
        first.setdefault((vector.name.partition("/")[0], vector.expect["verdict"]), vector)
    return list(first.values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_checker_conforms(folder: str) -> None:
    assert conformance.failures(CHECKER, of(folder)) == {}


# --- whoever does not conform fails -----------------------------------------------

ACCEPTS = (
    "s VERIFIED task=max-of-k k=2 vocab=2 scope=uniform semantics=real total=4 "
    "correct_lower=3 correct_upper=3 "
    f"margin_lower=0.0000000000 model=sha256:{'0' * 64} certificate=sha256:{'0' * 64}"
)
OPERATIONS = "c operations mul=1 add=1 cmp=1 exp=1 seconds=0.01"
CANARIES = {
    "always accepts": f"print('Yes.'); print({OPERATIONS!r}); print({ACCEPTS!r})",
    "always rejects": "import sys; print('s REJECTED SPEC-3.2: no'); sys.exit(10)",
    "always declines": "import sys; print('s DECLINED SPEC-3.5: no'); sys.exit(20)",
    "always crashes": "raise SystemError",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "says nothing": "pass",
    "says nothing and exits with 10": "import sys; sys.exit(10)",
}
RIGHT = "import sys; from checker.__main__ import main; code = main(sys.argv[1:]); "
SPOILED = {
    "exits with 0 whatever it says": RIGHT + "sys.exit(0)",
    "exits with 1 whatever it says": RIGHT + "sys.exit(1)",
    "exits with the other code": RIGHT + "sys.exit({0: 10, 10: 0, 20: 0}[code])",
    "declines by exit code what it rejects": RIGHT + "sys.exit({0: 0, 10: 20, 20: 10}[code])",
    "says it twice": RIGHT + "main(sys.argv[1:]); sys.exit(code)",
    "speaks after the verdict": RIGHT + "print('done'); sys.exit(code)",
    "accepts before it rejects": f"print({ACCEPTS!r}); " + RIGHT + "sys.exit(code)",
    "warns on standard error": RIGHT + "print('!', file=sys.stderr); sys.exit(code)",
}
QUICK = ("exits with the other code", "warns on standard error")
"""Those of ``SPOILED`` that are tried by default: all vectors are run for each of them."""
EVERY = one_of_each()


def failing(code: str) -> set[str]:
    return set(conformance.failures((sys.executable, "-S", "-c", code), EVERY))


@pytest.mark.parametrize("canary", CANARIES)
def test_who_does_not_look_fails(canary: str) -> None:
    found = failing(CANARIES[canary])
    word = {
        "always accepts": "VERIFIED",
        "always rejects": "REJECTED",
        "always declines": "DECLINED",
    }.get(canary)
    assert {vector.name for vector in EVERY if vector.expect["verdict"] != word} <= found
    assert {
        vector.name for vector in EVERY if vector.expect["verdict"] == "VERIFIED"
    } <= found  # the hashes are others


@pytest.mark.parametrize(
    "spoiled",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in SPOILED],
)
def test_who_knows_but_misspeaks_fails(spoiled: str) -> None:
    found = failing(SPOILED[spoiled])
    right = (
        {"VERIFIED"}
        if spoiled in ("exits with 0 whatever it says", "declines by exit code what it rejects")
        else set()
    )
    assert found == {vector.name for vector in EVERY if vector.expect["verdict"] not in right}


def test_the_canaries_see_every_verdict() -> None:
    assert {vector.expect["verdict"] for vector in EVERY} == set(conformance.CODES)
    assert (
        failing("import sys; from checker.__main__ import main; sys.exit(main(sys.argv[1:]))")
        == set()
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("SPEC-7.6", "SPEC-7.9"), "SPEC-7.9, not REJECTED SPEC-7.6"),
        (("s REJECTED", "s  REJECTED"), "form of a refusal"),
        (("s REJECTED", "S REJECTED"), "0 verdict lines"),
        (("\n", ""), "whole line"),
        (("\n", "\n\n"), "0 verdict lines|last line"),
        (("s REJECTED", "x\ns REJECTED"), "form of a refusal"),
        ((": ", ":"), "form of a refusal"),
    ],
)
def test_a_refusal_has_one_form(change: tuple[str, str], problem: str) -> None:
    vector = Vector("v", Path("m"), Path("c"), (), {"verdict": "REJECTED", "clause": "SPEC-7.6"})
    line = "s REJECTED SPEC-7.6: cell 0: answer 1 is not beaten\n"
    assert conformance.problems(vector, Outcome(10, line, "")) == []
    (found,) = conformance.problems(vector, Outcome(10, line.replace(*change), ""))
    assert any(part in found for part in problem.split("|"))


@pytest.mark.parametrize(
    "field",
    [
        "total",
        "correct_lower",
        "correct_upper",
        "margin_lower",
        "model",
        "certificate",
        "k",
        "vocab",
    ],
)
def test_every_number_of_a_verdict_counts(field: str) -> None:
    (vector,) = [v for v in ALL if v.name == "SPEC-3.2/accept-canonical"]
    right = conformance.ran(CHECKER, vector)
    assert conformance.problems(vector, right) == []
    value = dict(f.partition("=")[::2] for f in right.stdout.split("\n")[-2].split(" ")[2:])[field]
    other = value[:-1] + ("1" if value[-1] != "1" else "2")
    changed = Outcome(
        right.code, right.stdout.replace(f" {field}={value}", f" {field}={other}"), right.stderr
    )
    assert conformance.problems(vector, changed) != []


def test_the_command_line_of_the_suite(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "vectors", lambda: EVERY[:3])
    assert conformance.main([*CHECKER]) == 0
    assert capsys.readouterr().out == "3 vectors, 0 wrong\n"
    assert conformance.main([sys.executable, "-S", "-c", "pass"]) == 1
    assert capsys.readouterr().out.endswith("3 vectors, 3 wrong\n")
    assert conformance.main([]) == 2
