"""What surrounds the checker, piece by piece: hashes of sources, files, the clock, sentences,
requirements on exp, and refusals.  Each test names what would go unnoticed without it.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from fractions import Fraction
from hashlib import sha256
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import make_vectors
import pytest
from make_vectors import PAIR

from checker import __main__ as command
from checker.check import parse
from checker.ground.errors import Declined, Rejected
from checker.statement.outcome import Outcome

SECOND = 10**9


# --- the command ------------------------------------------------------------------


def test_the_command_is_main_on_the_command_line_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["certify-checker", "--version"])
    assert command.command() == 0
    assert capsys.readouterr().out.startswith("checker ")
    monkeypatch.setattr(sys, "argv", ["certify-checker", "/none", "/neither"])
    assert command.command() == 20
    assert capsys.readouterr().out.startswith("s DECLINED io: /none cannot be read: ")


# --- files and hashes -------------------------------------------------------------


def test_the_hash_of_sources_is_over_path_length_and_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"b.py": b"two\n", "a.py": b"1", "in/c.py": b"", "in/deep/d.py": b"xyz"}
    for name, content in {**files, "in/notes.txt": b"no", "a.pyc": b"no"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    listed = b"".join(
        f"{name} {len(content)}\n".encode() + content for name, content in sorted(files.items())
    )
    assert command.checker_sha256() == sha256(listed).hexdigest()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"abcdef")
    assert command.read(str(plain), 6) == b"abcdef"
    assert command.read(str(plain), 3) == b"abcd"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, why in [
        (pipe, f"{pipe} is not a regular file"),
        (Path("/dev/null"), "/dev/null is not a regular file"),
        (tmp_path / "none", f"{tmp_path / 'none'} cannot be read: No such file or directory"),
    ]:
        with pytest.raises(Declined) as refusal:
            command.read(str(path), 10)
        assert (refusal.value.rule, refusal.value.why) == ("io", why)
    with pytest.raises(Declined) as refusal:
        command.read("no\0path", 10)
    assert refusal.value.why.endswith(" cannot be read: not a path")


@pytest.mark.parametrize(
    ("option", "task", "file"),
    [
        ("table:t.json", "table:", "t.json"),
        ("group:own.json", "group:", "own.json"),
        ("group:cyclic:3@own.json", "group:cyclic:3@", "own.json"),
        ("group:cyclic:3", "group:cyclic:3", ""),
        ("group:klein:4", "group:", "klein:4"),
    ],
)
def test_a_task_names_a_file_or_none(option: str, task: str, file: str) -> None:
    match = command.HOLDS_FILE.fullmatch(option)
    assert match is not None
    assert (match["task"], match["file"]) == (task, file)


# --- the clock --------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
        self.now = 5 * SECOND
        self.shown = io.StringIO()
        self.shown.isatty = lambda: terminal  # type: ignore[method-assign]
        monkeypatch.setattr(command, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(sys, "stderr", self.shown)


def test_time_is_up_one_nanosecond_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, terminal=False)
    watch = command.Watch((7, 3))
    clock.now += 7 * SECOND // 3
    watch.look()
    watch(1, 2)
    clock.now += 1
    for ask in (watch.look, lambda: watch(1, 2)):
        with pytest.raises(Declined) as refusal:
            ask()
        assert refusal.value.rule == "SPEC-9.4"


def test_without_a_limit_time_is_never_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, terminal=False)
    watch = command.Watch(None)
    clock.now += 10**8 * SECOND
    watch.look()
    watch(1, 2)
    assert clock.shown.getvalue() == ""


def test_progress_is_shown_four_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, terminal=True)
    watch = command.Watch(None)
    for passed, lines in [(250_000_000, 0), (1, 1), (250_000_000, 1), (1, 2)]:
        clock.now += passed
        watch(1234, 5678)
        assert clock.shown.getvalue().count("checking: 1,234 of 5,678 operations") == lines


def test_seconds_are_rounded_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, terminal=False)
    watch = command.Watch(None)
    clock.now += 12 * SECOND + 99_999_999
    assert watch.seconds() == "12.09"


@pytest.mark.parametrize("limit", [None, (9, 1)])
def test_the_alarm_rings_every_second_where_there_is_a_limit(
    monkeypatch: pytest.MonkeyPatch, limit: tuple[int, int] | None
) -> None:
    clock = Clock(monkeypatch, terminal=False)
    told: list[Any] = []
    monkeypatch.setattr(signal, "setitimer", lambda *given: told.append(given))
    monkeypatch.setattr(signal, "signal", lambda number, act: told.append((number, act)))
    watch = command.Watch(limit)
    with watch:
        if limit is None:
            assert told == []
            return
        (number, act), timer = told
        assert (number, timer) == (signal.SIGALRM, (signal.ITIMER_REAL, 1, 1))
        act(number, None)
        clock.now += 10 * SECOND
        with pytest.raises(Declined):
            act(number, None)
    assert told[2:] == [(signal.ITIMER_REAL, 0)]


# --- what is told -----------------------------------------------------------------


def theorem(**changes: Any) -> Any:
    """Return the theorem of a small certificate with changes to its statement."""
    vector = make_vectors.VECTORS / "SPEC-3.2" / "accept-canonical.json"
    found = make_vectors.theorem_of(PAIR.bytes, vector.read_bytes())
    said = found.parsed.statement
    fields = {name: getattr(said, name) for name in said.__dataclass_fields__}
    statement = SimpleNamespace(**(fields | changes))
    parsed = SimpleNamespace(
        statement=statement, certificate_sha256=found.parsed.certificate_sha256
    )
    return SimpleNamespace(
        parsed=parsed,
        correct_lower=found.correct_lower,
        correct_upper=found.correct_upper,
        margin=found.margin,
        outcomes=found.outcomes,
        ledger=found.ledger,
    )


def test_the_sentence_tells_what_is_assumed_of_exp() -> None:
    errors = (Fraction(1, 8), Fraction(3, 16))
    said = command.sentence(theorem(semantics="float32:any-order", exp_errors=errors))
    assert said.endswith(
        ", in float32 arithmetic in any order of summation with a relative error of exp of at most"
        " 1/8 and an absolute error of exp of at most 3/16, a tie counting as wrong."
    )


def test_outcomes_are_told_as_they_are() -> None:
    assert command.row(Outcome(1, 2, 3, None)) == ["1", "2", "3", None]
    assert command.row(Outcome(0, 0, 3, 7)) == ["0", "0", "3", 7]


@pytest.mark.parametrize(("bits", "told"), [((1 << 27) - 67, True), ((1 << 27) - 66, False)])
def test_outcomes_that_are_too_large_are_not_told(
    bits: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An outcome takes 64 bits, the total three, a margin of none no bit, one of so many bits these.
    margin = SimpleNamespace(bit_length=lambda: bits)
    found = theorem(total=4)
    found.outcomes = (SimpleNamespace(lower=0, upper=0, size=4, margin=margin),)
    monkeypatch.setattr(command, "row", lambda outcome: ["0", "0", "4", 1])
    monkeypatch.setattr(command, "facts", lambda theorem: {})
    if told:
        assert json.loads(command.as_json(found, "0.00"))["cells"] == [["0", "0", "4", 1]]
        return
    with pytest.raises(Declined) as refusal:
        command.as_json(found, "0.00")
    assert refusal.value.rule == "SPEC-3.5"


# --- requirements on exp ----------------------------------------------------------

EPS, ETA = Fraction(1, 1 << 22), Fraction(1, 1 << 126)
LESS = 1 - Fraction(1, 1 << 200)


def options(**given: Any) -> Any:
    """Return options that ask for nothing but what is given."""
    nothing = dict.fromkeys(("at_least", "eps_exp", "eta_exp"))
    return SimpleNamespace(**(nothing | given))


@pytest.mark.parametrize(
    ("errors", "given", "fails"),
    [
        ((EPS, ETA), {"at_least": (0, 1)}, ""),
        ((EPS * LESS, ETA), {"at_least": (0, 1)}, "eps_exp"),
        ((EPS, ETA * LESS), {"at_least": (0, 1)}, "eta_exp"),
        ((EPS * LESS, ETA * LESS), {}, ""),
        ((EPS * LESS, ETA * LESS), {"at_least": (0, 1), "eps_exp": (0, 1), "eta_exp": (0, 1)}, ""),
        ((EPS, ETA), {"eps_exp": (1, 1 << 22)}, ""),
        ((EPS, ETA), {"eps_exp": (1, (1 << 22) - 1)}, "eps_exp"),
        ((EPS, ETA), {"eta_exp": (1, 1 << 126)}, ""),
        ((EPS, ETA), {"eta_exp": (1, (1 << 126) - 1)}, "eta_exp"),
    ],
)
def test_errors_of_exp_are_not_smaller_than_required(
    errors: tuple[Fraction, Fraction], given: dict[str, Any], fails: str
) -> None:
    said: Any = SimpleNamespace(exp_errors=errors)
    if not fails:
        command.demand_exp(options(**given), said)
        return
    with pytest.raises(Rejected) as refusal:
        command.demand_exp(options(**given), said)
    assert refusal.value.rule == "SPEC-9.3"
    assert refusal.value.why.startswith(fails)


@pytest.mark.parametrize("given", [{"eps_exp": (0, 1)}, {"eta_exp": (0, 1)}])
def test_real_arithmetic_has_no_error_of_exp(given: dict[str, Any]) -> None:
    said: Any = SimpleNamespace(exp_errors=None)
    command.demand_exp(options(), said)
    with pytest.raises(Rejected):
        command.demand_exp(options(**given), said)


# --- what is shown of a proof of sums ---------------------------------------------


@pytest.mark.parametrize(
    ("clause", "told"),
    [
        ("SPEC-13.3", "sums: 0 matrices, switches: False, open inputs settled: True"),
        ("SPEC-13.5", "sums: 2 matrices, switches: False, open inputs settled: "),
        ("SPEC-13.6", "sums: 2 matrices, switches: True, open inputs settled: "),
    ],
)
def test_a_proof_of_sums_is_shown(clause: str, told: str) -> None:
    certificate = (make_vectors.VECTORS / clause / "accept-adds.json").read_bytes()
    model = (make_vectors.VECTORS / "SPEC-13.3" / "accept-adds.safetensors").read_bytes()
    (line,) = parse(model, certificate).proof.lines()
    assert line.startswith(told)
