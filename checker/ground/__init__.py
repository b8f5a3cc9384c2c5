"""What every rule stands on: refusals, decoding, exact numbers, enclosures, the ledger.  (SPEC-3,
SPEC-6, SPEC-8)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")
Other = TypeVar("Other")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """Return the class as a frozen dataclass with slots: nothing of it changes once it is made."""
    return dataclass(frozen=True, slots=True)(kind)


def paired(
    ones: Iterable[T],
    others: Iterable[Other],
) -> Iterator[tuple[T, Other]]:
    """Yield the pairs of two lists of the same length; that they are not is an error, never a
    verdict.
    """
    return zip(ones, others, strict=True)
