"""What a family says about its ladder: the rungs, and how they are written, drawn and tabulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from certify.columns import Columns
from certify.ladder.climb import Details, Ladder, Row
from certify.ladder.rung import Level, Rung
from certify.model.config import Config


def _no_details(proof: Mapping[str, Any]) -> dict[str, int | None]:
    return {}


def _nothing_of_row(ladder: Ladder, row: Row) -> dict[str, Any]:
    return {}


def _nothing_more(ladder: Ladder) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Form:
    """The ladder of one family.

    ``rungs``: per level, what to run and what to list as not run.  ``columns``: of the CSV file.
    ``sizes``: what the JSON file says of the model.  ``draw``: the picture, as bytes of a format
    (``.svg``, ``.png`` or ``.pdf``).  ``table``: the verified rungs, for a reader.
    ``details``: what is told of a proof beside its bounds.  ``more_of_row``, ``more``: what the
    JSON file has besides, of a row and of the whole.
    """

    rungs: Callable[[Level], tuple[tuple[Rung, ...], tuple[Rung, ...]]]
    columns: tuple[str, ...]
    sizes: Callable[[Config], dict[str, Any]]
    draw: Callable[[Ladder, str], bytes]
    table: Callable[[Ladder], Columns]
    details: Details = _no_details
    more_of_row: Callable[[Ladder, Row], dict[str, Any]] = _nothing_of_row
    more: Callable[[Ladder], dict[str, Any]] = _nothing_more
