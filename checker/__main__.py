"""Command line of the checker: the only place that prints, reads files and chooses an exit code.
(SPEC-9)
"""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from stat import S_ISREG
from time import monotonic_ns
from typing import Any, TextIO

from checker import __version__
from checker.check import (
    MAX_CERTIFICATE_BYTES,
    Parsed,
    Theorem,
    check,
    parse,
    require_shown,
)
from checker.ground.decode import ratio
from checker.ground.errors import Declined, Refusal, Rejected, require, require_support
from checker.statement.groups import SIZES
from checker.statement.model import MAX_MODEL_BYTES, READOUTS
from checker.statement.outcome import MARGIN_BITS, Outcome
from checker.statement.scope import KINDS as SCOPES
from checker.statement.scope import parse_scope_file
from checker.statement.statement import (
    EXP,
    FLOAT32,
    REAL,
    SEMANTICS,
    Statement,
)
from checker.statement.tasks import GIVEN, NAMED

USUAL_EXP = ((1, 1 << 22), (1, 1 << 126))
"""What ``--at-least`` requires of eps_exp and eta_exp unless told otherwise.  (SPEC-9.3)"""
NO_EXP = (None, None)
"""What is required of them where the user says nothing."""
HOLDS_FILE = re.compile(
    rf"(?P<task>table:|group:(({'|'.join(SIZES)}):[0-9]+(@|$))?)(?P<file>.*)"
)
"""How ``--task`` names a file; a group by name alone names none.  (SPEC-9.3)"""
PARTS = {
    "domain": "over other inputs",
    "values": "where tokens stand for other numbers",
    "outputs": "about other outputs",
    "answers": "where outputs stand for other answers",
    "read": "that reads other positions",
}
"""The parts of a domain, each an option that requires the text of the verdict line.  (SPEC-9.3)"""
MARGIN_UNIT = 10**10
"""The verdict prints margins in units of 10^-10, rounded down.  (SPEC-9.1)"""
SCOPE_TEXT = "uniform|product:FILE|min-gap:G|max-copies:C"
"""How ``--scope`` names a scope.  (SPEC-9.3)"""

NEVER = 1 << 64
"""Nanoseconds that do not pass."""


def _unblocked(path: str, flags: int) -> int:
    """Open a file without waiting: a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read(path: str, limit: int) -> bytes:
    """Return the bytes of a regular file the user names, cut just past ``limit``.

    What is read is what was looked at: the file is opened, and then asked what it is.
    Raises: Declined (io).
    """
    try:
        with open(path, "rb", opener=_unblocked) as file:
            regular = S_ISREG(os.fstat(file.fileno()).st_mode)
            require_support(regular, "io", f"{path} is not a regular file")
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "not a path"
        raise Declined("io", f"{path} cannot be read: {said}") from error


def sources(folder: Any, at: str = "") -> Iterator[tuple[str, bytes]]:
    """Yield the path and the bytes of every .py below a folder, on disk or in an archive."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from sources(entry, f"{at}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield at + entry.name, entry.read_bytes()


def checker_sha256() -> str:
    """Return the hash of path, length and bytes of this checker's own files, in order of path."""
    from importlib import resources  # noqa: PLC0415 (10 ms, spent for --version only)

    digest = sha256()
    for path, content in sorted(sources(resources.files("checker"))):
        digest.update(f"{path} {len(content)}\n".encode() + content)
    return digest.hexdigest()


