"""The checker, run while the page is made: which bytes, which verdict, in its own words."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from certify.archive import archive
from certify.certificate.client import Answer, Verdict, ask, run_checker
from certify.certificate.document import MAXIMUM_FILE_BYTES
from certify.certificate.show import Summary, read_certificate
from certify.errors import BadInput
from certify.files import read_bytes
from certify.model.file import MAXIMUM_FILE_BYTES as MAXIMUM_MODEL_BYTES
from certify.progress import Progress
from certify.report.portrait import Outcome

VERIFIED, REJECTED, DECLINED, NO_VERDICT = "VERIFIED", "REJECTED", "DECLINED", "NONE"
EXIT_CODES = {VERIFIED: 0, REJECTED: 10, DECLINED: 20, NO_VERDICT: 20}
LETTERS = 26
MARGIN_BITS = 20
"""Margins of single parts are multiples of 2^-20.  (SPEC-8)"""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was when it was read: its name as given, where its bytes are kept, and their
    hash, empty if it could not be read.
    """

    name: str
    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate that was verified: what the checker verified, and what the file holds.

    ``said``: the theorem in the checker's own sentence.  ``outcomes``: what the checker derives of
    each part, by another run.
    """

    letter: str
    file: File
    verdict: Verdict
    summary: Summary
    said: str
    outcomes: Callable[[], Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate and how the checker ended on it.

    ``word``: its verdict, ``NONE`` if it gave none.  ``line``: the verdict line as it was printed,
    or what happened in its place.  ``proof`` is there where it verified.  ``letter``: how the page
    calls it.
    """

    letter: str
    file: File
    answer: Answer
    word: str
    line: str
    proof: Proof | None

    @property
    def exit_code(self) -> int:
        """Return the exit code that belongs to the verdict."""
        return EXIT_CODES[self.word]


@dataclass(frozen=True, slots=True)
class Run:
    """All certificates of one model, the checker that was run, and when."""

    model: File
    checked: tuple[Checked, ...]
    checker_version: str
    checker_sha256: str
    python: str
    when: datetime

    @property
    def exit_code(self) -> int:
        """Return the exit code of the worst verdict."""
        return max(one.exit_code for one in self.checked)


@contextlib.contextmanager
def checked(
    model: Path,
    certificates: Sequence[Path],
    time_limit: int | None,
    progress: Progress,
) -> Iterator[Run]:
    """Yield what the checker says of each certificate, in the order given.

    Ensures: the bytes that were checked are those whose hashes are told, and ``outcomes`` can be
             asked for within the ``with``.  A file that cannot be read is left to the checker,
             which declines it.
    Errors:  ``CertifyError`` if there is no checker.
    Cost:    a run of the checker for each certificate.
    """
    options = [] if time_limit is None else [f"--time-limit={time_limit}"]
    with tempfile.TemporaryDirectory(prefix="certify-report-") as folder:
        kept = _kept(model, Path(folder) / "model.safetensors", MAXIMUM_MODEL_BYTES)
        version = run_checker(["--version"]).stdout.strip()
        when = datetime.now(UTC)
        found = []
        for number, path in enumerate(certificates):
            progress(number, len(certificates), path.name)
            target = Path(folder) / f"certificate-{number}.json"
            certificate = _kept(path, target, MAXIMUM_FILE_BYTES)
            found.append(_check(_letter(number), kept, certificate, options))
        progress(len(certificates), len(certificates), "")
        digest = sha256_of(archive())
        yield Run(kept, tuple(found), version, digest, platform.python_version(), when)


def sha256_of(data: bytes) -> str:
    """Return the hash of bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _kept(path: Path, target: Path, maximum: int) -> File:
    """Copy a file, so that what is checked, hashed and drawn is the same."""
    try:
        data = read_bytes(path, maximum)
    except BadInput:
        return File(path.name, path, "", 0)
    target.write_bytes(data)
    return File(path.name, target, sha256_of(data), len(data))


def _letter(number: int) -> str:
    """Return A, B, .. Z, and numbers from 27 on."""
    return chr(ord("A") + number) if number < LETTERS else str(number + 1)


def _check(letter: str, model: File, certificate: File, options: Sequence[str]) -> Checked:
    answer = ask(model.path, certificate.path, *options, inherit_output=False)
    word, line = _word(answer)
    if word != VERIFIED:
        return Checked(letter, certificate, answer, word, line, None)
    verdict = answer.verdict()
    about = (f"sha256:{model.sha256}", f"sha256:{certificate.sha256}")
    if (verdict.fields["model"], verdict.fields["certificate"]) != about:
        line = "no verdict: the checker read other bytes than this page"
        return Checked(letter, certificate, answer, NO_VERDICT, line, None)

    @cache
    def outcomes() -> tuple[Outcome, ...]:
        again = ask(model.path, certificate.path, "--json", *options, inherit_output=False)
        return tuple(map(_outcome, again.facts()["cells"]))

    said = answer.report.splitlines()[0]
    summary = read_certificate(certificate.path)
    proof = Proof(letter, certificate, verdict, summary, said, outcomes)
    return Checked(letter, certificate, answer, word, line, proof)


def _word(answer: Answer) -> tuple[str, str]:
    """Return verdict and verdict line; exit code and words have to agree."""
    line = answer.last_line
    if answer.verified:
        return VERIFIED, line
    for word in (REJECTED, DECLINED):
        if answer.code == EXIT_CODES[word] and line.startswith(f"s {word} "):
            return word, line
    return NO_VERDICT, f"no verdict: the checker ended with exit code {answer.code}"


def _outcome(row: Sequence[Any]) -> Outcome:
    lower, upper, size, margin = row
    exact = None if margin is None else Fraction(int(margin), 1 << MARGIN_BITS)
    return Outcome(int(lower), int(upper), int(size), exact)


def as_utc(when: datetime) -> str:
    """Return a time for a reader."""
    return when.strftime("%Y-%m-%d %H:%M UTC")
