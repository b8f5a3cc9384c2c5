"""A table of a TOML file, read key by key; whatever is left over is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from certify.errors import BadInput


class TableReader:
    """One table: each key is taken once, and ``finish`` refuses those that nobody took.

    Every failure is ``BadInput`` with the file and the key, as in
    ``study.toml: strategies[1].effort must be a number``.
    """

    def __init__(self, file: str, where: str, table: object) -> None:
        """Begin with a table; ``where`` is empty for the whole file."""
        self.file, self.where = file, where
        if not isinstance(table, dict):
            raise BadInput(f"{file}: {where} must be a table")
        self.table: dict[str, Any] = table
        self.taken: list[str] = []

    def refused(self, key: str, why: str) -> BadInput:
        """Return the failure of one key."""
        return BadInput(f"{self.name(key)} {why}")

    def name(self, key: str) -> str:
        """Return the file and the whole name of a key."""
        return f"{self.file}: {self.where}.{key}" if self.where else f"{self.file}: {key}"

    def take(self, key: str) -> Any:
        """Return the value of a key, None if it is not there."""
        self.taken.append(key)
        return self.table.get(key)

    def text(self, key: str, usual: str | None = None) -> str | None:
        """Return a text."""
        found = self.take(key)
        if found is None:
            return usual
        if not isinstance(found, str) or not found:
            raise self.refused(key, "must be a text")
        return found

    def choice(self, key: str, usual: str, known: tuple[str, ...]) -> str:
        """Return one of some texts."""
        found = self.text(key, usual)
        if found not in known:
            raise self.refused(key, f"is {found!r}, not one of {', '.join(known)}")
        return found

    def texts(self, key: str, usual: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a text or a list of texts, at least one; required where nothing is usual."""
        found = self.take(key)
        if found is None and usual is not None:
            return usual
        listed = found if isinstance(found, list) else [found]
        if not listed or not all(isinstance(text, str) and text for text in listed):
            raise self.refused(key, "must be a text or a list of texts")
        return tuple(listed)

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a positive number or a list of them; empty if the key is not there."""
        found = self.take(key)
        if found is None:
            return ()
        listed = found if isinstance(found, list) else [found]
        if not listed or not all(_is_positive(number) for number in listed):
            raise self.refused(key, "must be a positive number or a list of them")
        return tuple(listed)

    def number(self, key: str) -> float | None:
        """Return a positive number."""
        found = self.take(key)
        if found is None:
            return None
        if not _is_positive(found):
            raise self.refused(key, "must be a positive number")
        return float(found)

    def whole(self, key: str, usual: int | None = None, least: int = 1) -> int | None:
        """Return a whole number."""
        found = self.take(key)
        if found is None:
            return usual
        if not isinstance(found, int) or isinstance(found, bool) or found < least:
            raise self.refused(key, f"must be a whole number of at least {least}")
        return found

    def inner(self, key: str) -> TableReader:
        """Return the table below a key, an empty one if it is not there."""
        found = self.take(key)
        where = f"{self.where}.{key}" if self.where else key
        return TableReader(self.file, where, {} if found is None else found)

    def each(self, key: str) -> list[TableReader]:
        """Return the tables of a list of tables, ``[[key]]`` in TOML."""
        found = self.take(key)
        listed = [] if found is None else found
        if not isinstance(listed, list):
            raise self.refused(key, f"must be a list of tables, written [[{key}]]")
        return [TableReader(self.file, f"{key}[{i}]", table) for i, table in enumerate(listed)]

    def finish(self) -> None:
        """Refuse every key that was not taken."""
        for key in self.table:
            if key not in self.taken:
                known = ", ".join(dict.fromkeys(self.taken))
                raise self.refused(key, f"is not known here, known are {known}")


def _is_positive(number: object) -> bool:
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    return is_number and math.isfinite(number) and number > 0  # type: ignore[arg-type, operator]


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are there."""
    return {key: value for key, value in table.items() if value is not None}
