"""A rung of a ladder: what ``certify prove`` would be given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["quick", "default", "all"]


@dataclass(frozen=True, slots=True)
class Rung:
    """One proof: its name, the strategy, the options given to it, and the row of the ladder it
    belongs to.
    """

    name: str
    strategy: str
    options: tuple[tuple[str, str], ...]
    group: str

    def arguments(self) -> list[str]:
        """Return the options of ``certify prove`` that select this proof."""
        return [
            "--strategy",
            self.strategy,
            *(part for key, value in self.options for part in (f"--{key}", value)),
        ]

    def spelled(self) -> str:
        """Return strategy and options as they are typed."""
        return " ".join([self.strategy, *self.arguments()[2:]])

    def option(self, key: str, default: str = "") -> str:
        """Return one option, or the default."""
        return dict(self.options).get(key, default)
