"""What surrounds the checker, piece by piece: hashes of sources, files, the clock, sentences,
requirements on exp, and refusals.  Each test names what would go unnoticed without it.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import struct
import sys
from fractions import Fraction
from hashlib import sha256
from importlib import resources
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import conformance
import make_vectors
import pytest
from make_vectors import PAIR

from checker import __main__ as command
from checker import __version__
from checker.check import parse
from checker.ground.errors import Declined, Rejected
from checker.statement.outcome import Outcome
from checker.statement.statement import FLOAT32

SECOND = 10**9


# --- the command ------------------------------------------------------------------


def test_the_command_is_main_on_the_command_line_of_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["certify-checker", "--version"])
    assert command.command() == 0
    assert capsys.readouterr().out == f"checker {__version__} sha256:{command.checker_sha256()}\n"
    monkeypatch.setattr(sys, "argv", ["certify-checker", "/none", "/neither"])
    assert command.command() == 20
    assert capsys.readouterr().out.startswith("s DECLINED io: /none cannot be read: ")


def test_one_process_works_unless_more_are_asked_for() -> None:
    assert command.arguments(["model", "certificate"]).jobs == 1
    assert command.arguments(["model", "certificate", "--jobs", "2"]).jobs == 2


class Full(io.StringIO):
    """A stream that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("out", "err", "code"),
    [
        (io.StringIO, io.StringIO, 10),
        (io.StringIO, Full, 10),
        (Full, io.StringIO, 20),
        (Full, Full, 1),
    ],
)
def test_a_verdict_that_nobody_sees_is_none(
    out: type[io.StringIO],
    err: type[io.StringIO],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What took nothing is closed, or the interpreter would try again at exit."""
    streams = out(), err()
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    assert command.say("s REJECTED\n", 10) == code
    assert streams[0].closed == (out is Full)
    assert streams[1].closed == (out is Full and err is Full)
    if code == 20:
        said = streams[1].getvalue()
        assert said == "standard output cannot be written: no verdict\n"


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


def test_a_file_is_only_read_where_nothing_can_be_opened_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_bytes(b"abcdef")
    monkeypatch.delattr(os, "O_NONBLOCK")
    assert command.read(str(tmp_path / "plain"), 6) == b"abcdef"
    with pytest.raises(Declined):
        command.read(str(tmp_path / "none"), 6)
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


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


@pytest.mark.parametrize(
    ("lower", "upper", "told"),
    [(1, 3, "at least 1 and at most 3"), (0, 4, "at least 0 and at most 4"), (2, 2, "exactly 2")],
)
@pytest.mark.parametrize("unusual", [False, True])
def test_the_sentence_tells_both_bounds(lower: int, upper: int, told: str, unusual: bool) -> None:
    """A part of the domain that is not usual stands between commas."""
    domain = SimpleNamespace(unusual={"outputs": "0-1"} if unusual else {})
    found = theorem(domain=domain)
    found.correct_lower, found.correct_upper = lower, upper
    between = ", with outputs 0-1," if unusual else ""
    assert command.sentence(found) == (
        "This exact model file names the largest of 2 tokens (vocabulary 2) correctly"
        f"{between} on {told} of all 4 inputs, in real arithmetic, a tie counting as wrong."
    )


def test_outcomes_are_told_as_they_are() -> None:
    assert command.row(Outcome(1, 2, 3, None)) == ["1", "2", "3", None]
    assert command.row(Outcome(0, 0, 3, 7)) == ["0", "0", "3", 7]


@pytest.mark.parametrize("nothing_right", [0, 1, 5])
@pytest.mark.parametrize("told", [True, False])
def test_outcomes_that_are_too_large_are_not_told(
    nothing_right: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A leaf takes 64 bits and the three of the total, a margin of none no bit, this one so many.
    bits = (1 << 27) - 67 * (nothing_right + 1) + (not told)
    margin = SimpleNamespace(bit_length=lambda: bits)
    found = theorem(total=4)
    found.outcomes = (
        *[Outcome(4, 4, 4, None)] * nothing_right,
        SimpleNamespace(lower=0, upper=0, size=4, margin=margin),
    )
    monkeypatch.setattr(command, "row", lambda outcome: ["0", "0", "4", 1])
    monkeypatch.setattr(command, "facts", lambda theorem: {})
    if told:
        cells = json.loads(command.as_json(found, "0.00"))["cells"]
        assert cells == [["0", "0", "4", 1]] * (nothing_right + 1)
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


@pytest.mark.parametrize("given", [{"eps_exp": (1, 1 << 22)}, {"eta_exp": (1, 1 << 126)}])
@pytest.mark.parametrize("bounded", [False, True])
def test_a_number_of_exp_asks_for_float32(given: dict[str, Any], bounded: bool) -> None:
    """Either of the two, with --at-least too, which otherwise asks for real arithmetic."""
    found = theorem(semantics=FLOAT32, exp_errors=(EPS, ETA))
    names = ("task", "readout", "scope", "semantics", "at_least", "eps_exp", "eta_exp")
    nothing = dict.fromkeys((*names, *command.PARTS))
    asked: Any = SimpleNamespace(**(nothing | given | ({"at_least": (3, 4)} if bounded else {})))
    command.demand(asked, found)
    with pytest.raises(Rejected) as refusal:
        command.demand(asked, theorem())
    assert refusal.value.rule == "SPEC-9.3"
    assert refusal.value.why.startswith("the semantics is real")


# --- what is shown and named ----------------------------------------------------


SHOWN = (
    "SPEC-3.2/accept-canonical",
    "SPEC-12.5/accept-noisy-count",
    "SPEC-16.12/accept-several-heads",
)


def shown(name: str) -> tuple[bytes, dict[str, Any], list[str]]:
    """Return the model of a vector, its statement, and the lines that are shown of both."""
    (vector,) = (vector for vector in conformance.vectors() if vector.name == name)
    model, certificate = vector.model.read_bytes(), vector.certificate.read_bytes()
    statement = json.loads(certificate)["statement"]
    return model, statement, command.show(parse(model, certificate)).split("\n")


@pytest.mark.parametrize("name", SHOWN)
def test_the_shape_and_the_first_number_of_every_tensor_are_shown(name: str) -> None:
    """Heads stand below one another; a row stands for a list of numbers; what is absent is 0."""
    data, _, lines = shown(name)
    line = re.compile(r"  (\S+): (\d+) x (\d+) integers over 2\^(\d+), the first (-?\d+)")
    found = dict[str, tuple[int, int, Fraction]]()
    for match in filter(None, map(line.fullmatch, lines)):
        height, width, scale, first = map(int, match.groups()[1:])
        found[match[1]] = height, width, Fraction(first, 1 << scale)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    del header["__metadata__"]
    for tensor, entry in header.items():
        *above, width = entry["shape"]
        assert entry["dtype"] == "F32"
        (first,) = struct.unpack_from("<f", data, 8 + size + entry["data_offsets"][0])
        assert found.pop(tensor) == (prod(above), width, Fraction(first))
    assert all(first == 0 for _, _, first in found.values())


@pytest.mark.parametrize("name", SHOWN)
def test_the_errors_of_exp_that_are_assumed_are_shown(name: str) -> None:
    _, statement, lines = shown(name)
    assumed = [f"  {key} {statement[key]}" for key in ("eps_exp", "eta_exp") if key in statement]
    assert [line for line in lines if "_exp" in line] == assumed
    assert bool(assumed) == (statement["semantics"] != "real")


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("SPEC-3.2/accept-canonical", {}),
        ("SPEC-16.12/accept-several-heads", {"heads": "2"}),
        ("SPEC-16.13/accept-mlp-1", {"d_mlp": "4"}),
        ("SPEC-16.14/accept-ln", {"normalization": "LN"}),
        ("SPEC-14.1/accept-relu-lnpre", {"heads": "2", "d_mlp": "4", "normalization": "LNPre"}),
        ("SPEC-13.7/accept-coarse-exp", {}),  # another task
    ],
)
def test_the_verdict_names_what_is_beyond_one_head(name: str, wide: dict[str, str]) -> None:
    (vector,) = (vector for vector in conformance.vectors() if vector.name == name)
    parsed = parse(vector.model.read_bytes(), vector.certificate.read_bytes())
    assert list(command.width_of(parsed).items()) == list(wide.items())


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
