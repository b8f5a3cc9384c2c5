"""What every rule stands on: refusals, decoding, exact numbers, enclosures, the ledger.  (SPEC-3,
SPEC-6, SPEC-8)
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """Return the class as a frozen dataclass with slots: nothing of it changes once it is made."""
    return dataclass(frozen=True, slots=True)(kind)