class Watch:
    """The clock of one check: the user's time limit, and progress on standard error where that is a
    terminal.

    The clock is read whenever work is charged.  Within ``with``, where the system has alarms, it is
    read every second too, between any two steps of Python, each of which SPEC-3.5 bounds.
    """

    def __init__(self, seconds: tuple[int, int] | None) -> None:
        self.start = monotonic_ns()
        limit = NEVER if seconds is None else seconds[0] * 10**9 // seconds[1]
        self.deadline = self.start + limit
        self.alarmed = seconds is not None and hasattr(signal, "setitimer")
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self.period = 250_000_000 if terminal else NEVER
        self.due = min(self.deadline, self.start + self.period)

    def __enter__(self) -> None:
        if self.alarmed:
            signal.signal(signal.SIGALRM, lambda *_: self.look())
            signal.setitimer(signal.ITIMER_REAL, 1, 1)

    def __exit__(self, *_: object) -> None:
        if self.alarmed:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def look(self) -> None:
        """Raises: Declined (SPEC-9.4) past the limit."""
        require_support(
            monotonic_ns() <= self.deadline,
            "SPEC-9.4",
            "the time limit given on the command line has passed",
        )

    def __call__(self, done: int, declared: int) -> None:
        now = monotonic_ns()
        if now > self.due:
            self.look()  # if this returns, progress is due
            self.due = min(self.deadline, now + self.period)
            print(
                f"\rchecking: {done:,} of {declared:,} operations\033[K\r",
                end="",
                file=sys.stderr,
                flush=True,
            )

    def seconds(self) -> str:
        """Return the time since the start with two decimals, formatted with integers."""
        hundredths = (monotonic_ns() - self.start) // 10**7
        return f"{hundredths // 100}.{hundredths % 100:02d}"


def errors_of_exp(said: Statement) -> dict[str, str]:
    """Return eps_exp and eta_exp as the verdict spells them; none in real arithmetic."""
    if said.exp_errors is None:
        return {}
    both = zip(EXP, said.exp_errors, strict=True)
    return {key: f"{error.numerator}/{error.denominator}" for key, error in both}


def width_of(parsed: Parsed) -> dict[str, str]:
    """Return what a model of Max-of-K has beyond one head and nothing else.  (SPEC-9.1)"""
    sizes = parsed.model.sizes
    found = {
        "heads": sizes["n_heads"] if sizes["n_heads"] > 1 else None,
        "d_mlp": sizes.get("d_mlp"),
        "normalization": parsed.model.config["normalization_type"],
    }
    asked = parsed.statement.name == "max-of-k"
    return {key: str(value) for key, value in found.items() if asked and value}


def facts(theorem: Theorem) -> dict[str, str]:
    """Return the fields of the verdict line, in order, each one the checker's own.  (SPEC-9.1)"""
    said = theorem.parsed.statement
    usual_readout = said.readout == READOUTS[0]
    margin = theorem.margin * MARGIN_UNIT >> MARGIN_BITS
    return {
        "task": said.name,
        **said.task.fields,
        **width_of(theorem.parsed),
        **({} if usual_readout else {"readout": said.readout}),
        **said.domain.unusual,
        "scope": said.scope.label,
        "semantics": said.semantics,
        **errors_of_exp(said),
        "total": str(said.total),
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
        "margin_lower": f"{margin // MARGIN_UNIT}.{margin % MARGIN_UNIT:010d}",
        "model": f"sha256:{said.model_sha256}",
        "certificate": f"sha256:{theorem.parsed.certificate_sha256}",
    }


def sentence(theorem: Theorem) -> str:
    """Return the theorem in English."""
    said = theorem.parsed.statement
    lower = theorem.correct_lower
    upper = theorem.correct_upper
    number = f"at least {lower} and at most {upper}"
    if lower == upper:
        number = f"exactly {lower}"
    arithmetic = SEMANTICS[said.semantics]
    if said.exp_errors is not None:
        relative, absolute = said.exp_errors
        arithmetic += f" with a relative error of exp of at most {relative}"
        arithmetic += f" and an absolute error of exp of at most {absolute}"
    said_of = [f"This exact model file {said.task.sentence}"]
    unusual = said.domain.unusual
    if "domain" in unusual:
        said_of.append(said.domain.words())
    if "read" in unusual:
        positions = ", ".join(map(str, said.domain.read))
        said_of.append(f"at the positions {positions} for the operands up to them")
    named = ("values", "outputs", "answers")
    others = [f"{part} {unusual[part]}" for part in named if part in unusual]
    if others:
        said_of.append(f"with {', '.join(others)}")
    subject = ", ".join(said_of) + ("," if unusual else "")
    count = f"{number} of all {said.total} {said.scope.units}"
    return f"{subject} on {count}, in {arithmetic}, a tie counting as wrong."


