"""Run any checker of certificates over `tests/vectors`, through its command line.

    python tests/gates/conformance.py python -S -m checker
    python tests/gates/conformance.py --here

The command gets the model, the certificate and the vector's options as further arguments.  For each
vector it must exit with the right code and print exactly one verdict line, as the last line of
standard output: the numbers of an accepted vector, the clause of a rejected one.  What is wrong is
printed; the exit code is 0 if nothing is.  `--here` runs this repository's checker in this process,
which needs nothing but a bare interpreter and some seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT / "tests" / "oracles") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests" / "oracles"))

import questions  # noqa: E402 (found by path, here and on a bare interpreter)

VECTORS = ROOT / "tests" / "vectors"
BACKSTOP = 3600  # seconds, for a checker that hangs
CODES = {"VERIFIED": 0, "REJECTED": 10, "DECLINED": 20}
NUMBER = r"(?:0|[1-9][0-9]*)"
HASH = r"sha256:[0-9a-f]{64}"
POSITION = r"(?:\*|@[0-9]+|[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)"
NUMBERS = r"(?:own|-?[0-9]+(?:,-?[0-9]+)*)"
TERM = r"[0-9ab*^]+"
VERIFIED = re.compile(
    r"s VERIFIED task=(?:max-of-k k=[0-9]+ vocab=[0-9]+"
    r"(?: heads=[0-9]+)?(?: d_mlp=[0-9]+)?(?: normalization=(?:LN|LNPre))?"
    r"|modular-addition modulus=[0-9]+"
    r"|balanced-brackets n=[0-9]+|argmax n=[0-9]+ vocab=[0-9]+ largest=first"
    rf"|polynomial modulus=[0-9]+ of=(?:{TERM}(?:\+{TERM})*|{HASH})"
    r"|group group=(?:closed|(?:cyclic|dihedral|symmetric|alternating):[0-9]+)"
    rf"(?: order=[0-9]+ elements={HASH})?"
    rf"|table n=[0-9]+ vocab=[0-9]+ table={HASH}) "
    r"(?:heads=[0-9]+ )?(?:d_mlp=[0-9]+ )?(?:normalization=LN(?:Pre)? )?"
    r"(?:readout=(?:sum-pool-mlp|mean-pool-mlp) )?"
    rf"(?:domain=(?:{POSITION}(?:/{POSITION})*|{HASH}) )?"
    rf"(?:values=(?:{NUMBERS}(?:/{NUMBERS})*|{HASH}) )?"
    rf"(?:outputs=(?:{POSITION}|{HASH}) )?"
    rf"(?:answers=(?:{NUMBERS}|{HASH}) )?"
    r"(?:read=(?:all|[0-9]+(?:,[0-9]+)*) )?"
    rf"scope=(?:uniform|product:{HASH}|min-gap:[0-9]+|max-copies:[0-9]+) "
    rf"semantics=(?:real|float32:any-order eps_exp={NUMBER}/{NUMBER} eta_exp={NUMBER}/{NUMBER}) "
    rf"total={NUMBER} correct_lower={NUMBER} correct_upper={NUMBER} "
    rf"margin_lower={NUMBER}\.[0-9]{{10}} "
    rf"model={HASH} certificate={HASH}"
)
REFUSED = re.compile(r"s (REJECTED|DECLINED) (SPEC-[0-9]+(?:\.[0-9]+)*|io): [ -~]+")
OPERATIONS = re.compile(
    rf"c operations mul={NUMBER} add={NUMBER} cmp={NUMBER} exp={NUMBER} seconds=[0-9]+\.[0-9][0-9]"
)


@dataclass(frozen=True)
class Vector:
    """One certificate and what is expected of it."""

    name: str
    model: Path
    certificate: Path
    arguments: tuple[str, ...]
    expect: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a process did."""

    code: int
    stdout: str
    stderr: str


def vectors(folder: Path = VECTORS) -> list[Vector]:
    """Return every vector under a folder, in order of name."""
    found = []
    for table in sorted(folder.glob("*/expect.json")):
        for name, expect in json.loads(table.read_text("ascii")).items():
            own = f"{table.parent.name}/{name}"
            arguments = tuple(
                re.sub(r"(?<=[:@])\w+/[\w-]+\.json$", lambda file: str(folder / file[0]), argument)
                for argument in expect.get("arguments", ())
            )
            model = folder / expect.get("model", f"{own}.safetensors")
            certificate = folder / expect.get("certificate", f"{own}.json")
            found.append(Vector(own, model, certificate, arguments, expect))
    return found


