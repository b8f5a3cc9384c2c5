"""A table for a reader, before anything decides how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Columns:
    """A title, the heads of the columns, the rows as text, and a note that goes below."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""