def row(outcome: Outcome) -> list[str | int | None]:
    """Return failures at least and at most, size, and margin over 2^-20."""
    weights = (outcome.lower, outcome.upper, outcome.size)
    return [*map(str, weights), outcome.margin]


def as_json(theorem: Theorem, seconds: str) -> str:
    """Return the verdict, the ledger and the outcome of every leaf cell as one JSON object."""
    ledger = theorem.ledger
    width = theorem.parsed.statement.total.bit_length()
    margins = sum((outcome.margin or 0).bit_length() for outcome in theorem.outcomes)
    require_support(
        (width + 64) * len(theorem.outcomes) + margins <= 1 << 27,
        "SPEC-3.5",
        "the outcomes of all leaves are too large to print",
    )
    operations = {
        "mul": ledger.mul,
        "add": ledger.add,
        "cmp": ledger.cmp,
        "exp": ledger.exp,
        "total": ledger.total,
    }
    told = {
        "verdict": "VERIFIED",
        **facts(theorem),
        "margin_lower_exact": [str(theorem.margin), str(-MARGIN_BITS)],
        "cells": [row(outcome) for outcome in theorem.outcomes],
        "operations": operations,
        "seconds": seconds,
    }
    return json.dumps(told)


def asked_task(option: str | None) -> str | None:
    """Return the task that the user requires, a table or the elements of a group by the hash of
    their file.

    Raises: Declined (io).
    """
    match = HOLDS_FILE.fullmatch(option or "")
    if match is None or not match["file"]:
        return option
    data = read(match["file"], MAX_CERTIFICATE_BYTES)
    return f"{match['task']}sha256:{sha256(data).hexdigest()}"


def asked_scope(option: str | None) -> str | None:
    """Return the scope that the user requires, by its label.

    Raises: Declined (io), Malformed (SPEC-5.3) for a file that is no scope.
    """
    if option is None or not option.startswith("product:"):
        return option
    return parse_scope_file(
        read(option.removeprefix("product:"), MAX_CERTIFICATE_BYTES)
    )


def demand_same(name: str, shown: str, required: str | None) -> None:
    """Require that a part of the statement is the one asked for; None asks for nothing."""
    agrees = required in (None, shown)
    require(agrees, "SPEC-9.3", f"the {name} is {shown}, not the one required")


def demand_exp(options: argparse.Namespace, said: Statement) -> None:
    """Require that the errors of exp that are assumed are not smaller than those asked for."""
    asked = (options.eps_exp, options.eta_exp)
    if said.exp_errors is None:
        nothing = asked == NO_EXP
        require(nothing, "SPEC-9.3", "real arithmetic has no error of exp to require")
        return
    # A smaller number is a stronger assumption about the program that runs.
    default = NO_EXP if options.at_least is None else USUAL_EXP
    for key, number, given, usual in zip(
        EXP, said.exp_errors, asked, default, strict=True
    ):
        p, q = given or usual or (0, 1)
        allowed = number * q >= p
        require(allowed, "SPEC-9.3", f"{key} is {number}, smaller than {p}/{q}")


def demand(options: argparse.Namespace, theorem: Theorem) -> None:
    """Require what the user asked for on the command line.  (SPEC-9.3)

    Raises: Rejected (SPEC-9.3).
    """
    said = theorem.parsed.statement
    bounded = options.at_least is not None
    asks_exp = (options.eps_exp, options.eta_exp) != NO_EXP

    # An accuracy with respect to a file means nothing to those who do not have the file.
    named = options.task is not None or "sha256:" not in said.task.label
    require(
        named or not bounded,
        "SPEC-9.3",
        "at-least of a file needs --task with that file",
    )
    demand_same("task", said.task.label, asked_task(options.task))
    demand_same("readout", said.readout, options.readout)
    for part, text in said.domain.parts.items():
        asked = getattr(options, part)
        if bounded and asked is None:
            asked = said.domain.usual[part]
        demand_same(part, text, asked)

    # Unless the user says which inputs are to count, --at-least counts every one the same.
    scope = asked_scope(options.scope)
    if bounded and scope is None:
        scope = "uniform"
    demand_same("scope", said.scope.label, scope)

    # Unless the user says which arithmetic, --at-least is about real numbers, an error of exp
    # about float32.
    semantics = options.semantics
    if semantics is None and asks_exp:
        semantics = FLOAT32
    elif semantics is None and bounded:
        semantics = REAL
    demand_same("semantics", said.semantics, semantics)
    demand_exp(options, said)

    if bounded:
        p, q = options.at_least
        reached = theorem.correct_lower * q >= said.total * p
        require(reached, "SPEC-9.3", f"correct_lower / total is below {p}/{q}")