def ran(command: Sequence[str], vector: Vector) -> Outcome:
    """Return what a checker's command does with one vector."""
    line = [*command, str(vector.model), str(vector.certificate), *vector.arguments]
    done = subprocess.run(line, capture_output=True, cwd=ROOT, timeout=BACKSTOP, check=False)
    return Outcome(
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


def ran_here(vector: Vector) -> Outcome:
    """Return what this repository's checker does with one vector, in this process."""
    from checker.__main__ import main as checker

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = checker([str(vector.model), str(vector.certificate), *vector.arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def problems(vector: Vector, outcome: Outcome) -> list[str]:
    """Return what is wrong with an outcome."""
    verdict, lines = vector.expect["verdict"], outcome.stdout.split("\n")
    found = []
    if outcome.code != CODES[verdict]:
        found.append(f"exit code {outcome.code}, not {CODES[verdict]}")
    if outcome.stderr:
        found.append(f"wrote on standard error: {outcome.stderr[-200:]}")
    if lines[-1] != "" or len(lines) < 2:
        return [*found, "standard output does not end with a whole line"]
    spoken = [line for line in lines if line.startswith("s ")]
    if spoken != [lines[-2]]:
        return [*found, f"{len(spoken)} verdict lines, or the last line is none: {lines[-2][:100]}"]
    return found + (
        _of_accepted(vector, lines) if verdict == "VERIFIED" else _of_refused(vector, lines)
    )


def _of_accepted(vector: Vector, lines: list[str]) -> list[str]:
    found = (
        [] if VERIFIED.fullmatch(lines[-2]) else [f"not the form of a verdict: {lines[-2][:200]}"]
    )
    if len(lines) != 4 or not OPERATIONS.fullmatch(lines[-3]):
        found.append("no sentence and operations before the verdict")
    said = dict(field.partition("=")[::2] for field in lines[-2].split(" ")[2:])
    expected = _expected(vector, json.loads(vector.certificate.read_bytes())["statement"])
    if list(said) != list(expected):
        found.append(f"the fields are {' '.join(said)}, not {' '.join(expected)}")
    return found + [
        f"{key} is {said.get(key)}, not {value}"
        for key, value in expected.items()
        if said.get(key) != value
    ]


def wider(architecture: dict[str, Any]) -> dict[str, str]:
    """Return what a model of Max-of-K has beyond one head.  (SPEC-9.1)"""
    heads = architecture["n_heads"]
    found = {
        "heads": heads if heads > 1 else None,
        "d_mlp": architecture.get("d_mlp"),
        "normalization": architecture["normalization_type"],
    }
    return {key: str(value) for key, value in found.items() if value}


def _expected(vector: Vector, written: dict[str, Any]) -> dict[str, str]:
    """Return the fields of the verdict line, in order."""
    architecture, domain, scope = (written[key] for key in ("architecture", "domain", "scope"))
    expected = questions.told(written["task"], domain, architecture)
    if written["task"] == "max-of-k":
        expected |= wider(architecture)
    if "pool" in architecture.get("readout", "last"):
        expected["readout"] = architecture["readout"]
    expected |= questions.spelled(domain, architecture)
    expected["scope"] = "uniform"
    if "product" in scope:
        file = {"format": "certify.scope/1", "weights": scope["product"]}
        expected["scope"] = f"product:{questions.hash_of(file)}"
    elif scope != "uniform":
        ((kind, number),) = scope.items()
        expected["scope"] = f"{kind}:{number}"
    stated = ("semantics", "eps_exp", "eta_exp", "total")
    expected |= {key: written[key] for key in stated if key in written}
    derived = ("correct_lower", "correct_upper", "margin_lower")
    expected |= {key: vector.expect[key] for key in derived}
    for key in ("model", "certificate"):
        data = getattr(vector, key).read_bytes()
        expected[key] = f"sha256:{sha256(data).hexdigest()}"
    return expected


def _of_refused(vector: Vector, lines: list[str]) -> list[str]:
    match = REFUSED.fullmatch(lines[-2])
    if not match or len(lines) != 2:
        return [f"not the form of a refusal: {lines[-2][:200]}"]
    expected = (vector.expect["verdict"], vector.expect["clause"])
    return (
        []
        if match.groups() == expected
        else [f"{' '.join(match.groups())}, not {' '.join(expected)}"]
    )


def failures(command: Sequence[str], some: Iterable[Vector]) -> dict[str, list[str]]:
    """Return the vectors that a checker's command gets wrong, and how."""
    found = {vector.name: problems(vector, ran(command, vector)) for vector in some}
    return {name: wrong for name, wrong in found.items() if wrong}


def main(command: list[str]) -> int:
    """Print what a command gets wrong."""
    if not command:
        print(__doc__)  # noqa: T201
        return 2
    some = vectors()
    if command == ["--here"]:
        sys.path.insert(0, str(ROOT))
        every = {vector.name: problems(vector, ran_here(vector)) for vector in some}
        wrong = {name: what for name, what in every.items() if what}
    else:
        wrong = failures(command, some)
    for name, found in wrong.items():
        print(f"{name}: {'; '.join(found)}")  # noqa: T201
    print(f"{len(some)} vectors, {len(wrong)} wrong")  # noqa: T201
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
