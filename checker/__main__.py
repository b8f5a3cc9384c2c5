"""Command line of the checker: the only place that prints, reads files and chooses an exit code.
(SPEC 9)
"""

import argparse
import json
import sys
from functools import partial
from hashlib import sha256
from os import O_NONBLOCK, O_RDONLY, fdopen, fstat
from os import open as open_file
from pathlib import Path
from signal import ITIMER_REAL, SIGALRM, setitimer, signal
from stat import S_ISREG
from time import monotonic_ns

from checker import __version__
from checker.check import MAX_CERTIFICATE_BYTES, Parsed, Theorem, check, parse
from checker.ground.decode import ratio
from checker.ground.errors import Declined, Refusal, Rejected, require, require_support
from checker.statement.model import MAX_MODEL_BYTES
from checker.statement.outcome import MARGIN_BITS
from checker.statement.statement import (
    EXP,
    FLOAT32,
    SEMANTICS,
    TASKS,
    USUAL_EXP,
    parse_scope_file,
)


def read(path: str, limit: int) -> bytes:
    """Return the bytes of a regular file the user names, cut just past ``limit``.

    What is read is what was looked at, and nothing else is waited for: the file is opened without
    blocking, and then asked what it is.
    Raises: Declined (io).
    """
    try:
        number = open_file(path, O_RDONLY | O_NONBLOCK)
        with fdopen(number, "rb") as file:
            regular = S_ISREG(fstat(number).st_mode)
            require_support(regular, "io", f"{path} is not a regular file")
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or "not a path"
        raise Declined("io", f"{path} cannot be read: {said}") from error


def checker_sha256() -> str:
    """Return the hash of this checker's own source files, paths and contents, in order of path."""
    digest, folder = sha256(), Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(
            f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content
        )
    return digest.hexdigest()


class Watch:
    """The clock of one check: the user's time limit, and progress on standard error where that is a
    terminal.

    The clock is read whenever work is charged, and within ``with`` an alarm reads it every second
    whatever the checker does: between any two steps of Python, each of which SPEC 3.5 bounds.
    """

    def __init__(self, seconds: tuple[int, int] | None) -> None:
        self.start = self.shown = monotonic_ns()
        self.limit = None if seconds is None else seconds[0] * 10**9 // seconds[1]

    def __enter__(self) -> None:
        if self.limit is not None:
            signal(SIGALRM, lambda *_: self.look())
            setitimer(ITIMER_REAL, 1, 1)

    def __exit__(self, *_: object) -> None:
        if self.limit is not None:
            setitimer(ITIMER_REAL, 0)

    def look(self) -> int:
        """Return the time in nanoseconds.

        Raises: Declined (SPEC-9.4) past the limit.
        """
        now = monotonic_ns()
        require_support(
            self.limit is None or now - self.start <= self.limit,
            "SPEC-9.4",
            "the time limit given on the command line has passed",
        )
        return now

    def __call__(self, done: int, declared: int) -> None:
        now = self.look()
        if now - self.shown > 250_000_000 and sys.stderr.isatty():
            self.shown = now
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


