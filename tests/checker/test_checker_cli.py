"""The checker's command line: what it prints, what it demands, and with which code it exits.
(SPEC-9)
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# ruff: noqa: E501 (a row of a table is one line)
import conformance
import make_vectors
import models
import processor
import pytest

from checker import __main__ as command
from checker import __version__
from checker.check import check, parse
from checker.ground.errors import Declined, Rejected
from checker.statement.model import READOUTS

Output = pytest.CaptureFixture[str]
VECTORS = conformance.VECTORS
MODEL = str(VECTORS / "models" / "pair.safetensors")
CERTIFICATE = str(VECTORS / "SPEC-3.2" / "accept-canonical.json")
VECTOR = {vector.name: vector for vector in conformance.vectors()}
WRITTEN = {vector.name: str(vector.certificate) for vector in conformance.vectors()}
PRODUCT = WRITTEN["SPEC-5.3/accept-product"]
FIELDS = [
    "task",
    "k",
    "vocab",
    "scope",
    "semantics",
    "total",
    "correct_lower",
    "correct_upper",
    "margin_lower",
    "model",
    "certificate",
]


def run(capsys: Output, *arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines; nothing may go to standard error."""
    code = command.main([*arguments])
    found = capsys.readouterr()
    assert found.err == ""
    return code, found.out.removesuffix("\n").split("\n")


def usage(capsys: Output, *arguments: str) -> str:
    """Return what a usage error says; it prints no verdict."""
    with pytest.raises(SystemExit) as exit_:
        command.main([*arguments])
    found = capsys.readouterr()
    assert exit_.value.code == 2
    assert found.out == ""
    return found.err