def show(parsed: Parsed) -> str:
    """Return what was parsed, for a human audit: nothing here is verified."""
    said = parsed.statement
    claimed = f"{parsed.claimed_lower} <= correct <= {parsed.claimed_upper}"
    lines = [
        f"parsed, not checked: model sha256:{said.model_sha256}",
        f"  config {json.dumps(parsed.model.config)}",
    ]
    for name, weights in sorted(parsed.model.weights.items()):
        shape = f"{len(weights.rows)} x {len(weights.rows[0])}"
        first = weights.rows[0][0]
        lines.append(
            f"  {name}: {shape} integers over 2^{weights.scale}, the first {first}"
        )
    names = (
        f"task {said.task.label}, scope {said.scope.label}, semantics {said.semantics}"
    )
    lines.append(f"statement: {names}")
    lines += [f"  {part} {text}" for part, text in said.domain.unusual.items()]
    lines.append(f"  claims {claimed} of {said.total}")
    lines += [f"  {name} {number}" for name, number in errors_of_exp(said).items()]
    work = f"{parsed.operations} operations declared"
    lines.append(f"proof: precision {parsed.precision} bits, {work}")
    return "\n".join([*lines, *parsed.proof.lines()])


def _fraction(written: str) -> tuple[int, int]:
    try:
        return ratio(written, "it")
    except Rejected as error:
        raise argparse.ArgumentTypeError(error.why) from error


def _count(written: str) -> int:
    whole, parts = _fraction(written)
    if parts != 1 or whole < 1:
        raise argparse.ArgumentTypeError("it is not a positive whole number")
    return whole


OPTIONS: dict[str, dict[str, Any]] = {
    "--task": {
        "metavar": "NAME[:..]",
        "help": "reject a certificate about another task",
    },
    **{
        f"--{part}": {"metavar": "TEXT", "help": f"reject a certificate {told}"}
        for part, told in PARTS.items()
    },
    "--readout": {
        "choices": READOUTS,
        "help": "reject a certificate about a model that answers elsewhere",
    },
    "--scope": {
        "metavar": SCOPE_TEXT,
        "help": "reject a certificate over another scope",
    },
    "--semantics": {
        "choices": SEMANTICS,
        "help": "reject a certificate in other arithmetic",
    },
    "--eps-exp": {
        "type": _fraction,
        "metavar": "P/Q",
        "help": "reject all but a float32 certificate with an eps_exp of at least P/Q",
    },
    "--eta-exp": {
        "type": _fraction,
        "metavar": "P/Q",
        "help": "reject all but a float32 certificate with an eta_exp of at least P/Q",
    },
    "--at-least": {
        "type": _fraction,
        "metavar": "P/Q",
        "help": "reject an accuracy below P/Q",
    },
    "--json": {"action": "store_true", "help": "print the facts as one JSON object"},
    "--time-limit": {
        "type": _fraction,
        "metavar": "S",
        "help": "decline after S seconds",
    },
    "--jobs": {
        "type": _count,
        "default": 1,
        "metavar": "N",
        "help": "work with up to N processes",
    },
    "--show": {
        "action": "store_true",
        "help": "print what was parsed, and check nothing",
    },
}