def facts(theorem: Theorem) -> dict[str, str]:
    """Return the fields of the verdict line, in order; every one is the checker's own.  (SPEC 9.1)"""
    said, decimals = theorem.parsed.statement, theorem.margin * 10**10 >> MARGIN_BITS
    found = {
        "task": said.task,
        **said.fields,
        "scope": said.scope.label,
        "semantics": said.semantics,
    }
    found |= dict(
        zip(
            EXP,
            (f"{x.numerator}/{x.denominator}" for x in said.exp_errors or ()),
            strict=False,
        )
    )
    found |= {
        "total": str(said.total),
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    found["margin_lower"] = f"{decimals // 10**10}.{decimals % 10**10:010d}"
    return {
        **found,
        "model": f"sha256:{said.model_sha256}",
        "certificate": f"sha256:{theorem.parsed.certificate_sha256}",
    }


def sentence(theorem: Theorem) -> str:
    """Return the theorem in English."""
    said, lower, upper = (
        theorem.parsed.statement,
        theorem.correct_lower,
        theorem.correct_upper,
    )
    number = (
        f"exactly {lower}"
        if lower == upper
        else f"at least {lower} and at most {upper}"
    )
    unit = "inputs" if said.scope.label == "uniform" else "units of input weight"
    names = ("a relative", "an absolute")
    parts = [
        f"{name} error of exp of at most {x}"
        for name, x in zip(names, said.exp_errors or (), strict=False)
    ]
    assumed = f" with {' and '.join(parts)}" if parts else ""
    subject = f"This exact model file {TASKS[said.task][1].format(**said.fields)}"
    if theorem.parsed.model.config.get("readout") == "all":
        subject += ", at every position for the tokens up to it,"
    return f"{subject} on {number} of all {said.total} {unit}, in {SEMANTICS[said.semantics]}{assumed}, a tie counting as wrong."


def as_json(theorem: Theorem, seconds: str) -> str:
    """Return the verdict, the ledger and the outcome of every leaf cell as one JSON object."""
    ledger, width = theorem.ledger, theorem.parsed.statement.total.bit_length()
    size = sum(
        width + (outcome.margin or 0).bit_length() for outcome in theorem.outcomes
    )
    require_support(
        size <= 1 << 28, "SPEC-3.5", "the outcomes of all leaves are too large to print"
    )
    operations = {
        "mul": ledger.mul,
        "add": ledger.add,
        "cmp": ledger.cmp,
        "exp": ledger.exp,
        "total": ledger.total,
    }
    cells = [
        [str(o.lower), str(o.upper), str(o.size), o.margin] for o in theorem.outcomes
    ]
    exact = {
        "margin_lower_exact": [str(theorem.margin), str(-MARGIN_BITS)],
        "cells": cells,
        "operations": operations,
    }
    return json.dumps(
        {"verdict": "VERIFIED", **facts(theorem), **exact, "seconds": seconds}
    )


def demand(options: argparse.Namespace, theorem: Theorem) -> None:
    """Require what the user asked for on the command line.  (SPEC 9.3)

    Raises: Rejected (SPEC-9.3).
    """
    said, bounded, held = (
        theorem.parsed.statement,
        options.at_least is not None,
        theorem.parsed.statement.exp_errors,
    )
    scope = "uniform" if bounded and options.scope is None else options.scope
    least = [options.eps_exp, options.eta_exp]
    usual = "real" if least == [None, None] else FLOAT32
    semantics = (
        usual
        if options.semantics is None and (bounded or usual == FLOAT32)
        else options.semantics
    )
    if scope not in (None, "uniform"):
        scope = parse_scope_file(
            read(scope.removeprefix("product:"), MAX_CERTIFICATE_BYTES)
        )
    task, own = (
        options.task,
        f"table:{said.fields['table']}" if said.task == "table" else said.task,
    )
    if task is not None and task[:6] == "table:":
        task = (
            f"table:sha256:{sha256(read(task[6:], MAX_CERTIFICATE_BYTES)).hexdigest()}"
        )
    require(
        task is not None or not bounded or said.task != "table",
        "SPEC-9.3",
        "at-least of a table needs --task table:FILE",
    )
    wanted, found = (task, scope, semantics), (own, said.scope.label, said.semantics)
    for name, value, shown in zip(
        ("task", "scope", "semantics"), wanted, found, strict=True
    ):
        require(
            value in (None, shown),
            "SPEC-9.3",
            f"the {name} is {shown}, not the one required",
        )
    for name, given, default, number in zip(
        EXP, least, USUAL_EXP, held or (), strict=False
    ):
        p, q = given or (default if bounded else (0, 1))
        require(
            p * number.denominator <= number.numerator * q,
            "SPEC-9.3",
            f"{name} is {number}, smaller than {p}/{q}",
        )
    if bounded:
        p, q = options.at_least
        require(
            theorem.correct_lower * q >= said.total * p,
            "SPEC-9.3",
            f"correct_lower / total is below {p}/{q}",
        )


def show(parsed: Parsed) -> str:
    """Return what was parsed, for a human audit: nothing here is verified."""
    said = parsed.statement
    lines = [
        f"parsed, not checked: model sha256:{said.model_sha256}",
        f"  config {json.dumps(parsed.model.config)}",
    ]
    shapes = [
        (name, f"{len(w.rows)} x {len(w.rows[0])}", w)
        for name, w in sorted(parsed.model.weights.items())
    ]
    lines += [
        f"  {name}: {shape} integers over 2^{w.scale}, the first {w.rows[0][0]}"
        for name, shape, w in shapes
    ]
    claim = f"  claims {parsed.claimed_lower} <= correct <= {parsed.claimed_upper} of {said.total}"
    lines += [
        f"statement: task {said.task}, scope {said.scope.label}, semantics {said.semantics}",
        claim,
    ]
    lines += [
        f"  {name} {number}"
        for name, number in zip(EXP, said.exp_errors or (), strict=False)
    ]
    lines += [
        f"proof: precision {parsed.precision} bits, {parsed.operations} operations declared",
        *parsed.proof.lines(),
    ]
    return "\n".join(lines)


def _fraction(written: str) -> tuple[int, int]:
    try:
        return ratio(written, "it")
    except Rejected as error:
        raise argparse.ArgumentTypeError(error.why) from error


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line; a usage error exits with 2."""
    epilog = "exit codes: 0 verified, 10 rejected, 20 declined, 2 usage error; the last line is the verdict"
    about = "Re-derive every bound of a certificate in exact arithmetic."
    wide = partial(argparse.HelpFormatter, width=120)
    parser = argparse.ArgumentParser(
        "python -m checker",
        None,
        about,
        epilog,
        formatter_class=wide,
        allow_abbrev=False,
    )
    parser.add_argument(
        "model", metavar="MODEL.safetensors", help="the model file the claim is about"
    )
    parser.add_argument(
        "certificate", metavar="CERTIFICATE.json", help="the certificate to check"
    )
    parser.add_argument(
        "--task",
        metavar="NAME|table:FILE",
        help="reject a certificate about another task",
    )
    parser.add_argument(
        "--scope",
        metavar="uniform|product:FILE",
        help="reject a certificate over another scope",
    )
    parser.add_argument(
        "--semantics",
        choices=SEMANTICS,
        help="reject a certificate in other arithmetic",
    )
    parser.add_argument(
        "--eps-exp",
        type=_fraction,
        metavar="P/Q",
        help="reject a float32 certificate with a smaller eps_exp",
    )
    parser.add_argument(
        "--eta-exp",
        type=_fraction,
        metavar="P/Q",
        help="reject a float32 certificate with a smaller eta_exp",
    )
    parser.add_argument(
        "--at-least", type=_fraction, metavar="P/Q", help="reject an accuracy below P/Q"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the facts as one JSON object"
    )
    parser.add_argument(
        "--time-limit", type=_fraction, metavar="S", help="decline after S seconds"
    )
    parser.add_argument(
        "--show", action="store_true", help="print what was parsed, and check nothing"
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"checker {__version__} sha256:{checker_sha256()}",
    )
    options = parser.parse_args(argv)
    if options.scope not in (None, "uniform") and not (
        options.scope[:8] == "product:" and options.scope[8:]
    ):
        parser.error("argument --scope: neither uniform nor product:FILE")
    named = [*TASKS.keys() - {"table"}]
    if (
        options.task is not None
        and options.task not in named
        and not (options.task[:6] == "table:" and options.task[6:])
    ):
        parser.error(
            f"argument --task: neither {', '.join(sorted(named))} nor table:FILE"
        )
    return options


def run(options: argparse.Namespace, watch: Watch) -> str:
    """Return the text to print when the certificate is verified, or only shown.

    Raises: Refusal.
    """
    parsed = parse(
        read(options.model, MAX_MODEL_BYTES),
        read(options.certificate, MAX_CERTIFICATE_BYTES),
    )
    if options.show:
        return show(parsed)
    theorem = check(parsed, watch)
    demand(options, theorem)
    if options.json:
        return as_json(theorem, watch.seconds())
    ledger, verdict = (
        theorem.ledger,
        " ".join(f"{key}={value}" for key, value in facts(theorem).items()),
    )
    counts = f"mul={ledger.mul} add={ledger.add} cmp={ledger.cmp} exp={ledger.exp} seconds={watch.seconds()}"
    return f"{sentence(theorem)}\nc operations {counts}\ns VERIFIED {verdict}"


def main(argv: list[str]) -> int:
    """Check what the command line names, print the verdict, and return the exit code.  (SPEC 9.2)"""
    options = arguments(argv)
    watch = Watch(options.time_limit)
    try:
        with watch:
            printed, code = run(options, watch), 0
    except (MemoryError, RecursionError, Refusal) as error:
        refusal = (
            error
            if isinstance(error, Refusal)
            else Declined("SPEC-3.5", "memory or recursion exhausted")
        )
        word, code = (
            ("REJECTED", 10) if isinstance(refusal, Rejected) else ("DECLINED", 20)
        )
        refused = {"verdict": word, "rule": refusal.rule, "why": refusal.why}
        printed = (
            json.dumps(refused)
            if options.json
            else f"s {word} {refusal.rule}: {refusal.why}"
        )
    print(printed)
    return code if sys.stdout is not None else 20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
