"""A certificate as read, for a human summary.  Nothing here is verified.

The numbers are the certificate's own claims; ``certify verify`` says whether they hold.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from certify.certificate.document import FORMAT, MAXIMUM_FILE_BYTES
from certify.columns import Columns
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.model.config import Config, config_from_dict
from certify.question.domain import Domain, domain_of
from certify.question.rules import spelled_task
from certify.question.scope import Scope, read_scope


@dataclass(frozen=True, slots=True)
class Summary:
    """A certificate as read: its file, its statement and its proof, the strategy's name, and the
    operations that it declares.
    """

    path: Path
    statement: dict[str, Any]
    proof: dict[str, Any]
    strategy: str
    operations: int

    @property
    def task(self) -> str:
        """Return the task as ``--task`` spells it, without files."""
        return spelled_task(self.statement["task"])

    @property
    def config(self) -> Config:
        """Return the architecture."""
        return config_from_dict(self.statement["architecture"], str(self.path))

    @property
    def domain(self) -> Domain:
        """Return the domain."""
        return domain_of(self.statement["domain"], self.config, str(self.path))

    @property
    def scope(self) -> str:
        """Return the scope as the command line spells it, a file's by its kind."""
        scope = self.statement["scope"]
        if isinstance(scope, str):
            return scope
        ((kind, about),) = scope.items()
        return kind if kind == "product" else f"{kind}:{about}"

    @property
    def counted(self) -> Scope:
        """Return the scope: which inputs count, and how much."""
        spelled = self.statement["scope"]
        if isinstance(spelled, dict) and "product" in spelled:
            rows = spelled["product"]
            return Scope("product", tuple(tuple(int(weight) for weight in row) for row in rows))
        return read_scope(self.scope)

    @property
    def total(self) -> int:
        """Return what the domain counts."""
        return int(self.statement["total"])

    @property
    def bounds(self) -> tuple[int, int]:
        """Return what is claimed to be right, at least and at most."""
        return int(self.statement["correct_lower"]), int(self.statement["correct_upper"])


@dataclass(frozen=True, slots=True)
class Showing:
    """What a family can show of a proof of its kind.

    ``tables`` has the largest number of weakest groups as its second argument.  ``wrong`` yields
    the inputs that are claimed to be wrong; ``lost`` returns the groups that prove less than in
    another certificate.  Both are None where there is no such thing.
    """

    tables: Callable[[Summary, int], list[Columns]]
    wrong: Callable[[Summary], Iterator[tuple[int, ...]]] | None = None
    lost: Callable[[Summary, Summary], Columns] | None = None


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a certificate's values into ``BadInput``."""
    try:
        yield
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else "it is malformed"
        raise BadInput(f"{path}: not a certificate: {reason}") from error


def read_certificate(path: Path) -> Summary:
    """Return a certificate file as read.

    Errors: ``BadInput`` if it cannot be read or is not a certificate; ``Unsupported`` for another
            format version.
    Cost:   linear in the file.
    """
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    with reading(path):
        whole = json.loads(data)
        found = whole["format"]
        if found != FORMAT:
            raise Unsupported(f"{path}: field format is {str(found)[:40]!r}, not {FORMAT!r}")
        proof = dict(whole["proof"])
        strategy, operations = str(proof["strategy"]), int(proof["operations"])
        return Summary(path, dict(whole["statement"]), proof, strategy, operations)


def margin_of(item: dict[str, Any]) -> Fraction | None:
    """Return the margin that a cell or a leaf claims, if it claims one."""
    if "margin" not in item:
        return None
    mantissa, exponent = item["margin"]
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def shown(margins: list[Fraction | None]) -> str:
    """Return the smallest of the margins that are known, as text; empty if none is."""
    least = min((margin for margin in margins if margin is not None), default=None)
    return "" if least is None else f"{float(least):.6f}"