def names_file(option: str, kind: str) -> bool:
    """Return whether an option is ``kind`` with something behind it."""
    return option.startswith(kind) and option != kind


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line; a usage error exits with 2."""
    parser = argparse.ArgumentParser(
        "checker",
        description="Re-derive every bound of a certificate in exact arithmetic.",
        epilog="exit codes: 0 verified, 10 rejected, 20 declined, 2 usage error; "
        "the last line is the verdict",
        formatter_class=partial(argparse.HelpFormatter, width=120),
        allow_abbrev=False,
    )
    model = "the model file the claim is about"
    parser.add_argument("model", metavar="MODEL.safetensors", help=model)
    certificate = "the certificate to check"
    parser.add_argument("certificate", metavar="CERTIFICATE.json", help=certificate)
    for flag, option in OPTIONS.items():
        parser.add_argument(flag, **option)
    asked = "--version" in argv
    version = f"checker {__version__} sha256:{checker_sha256() if asked else 0}"
    parser.add_argument("--version", action="version", version=version)
    options = parser.parse_args(argv)
    scope = options.scope
    kinds = [kind for kind in SCOPES if names_file(scope or "", f"{kind}:")]
    if not (kinds or scope in (None, "uniform")):
        parser.error(f"argument --scope: none of {SCOPE_TEXT}")
    task = options.task
    given = [f"{kind}:" for kind in (*GIVEN, "table")]
    about = [kind for kind in given if names_file(task or "", kind)]
    if not (about or task in (None, *NAMED)):
        known = ", ".join([*NAMED, *given])
        parser.error(
            f"argument --task: none of {known}, these with what they are about"
        )
    return options


def run(options: argparse.Namespace, watch: Watch) -> str:
    """Return the text to print when the certificate is verified, or only shown.

    Raises: Refusal.
    """
    model = read(options.model, MAX_MODEL_BYTES)
    parsed = parse(model, read(options.certificate, MAX_CERTIFICATE_BYTES))
    if options.show:
        return show(parsed)
    theorem = check(parsed, watch, options.jobs)
    require_shown(theorem)
    demand(options, theorem)
    if options.json:
        return as_json(theorem, watch.seconds())
    ledger = theorem.ledger
    work = f"mul={ledger.mul} add={ledger.add} cmp={ledger.cmp} exp={ledger.exp}"
    verdict = " ".join(f"{key}={value}" for key, value in facts(theorem).items())
    counts = f"c operations {work} seconds={watch.seconds()}"
    return f"{sentence(theorem)}\n{counts}\ns VERIFIED {verdict}"


def refused(ended: BaseException, *, as_object: bool) -> tuple[str, int]:
    """Return the text and the exit code of a check that ended without a theorem.
    (SPEC-9.1, SPEC-9.2)
    """
    refusal: Refusal = Declined("SPEC-3.5", "memory or recursion exhausted")
    if isinstance(ended, KeyboardInterrupt):
        refusal = Declined("SPEC-9.4", "interrupted")
    elif isinstance(ended, Refusal):
        refusal = ended
    rejected = isinstance(refusal, Rejected)
    word = "REJECTED" if rejected else "DECLINED"
    told = f"s {word} {refusal.rule}: {refusal.why}"
    if as_object:
        told = json.dumps({"verdict": word, "rule": refusal.rule, "why": refusal.why})
    return told, 10 if rejected else 20


def wrote(stream: TextIO | None, text: str) -> bool:
    """Return whether a stream took the text and what was written to it before.

    Ensures: if not, it is closed, so that the interpreter does not try again at exit.
    """
    if stream is None:
        return False
    try:
        print(text, end="", file=stream, flush=True)
    except OSError:
        try:
            stream.close()
        except OSError:
            return False
        return False
    return True


def say(text: str, code: int) -> int:
    """Print the text and return the exit code: a verdict that nobody sees is none.  (SPEC-9.2)"""
    if wrote(sys.stdout, text):
        return code
    complaint = "standard output cannot be written: no verdict\n"
    return 20 if wrote(sys.stderr, complaint) else 1


def main(argv: list[str]) -> int:
    """Check what the command line names, print the verdict and return the exit code.  (SPEC-9.2)"""
    try:
        options = arguments(argv)
    except SystemExit as ended:  # after --version or --help, or a usage error
        if ended.code != 0:
            raise
        return say("", 0)
    try:
        watch = Watch(options.time_limit)
        with watch:
            told = run(options, watch)
        code = 0
    except (Refusal, MemoryError, RecursionError, KeyboardInterrupt) as ended:
        told, code = refused(ended, as_object=options.json)
    return say(told + "\n", code)


def command() -> int:
    """Run ``main`` on the command line of this process, as ``certify-checker``."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(command())
