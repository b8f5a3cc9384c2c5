"""The loop that every proof goes through: draft, check, claim, verify.

There is no exact arithmetic here.  A family drafts a document whose claims are the weakest
possible, is told what the checker derived from it and how many operations that took, and at last
claims these numbers; or it claims at once what it expects, so that one run does.  Only a claim that
the checker verified is put in its place.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from certify.certificate.client import Answer, Verdict, ask, is_nothing
from certify.certificate.document import Document, encoded
from certify.certificate.job import Job
from certify.errors import CheckerRejected, ProvesNothing
from certify.files import write_bytes
from certify.model.file import file_of


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that claims nothing: the answer is what the checker derives, as facts."""

    document: Document


@dataclass(frozen=True, slots=True)
class Claim:
    """A document that claims something: the answer comes only if it was not verified, or if more
    than ``unsaid`` of the domain was verified beyond what either bound claims.

    ``unexplained_dimension``: how many numbers of the model the proof looks at one by one.
    """

    document: Document
    unexplained_dimension: int
    unsaid: Fraction = Fraction(1)

    def says_enough(self, verdict: Verdict) -> bool:
        """Return whether its bounds are as close to those of its verdict as they have to be."""
        said = self.document["statement"]
        above = verdict.correct_lower - int(said["correct_lower"])
        below = int(said["correct_upper"]) - verdict.correct_upper
        return max(above, below) <= self.unsaid * verdict.total


Drafting: TypeAlias = Generator[Draft | Claim, Answer, None]
"""What a family does for a job: it is sent the answer to each document that it yields."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that the checker has verified, and where the time went, in seconds."""

    data: bytes
    verdict: Verdict
    prover_seconds: float
    unexplained_dimension: int

    @property
    def document(self) -> Document:
        """Return the certificate as JSON values."""
        found: Document = json.loads(self.data)
        return found

    def save(self, path: Path | str) -> None:
        """Write the certificate to a file, in one step.

        Errors: ``BadInput`` if it cannot be written.
        """
        write_bytes(Path(path), self.data)


def finish(job: Job, drafting: Drafting) -> Certificate:
    """Return what a family proves for a job; it is at ``job.out`` if that is a path.

    Ensures: the certificate has been verified by the checker; where this fails, ``job.out`` is as
             it was before.
    Errors:  those of the family; ``ProvesNothing`` if what is claimed holds for every model;
             ``CheckerRejected`` if the checker does not verify what is claimed, which is a defect
             of the prover.
    Cost:    that of the strategy, and a run of the checker for each document.
    """
    start, checking = time.monotonic(), 0.0
    model_file, last_line = file_of(job.model), "nothing was claimed"
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        file = Path(folder) / "certificate.json"
        asked = next(drafting, None)
        while asked is not None:
            data = encoded(asked.document)
            file.write_bytes(data)
            if isinstance(asked, Claim):
                require_something(job, asked.document)
                answer = ask(model_file, file, f"--jobs={job.jobs}")
                checking, last_line = checking + answer.seconds, answer.last_line
                if answer.verified and asked.says_enough(answer.verdict()):
                    if job.out is not None:
                        write_bytes(job.out, data)
                    prover = time.monotonic() - start - checking
                    return Certificate(data, answer.verdict(), prover, asked.unexplained_dimension)
            else:
                answer = ask(model_file, file, "--json", f"--jobs={job.jobs}")
                checking += answer.seconds
            try:
                asked = drafting.send(answer)
            except StopIteration:
                asked = None
    raise CheckerRejected(f"the finished certificate was not verified: {last_line}")


def require_something(job: Job, document: Document) -> None:
    """Refuse a document whose bounds hold for every model.

    Errors: ``ProvesNothing``.
    """
    if is_nothing(document["statement"]):
        raise nothing(job)


def nothing(job: Job) -> ProvesNothing:
    """Return the failure of a strategy that shows nothing."""
    return ProvesNothing(f"strategy {job.strategy.name} proves nothing of this model")