def process(*arguments: str, cwd: Path = conformance.ROOT) -> conformance.Outcome:
    done = processor.run(
        [sys.executable, "-S", "-m", "checker", *arguments],
        60,
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    return conformance.Outcome(done.returncode, done.stdout, done.stderr)


# --- the verdict ------------------------------------------------------------------


def test_three_lines_and_no_more() -> None:
    found = process(MODEL, CERTIFICATE)
    assert (found.code, found.stderr) == (0, "")
    sentence, operations, verdict = found.stdout.removesuffix("\n").split("\n")
    assert sentence == (
        "This exact model file names the largest of 2 tokens (vocabulary 2) correctly on exactly 3 of all 4 inputs, "
        "in real arithmetic, a tie counting as wrong."
    )
    assert conformance.OPERATIONS.fullmatch(operations)
    assert conformance.VERIFIED.fullmatch(verdict)
    assert [field.partition("=")[0] for field in verdict.split(" ")[2:]] == FIELDS
    hashes = [sha256(Path(name).read_bytes()).hexdigest() for name in (MODEL, CERTIFICATE)]
    assert verdict.endswith(
        f" margin_lower=1.0000000000 model=sha256:{hashes[0]} certificate=sha256:{hashes[1]}"
    )


def test_the_sentence_tells_bounds_and_weights(capsys: Output) -> None:
    loose = str(VECTORS / "SPEC-7.11" / "accept-skip.json")
    assert (
        "correctly on at least 1 and at most 3 of all 4 inputs," in run(capsys, MODEL, loose)[1][0]
    )
    assert (
        "correctly on exactly 45 of all 60 units of input weight,"
        in run(capsys, MODEL, PRODUCT)[1][0]
    )


def test_the_margin_is_rounded_down(capsys: Output) -> None:
    vectors = {v.name: v for v in conformance.vectors()}
    seen = 0
    for name in (
        "SPEC-7.6/accept-extreme-everywhere",
        "SPEC-7.6/accept-extreme",
        "SPEC-7.4/accept-mu-one-logit",
    ):
        vector = vectors[name]
        theorem = check(
            parse(vector.model.read_bytes(), vector.certificate.read_bytes()),
            lambda done, declared: None,
        )
        decimals = theorem.margin * 10**10 // 2**20
        code, lines = run(capsys, str(vector.model), str(vector.certificate))
        assert f" margin_lower={decimals // 10**10}.{decimals % 10**10:010d} " in lines[-1]
        assert code == 0
        seen += theorem.margin > 0
    assert seen >= 1


def test_operations_are_those_of_the_ledger(capsys: Output) -> None:
    _, lines = run(capsys, MODEL, CERTIFICATE)
    counts = [int(n) for n in re.findall(r"(?:mul|add|cmp|exp)=([0-9]+)", lines[1])]
    assert (
        counts
        == json.loads((VECTORS / "SPEC-3.2" / "expect.json").read_text())["accept-canonical"][
            "operations"
        ]
    )


def test_progress_is_only_for_a_terminal() -> None:
    assert process(MODEL, CERTIFICATE, "--time-limit", "60").stderr == ""


@pytest.mark.parametrize("limit", [None, (1, 1)])
def test_progress_is_shown_on_a_terminal(
    limit: tuple[int, int] | None, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [10**12]
    monkeypatch.setattr(command, "monotonic_ns", lambda: clock[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    watch = command.Watch(limit)
    for done in range(7):
        watch(done * 1000, 10**6)
        clock[0] += 10**8
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\r") == 2 * found.err.count("checking: ") == 4
    assert "checking: 3,000 of 1,000,000 operations" in found.err
    assert "checking: 6,000 of 1,000,000 operations" in found.err
    assert watch.seconds() == "0.70"


def test_whether_there_is_a_terminal_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def isatty() -> bool:
        asked.append("once")
        return False

    now = iter(range(10**12, 10**13, 10**9))
    monkeypatch.setattr(command, "monotonic_ns", lambda: next(now))
    monkeypatch.setattr(sys.stderr, "isatty", isatty, raising=False)
    watch = command.Watch(None)
    for done in range(6):
        watch(done, 6)
    assert asked == ["once"]
    # The clock was read at every charge, and at the start.
    assert next(now) == 10**12 + 7 * 10**9


@pytest.mark.parametrize("terminal", [False, True])
def test_the_time_limit_is_in_seconds(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0]
    monkeypatch.setattr(command, "monotonic_ns", lambda: clock[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    watch = command.Watch((3, 2))
    clock[0] = 1_500_000_000
    watch(0, 1)
    clock[0] += 1
    with pytest.raises(Declined) as refusal:
        watch(0, 1)
    assert refusal.value.rule == "SPEC-9.4"


# --- options ----------------------------------------------------------------------


UNWRITTEN = "standard output cannot be written: no verdict\n"
SAYING = {
    "a verdict": [MODEL, CERTIFICATE],
    "a refusal": [MODEL, WRITTEN["SPEC-5.6/reject-all-correct"]],
    "an object": [MODEL, CERTIFICATE, "--json"],
    "what was parsed": [MODEL, CERTIFICATE, "--show"],
    "the version": ["--version"],
    "the help": ["--help"],
}


@pytest.mark.parametrize("said", SAYING)
@pytest.mark.parametrize("to", [">&-", ">/dev/full"])
def test_what_cannot_be_printed_is_no_verdict(said: str, to: str) -> None:
    line = [sys.executable, "-S", "-m", "checker", *SAYING[said]]
    ended = processor.run(
        ["sh", "-c", f'"$@" {to}', "sh", *line],
        60,
        cwd=conformance.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    # Without standard output argparse tells version and help on standard error: then comes our line.
    told = said in ("the version", "the help") and to == ">&-"
    assert ended.returncode == 20
    assert (ended.stderr[-len(UNWRITTEN) :] if told else ended.stderr) == UNWRITTEN


@pytest.mark.parametrize(
    ("to", "code"), [(">&- 2>&-", 1), (">/dev/full 2>/dev/full", 1), ("2>&-", 0)]
)
def test_without_standard_error(to: str, code: int) -> None:
    line = [sys.executable, "-S", "-m", "checker", MODEL, CERTIFICATE]
    ended = processor.run(["sh", "-c", f'"$@" {to}', "sh", *line], 60, cwd=conformance.ROOT)
    assert ended.returncode == code


def test_progress_needs_no_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**12, 10**13, 10**9))
    monkeypatch.setattr(command, "monotonic_ns", lambda: next(now))
    monkeypatch.setattr(sys, "stderr", None)
    watch = command.Watch(None)
    watch(0, 1)
    assert watch.seconds() == "2.00"


def test_a_reader_that_went_away_has_no_verdict() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    line = [sys.executable, "-S", "-m", "checker", MODEL, CERTIFICATE]
    ended = processor.run(
        line, 60, cwd=conformance.ROOT, stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (20, UNWRITTEN)


def test_a_usage_error_needs_no_standard_output() -> None:
    line = [sys.executable, "-S", "-m", "checker"]
    ended = processor.run(
        ["sh", "-c", '"$@" >&-', "sh", *line],
        60,
        cwd=conformance.ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")


STOPPED = """
import sys
from checker import __main__ as command
genuine = command.check
def check(parsed, watch, jobs):
    def ready(done, declared):
        print("ready", file=sys.stderr, flush=True)
        while True:
            watch(done, declared)
    return genuine(parsed, ready)
command.check = check
sys.exit(command.main(sys.argv[1:]))
"""


def heard() -> None:
    """Hear an interrupt even where the tests run in the background, which is deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "s DECLINED SPEC-9.4: interrupted\n"),
        (
            ["--json"],
            '{"verdict": "DECLINED", "rule": "SPEC-9.4", "why": "interrupted"}\n',
        ),
    ],
)
def test_an_interrupt_is_a_verdict(options: list[str], said: str) -> None:
    line = [sys.executable, "-S", "-c", STOPPED, MODEL, CERTIFICATE, *options]
    pipe = subprocess.PIPE
    options_of_run: dict[str, Any] = {"cwd": conformance.ROOT, "stdout": pipe, "stderr": pipe}
    with subprocess.Popen(line, text=True, preexec_fn=heard, **options_of_run) as work:  # noqa: PLW1509
        assert work.stderr is not None
        assert work.stderr.readline() == "ready\n"
        work.send_signal(signal.SIGINT)
        found = work.communicate(timeout=processor.BACKSTOP)
    assert (work.returncode, found) == (20, (said, ""))


# --- what the verdict names -------------------------------------------------------


def verdict_of(capsys: Output, name: str, *options: str) -> dict[str, str]:
    """Return the fields of the verdict on a vector."""
    vector = VECTOR[name]
    code, lines = run(capsys, str(vector.model), str(vector.certificate), *options)
    assert code == 0
    return dict(field.split("=", 1) for field in lines[-1].split(" ")[2:])


def test_the_verdict_names_an_unusual_readout(capsys: Output) -> None:
    name, readout = "SPEC-9.3/accept-readout-sum-pool-mlp", "sum-pool-mlp"
    said = verdict_of(capsys, name)
    assert said["readout"] == readout
    assert list(said)[3:5] == ["readout", "scope"]
    vector = VECTOR[name]
    found = json.loads(run(capsys, str(vector.model), str(vector.certificate), "--json")[1][0])
    assert found["readout"] == readout
    for asked in READOUTS:
        line = [str(vector.model), str(vector.certificate), "--readout", asked]
        assert run(capsys, *line)[0] == (0 if asked == readout else 10)


def test_the_verdict_names_the_parts_of_a_domain_that_are_not_usual(capsys: Output) -> None:
    parts = {
        "domain": "0-2/1-3/@3",
        "values": "1/0,-2,5",
        "outputs": "0-2",
        "answers": "0,2,1",
        "read": "1,2",
    }
    said = verdict_of(capsys, "SPEC-9.3/accept-every-part")
    assert list(said)[:9] == ["task", "modulus", *parts, "scope", "semantics"]
    assert {part: said[part] for part in parts} == parts
    vector = VECTOR["SPEC-9.3/accept-every-part"]
    files = (str(vector.model), str(vector.certificate))
    found = json.loads(run(capsys, *files, "--json")[1][0])
    assert {part: found[part] for part in parts} == parts
    assert run(capsys, *files)[1][0] == (
        "This exact model file adds two numbers modulo 3 correctly, for all a in 0-2, b in 1-3 in the context a b 3, "
        "at the positions 1, 2 for the operands up to them, with values 1/0,-2,5, outputs 0-2, answers 0,2,1, "
        f"on exactly {said['correct_lower']} of all 9 inputs, in real arithmetic, a tie counting as wrong."
    )
    shown = run(capsys, *files, "--show")[1]
    assert [line for line in shown if line.split()[0] in parts] == [
        f"  {part} {text}" for part, text in parts.items()
    ]


def test_a_long_part_is_named_by_its_hash(capsys: Output) -> None:
    said = verdict_of(capsys, "SPEC-5.7/accept-long")
    assert re.fullmatch("sha256:[0-9a-f]{64}", said["values"])
    asked = ("--values", said["values"], "--at-least", "0")
    assert verdict_of(capsys, "SPEC-5.7/accept-long", *asked) == said
    vector = VECTOR["SPEC-5.7/accept-long"]
    written = json.loads(vector.certificate.read_bytes())["statement"]["domain"]
    text = ",".join(map(str, written["positions"][0]["values"]))
    assert f"sha256:{sha256(text.encode()).hexdigest()}" == said["values"]
    line = [str(vector.model), str(vector.certificate), "--values", text]
    assert run(capsys, *line)[0] == 10  # the text that is printed is the one to ask for


def test_the_usual_readout_is_not_named_and_may_be_required(capsys: Output) -> None:
    assert "readout" not in verdict_of(capsys, "SPEC-3.2/accept-canonical", "--readout", "last")
    code, lines = run(capsys, MODEL, CERTIFICATE, "--readout", "sum-pool-mlp")
    assert (code, lines[-1].partition(":")[0]) == (10, "s REJECTED SPEC-9.3")


def test_a_tie_in_the_question_is_named(capsys: Output) -> None:
    said = verdict_of(capsys, "SPEC-5.2/accept-task-argmax")
    assert said["largest"] == "first"
    assert list(said)[:5] == ["task", "n", "vocab", "largest", "scope"]
    vector = VECTOR["SPEC-5.2/accept-task-argmax"]
    sentence = run(capsys, str(vector.model), str(vector.certificate))[1][0]
    assert " names the place of the first largest of " in sentence


def test_a_proof_that_shows_nothing_is_no_theorem(capsys: Output) -> None:
    certificate = WRITTEN["SPEC-9.5/reject-cells"]
    for options in ([], ["--at-least", "0"], ["--json"]):
        code, (line,) = run(capsys, MODEL, certificate, *options)
        assert code == 10
        assert "SPEC-9.5" in line
        assert "shows nothing" in line
    assert run(capsys, MODEL, certificate, "--show")[0] == 0


def test_json_is_one_object_with_every_leaf(capsys: Output) -> None:
    code, lines = run(capsys, MODEL, CERTIFICATE, "--json")
    (line,) = lines
    found = json.loads(line)
    assert code == 0
    assert list(found) == [
        "verdict",
        *FIELDS,
        "margin_lower_exact",
        "cells",
        "operations",
        "seconds",
    ]
    assert all(isinstance(found[field], str) for field in FIELDS)
    assert found["verdict"] == "VERIFIED"
    assert (found["correct_lower"], found["correct_upper"], found["total"]) == ("3", "3", "4")
    assert found["cells"] == [
        ["0", "0", "1", 3 << 20],
        ["1", "1", "1", None],
        ["0", "0", "2", 1 << 20],
    ]
    parts = ("mul", "add", "cmp", "exp")
    assert found["operations"]["total"] == sum(found["operations"][part] for part in parts)
    assert found["margin_lower_exact"] == [str(1 << 20), "-20"]


def test_json_tells_lower_from_upper(capsys: Output) -> None:
    apart = 0
    for vector in conformance.vectors():
        if (
            vector.expect["verdict"] != "VERIFIED"
            or vector.arguments
            or "SPEC-7." not in vector.name
        ):
            continue
        theorem = check(
            parse(vector.model.read_bytes(), vector.certificate.read_bytes()),
            lambda done, declared: None,
        )
        found = json.loads(run(capsys, str(vector.model), str(vector.certificate), "--json")[1][0])
        assert found["cells"] == [
            [str(o.lower), str(o.upper), str(o.size), o.margin] for o in theorem.outcomes
        ]
        apart += any(o.lower < o.upper < o.size for o in theorem.outcomes)
    assert apart > 0


def test_json_gives_the_exact_margin(capsys: Output) -> None:
    sharp = str(VECTORS / "models" / "sharp.safetensors")
    found = json.loads(
        run(capsys, sharp, str(VECTORS / "SPEC-7.6" / "accept-extreme-everywhere.json"), "--json")[
            1
        ][0]
    )
    mantissa, exponent = map(int, found["margin_lower_exact"])
    assert exponent == -20
    assert mantissa == min(cell[3] for cell in found["cells"]) > 0


def test_json_of_a_refusal(capsys: Output) -> None:
    code, (line,) = run(capsys, MODEL, WRITTEN["SPEC-5.6/reject-all-correct"], "--json")
    found = json.loads(line)
    assert (code, found["verdict"], found["rule"], set(found)) == (
        10,
        "REJECTED",
        "SPEC-5.6",
        {"verdict", "rule", "why"},
    )
    code, (line,) = run(
        capsys, MODEL, str(VECTORS / "SPEC-3.5" / "reject-precision-63.json"), "--json"
    )
    assert (code, json.loads(line)["verdict"]) == (20, "DECLINED")


def test_show_prints_no_verdict(capsys: Output) -> None:
    code, lines = run(capsys, MODEL, CERTIFICATE, "--show")
    assert code == 0
    assert not any(line.startswith(("s ", "c ")) or "VERIFIED" in line for line in lines)
    assert lines[0].startswith("parsed, not checked: model sha256:")
    assert any("claims 3 <= correct <= 3 of 4" in line for line in lines)
    assert "statement: task max-of-k, scope uniform, semantics real" in lines
    (proof,) = [line for line in lines if line.startswith("proof: precision 64 bits, ")]
    assert proof.endswith(" operations declared")
    assert "paths enclosed: [], roots:" in lines
    assert any("cell 1: maximum 1, queries [(0, 0)], BruteForce, " in line for line in lines)
    assert sum(" integers over 2^" in line for line in lines) == 12


def test_show_of_what_does_not_parse_is_refused(capsys: Output) -> None:
    code, lines = run(capsys, MODEL, str(VECTORS / "SPEC-7.1" / "reject-no-cells.json"), "--show")
    assert (code, len(lines)) == (10, 1)


def test_version_is_stable_and_needs_no_files(capsys: Output) -> None:
    said = []
    for arguments in (["--version"], ["--version", "absent"], ["absent", "absent", "--version"]):
        assert command.main(arguments) == 0
        said.append(capsys.readouterr().out)
    digest = sha256()
    folder = conformance.ROOT / "checker"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    for name in names:
        data = (folder / name).read_bytes()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    if Path(command.__file__).parent == conformance.ROOT / "checker":
        assert set(said) == {f"checker {__version__} sha256:{digest.hexdigest()}\n"}
    assert len(set(said)) == 1
    assert re.fullmatch(r"checker [0-9]+\.[0-9]+\.[0-9]+ sha256:[0-9a-f]{64}\n", said[0])


@pytest.mark.parametrize(("bound", "code"), [
    ("3/4", 0), ("75/100", 0), ("0/1", 0), ("0", 0), ("7499999999/10000000000", 0),
    ("7500000001/10000000000", 10), ("4/5", 10), ("1", 10), ("2", 10), ("1/1", 10), ("3", 10),
])  # fmt: skip
def test_at_least(capsys: Output, bound: str, code: int) -> None:
    found, lines = run(capsys, MODEL, CERTIFICATE, "--at-least", bound)
    assert found == code
    assert lines[-1].startswith("s VERIFIED " if code == 0 else "s REJECTED SPEC-9.3: ")
    assert len([line for line in lines if line.startswith("s ")]) == 1


@pytest.mark.parametrize(
    "bound",
    [
        "0.75",
        "75%",
        "",
        "/",
        "3/",
        "/4",
        "3/0",
        "-3/4",
        "-1",
        "3/-4",
        "03/4",
        "3/4/5",
        "1_0",
        "１",
        " 1",
        "nan",
        "1e0",
        "3//4",
    ],
)
def test_at_least_takes_only_fractions(capsys: Output, bound: str) -> None:
    assert "--at-least" in usage(capsys, MODEL, CERTIFICATE, f"--at-least={bound}")


def test_at_least_asks_for_the_uniform_scope(capsys: Output) -> None:
    assert run(capsys, MODEL, PRODUCT)[0] == 0
    code, lines = run(capsys, MODEL, PRODUCT, "--at-least", "0")
    assert (code, lines[-1].partition(":")[0]) == (10, "s REJECTED SPEC-9.3")


def fake(
    task: str = "max-of-k", scope: str = "uniform", semantics: str = "real", **parts: str
) -> Any:
    """Return as much of a theorem as a demand looks at: 3 of 4, perhaps of a kind that does not
    exist yet.
    """
    usual = {"domain": "*/*", "values": "own/own", "outputs": "*", "answers": "own", "read": "last"}
    said = SimpleNamespace(
        task=SimpleNamespace(label=task),
        readout="last",
        domain=SimpleNamespace(parts=usual | parts, usual=usual),
        scope=SimpleNamespace(label=scope),
        semantics=semantics,
        exp_errors=None,
        total=4,
    )
    return SimpleNamespace(parsed=SimpleNamespace(statement=said), correct_lower=3)


@pytest.mark.parametrize(
    ("theorem", "options", "met"),
    [
        (fake(), {}, True),
        (fake(semantics="float32"), {}, True),
        (fake(semantics="float32"), {"at_least": (0, 1)}, False),
        (fake(semantics="float32"), {"at_least": (3, 4), "semantics": "float32"}, True),
        (fake(semantics="float32"), {"semantics": "real"}, False),
        (fake(scope="product:sha256:0"), {}, True),
        (fake(scope="product:sha256:0"), {"at_least": (0, 1)}, False),
        (fake(task="other"), {"at_least": (0, 1)}, True),
        (fake(task="other"), {"task": "max-of-k"}, False),
        (
            fake(),
            {"at_least": (3, 4), "task": "max-of-k", "scope": "uniform", "semantics": "real"},
            True,
        ),
        (fake(), {"at_least": (4, 5)}, False),
        (fake(), {"readout": "last"}, True),
        (fake(), {"readout": "sum-pool-mlp"}, False),
        (fake(), {"domain": "*/*", "values": "own/own", "at_least": (0, 1)}, True),
        (fake(), {"domain": "*/@3"}, False),
        (fake(), {"domain": ""}, False),
        *((fake(**{part: "1"}), {}, True) for part in command.PARTS),
        *((fake(**{part: "1"}), {"at_least": (0, 1)}, False) for part in command.PARTS),
        *((fake(**{part: "1"}), {"at_least": (0, 1), part: "1"}, True) for part in command.PARTS),
        *((fake(**{part: "1"}), {part: "2"}, False) for part in command.PARTS),
        *((fake(**{part: "1"}), {part: ""}, False) for part in command.PARTS),
        (fake(domain="*/@3", read="0"), {"at_least": (0, 1), "domain": "*/@3"}, False),
        (fake(task="group:sha256:0"), {}, True),
        (fake(task="group:sha256:0"), {"at_least": (0, 1)}, False),
        (fake(task="group:cyclic:3@sha256:0"), {"at_least": (0, 1)}, False),
        (fake(task="group:cyclic:3"), {"at_least": (0, 1)}, True),
        (fake(task="group:cyclic:3"), {"at_least": (0, 1), "task": "group:cyclic:3"}, True),
        (fake(), {"semantics": "real", "eps_exp": (0, 1)}, False),
        (fake(), {"semantics": "real", "eta_exp": (0, 1)}, False),
    ],
)
def test_what_is_not_asked_for_is_not_assumed(
    theorem: Any, options: dict[str, Any], met: bool
) -> None:
    names = ("task", "readout", "scope", "semantics", "at_least", "eps_exp", "eta_exp")
    unasked = dict.fromkeys((*names, *command.PARTS))
    asked: Any = SimpleNamespace(**{**unasked, **options})
    if met:
        command.demand(asked, theorem)
    else:
        with pytest.raises(Rejected) as refusal:
            command.demand(asked, theorem)
        assert refusal.value.rule == "SPEC-9.3"


def test_scope_of_a_file(capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, other = tmp_path / "right.json", tmp_path / "other.json"
    right.write_bytes(models.scope_bytes(make_vectors.SCOPE))
    other.write_bytes(models.scope_bytes([[2, 3], [7, 5]]))
    assert run(capsys, MODEL, PRODUCT, "--scope", f"product:{right}", "--at-least", "3/4")[0] == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").write_bytes(right.read_bytes())
    assert run(capsys, MODEL, PRODUCT, "--scope", "product:s")[0] == 0
    assert run(capsys, MODEL, PRODUCT, "--scope", f"product:{other}")[0] == 10
    assert run(capsys, MODEL, CERTIFICATE, "--scope", f"product:{right}")[0] == 10
    assert run(capsys, MODEL, PRODUCT, "--scope", "uniform")[0] == 10
    assert run(capsys, MODEL, CERTIFICATE, "--scope", "uniform")[0] == 0
    code, lines = run(capsys, MODEL, PRODUCT, "--scope", f"product:{tmp_path}")
    assert (code, lines[-1].partition(":")[0]) == (20, "s DECLINED io")


@pytest.mark.parametrize("arguments", [
    [], [MODEL], [MODEL, CERTIFICATE, CERTIFICATE], [MODEL, CERTIFICATE, "--task", "sorting"], [MODEL, CERTIFICATE, "--task", "table"], [MODEL, CERTIFICATE, "--task", "table:"], [MODEL, CERTIFICATE, "--task"],
    [MODEL, CERTIFICATE, "--scope", "product:"], [MODEL, CERTIFICATE, "--scope", ""], [MODEL, CERTIFICATE, "--scope", "product"],
    [MODEL, CERTIFICATE, "--semantics", "float32"], [MODEL, CERTIFICATE, "--scope", "other"], [MODEL, CERTIFICATE, "--scope", "Uniform"],
    [MODEL, CERTIFICATE, "--readout", "first"], [MODEL, CERTIFICATE, "--readout", ""], [MODEL, CERTIFICATE, "--readout"], [MODEL, CERTIFICATE, "--readout", "all"],
    *([MODEL, CERTIFICATE, f"--{part}"] for part in command.PARTS), [MODEL, CERTIFICATE, "--doma", "*/*"], [MODEL, CERTIFICATE, "--context", "3"],
    *([MODEL, CERTIFICATE, "--task", task] for task in ("modular-addition", "modular-addition:", "polynomial", "polynomial:", "group", "group:", "")),
    [MODEL, CERTIFICATE, "--js"], [MODEL, CERTIFICATE, "--at", "1/2"], [MODEL, CERTIFICATE, "--force"], [MODEL, CERTIFICATE, "--time-limit", "soon"],
    [MODEL, CERTIFICATE, "--time-limit=-1"], [MODEL, CERTIFICATE, "--time-limit", "0.5"], [MODEL, CERTIFICATE, "--no-such-option"],
])  # fmt: skip
def test_usage_errors_exit_with_2(capsys: Output, arguments: list[str]) -> None:
    assert usage(capsys, *arguments).startswith("usage: ")


def test_no_time_at_all(capsys: Output) -> None:
    code, lines = run(capsys, MODEL, CERTIFICATE, "--time-limit", "0")
    assert (code, lines) == (
        20,
        ["s DECLINED SPEC-9.4: the time limit given on the command line has passed"],
    )


# --- files ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["absent", "folder", "nul\0byte", "new\nline", "x" * 5000, ""])
@pytest.mark.parametrize("which", [0, 1])
def test_what_cannot_be_read(capsys: Output, tmp_path: Path, name: str, which: int) -> None:
    (tmp_path / "folder").mkdir()
    paths = [MODEL, CERTIFICATE]
    paths[which] = f"{tmp_path}/{name}"
    code, lines = run(capsys, *paths)
    assert code == 20
    assert len(lines) == 1
    assert lines[0].startswith("s DECLINED io: ")
    assert lines[0].isascii()
    assert lines[0].isprintable()


def test_a_file_is_read_to_one_byte_past_the_limit(tmp_path: Path) -> None:
    (tmp_path / "ten").write_bytes(b"0123456789")
    for limit, found in ((20, 10), (10, 10), (9, 10), (8, 9), (0, 1)):
        assert len(command.read(str(tmp_path / "ten"), limit)) == found


@pytest.mark.parametrize(("which", "clause"), [(0, "SPEC-4.1"), (1, "SPEC-3.2")])
def test_empty_files(capsys: Output, tmp_path: Path, which: int, clause: str) -> None:
    (tmp_path / "empty").write_bytes(b"")
    paths = [MODEL, CERTIFICATE]
    paths[which] = str(tmp_path / "empty")
    code, lines = run(capsys, *paths)
    assert (code, lines[0].partition(":")[0], len(lines)) == (10, f"s REJECTED {clause}", 1)


def test_the_two_files_swapped(capsys: Output) -> None:
    assert run(capsys, CERTIFICATE, MODEL)[0] == 10


def test_exhausted_memory_is_declined(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError, RecursionError):

        def fail(*_: object, error: type[Exception] = error) -> str:
            raise error

        monkeypatch.setattr(command, "check", fail)
        code, lines = run(capsys, MODEL, CERTIFICATE)
        assert (code, lines) == (20, ["s DECLINED SPEC-3.5: memory or recursion exhausted"])


def test_a_bug_is_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "check", fail)
    with pytest.raises(ZeroDivisionError):
        command.main([MODEL, CERTIFICATE])


def test_runs_from_any_folder_with_nothing_installed(tmp_path: Path) -> None:
    line = [sys.executable, "-S", "-B", "-m", "checker", MODEL, CERTIFICATE]
    done = processor.run(
        line,
        60,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(conformance.ROOT)},
    )
    assert done.returncode == 0
    assert done.stdout.split("\n")[-2].startswith("s VERIFIED ")
