"""Names beside the dots of a picture, each where nothing else is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """The axes of a panel, lengths on a log scale: the ends of both."""

    x: Point
    y: Point
    vertical: ClassVar[str] = "linear"

    def share(self, x: float, y: float) -> Point:
        """Return the place of a point as shares of the panel's width and height."""
        return _log_share(x, self.x), (y - self.y[0]) / (self.y[1] - self.y[0])


@dataclass(frozen=True, slots=True)
class LogScale(Scale):
    """The axes of a panel with heights on a log scale too."""

    vertical: ClassVar[str] = "log"

    def share(self, x: float, y: float) -> Point:
        """Return the place of a point as shares of the panel's width and height."""
        return _log_share(x, self.x), _log_share(y, self.y)


def _log_share(value: float, ends: Point) -> float:
    return math.log(value / ends[0]) / math.log(ends[1] / ends[0])


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle in shares of the panel."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: _Box) -> bool:
        """Return whether the two overlap."""
        apart = (
            self.right < other.left
            or other.right < self.left
            or self.top < other.bottom
            or other.top < self.bottom
        )
        return not apart


class Labels:
    """Writes names beside dots where nothing else is, with a line to the dot if that is further
    off.
    """

    LETTER, LINE, DOT, GAP = 0.0125, 0.034, 0.009, 0.016
    FURTHEST = 30
    PAPER = "white"

    def __init__(self, axes: Any, scale: Scale) -> None:
        """Begin with an empty panel."""
        self.axes, self.scale, self.taken = axes, scale, list[_Box]()

    def occupy(self, x: float, y: float) -> None:
        """Keep the place of a dot free of names."""
        across, up = self.scale.share(x, y)
        self.taken.append(_Box(across - self.DOT, up - self.DOT, across + self.DOT, up + self.DOT))

    def write(self, name: str, dot: tuple[float, float], colour: str) -> None:
        """Write a name at the free place next to its dot."""
        across, up = self.scale.share(*dot)
        width = self.LETTER * len(name)
        for move, aside in self._moves(width):
            left, middle = across + self.GAP + aside, up + move
            box = _Box(left, middle - self.LINE / 2, left + width, middle + self.LINE / 2)
            inside = box.left >= 0 and box.right <= 1 and box.bottom >= 0 and box.top <= 1
            if inside and not any(box.meets(other) for other in self.taken):
                self.taken.append(box)
                arrow = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 3}
                self.axes.annotate(
                    name,
                    dot,
                    xytext=(left, middle),
                    textcoords="axes fraction",
                    va="center",
                    fontsize=9,
                    color=colour,
                    bbox={
                        "boxstyle": "square,pad=0.05",
                        "fc": self.PAPER,
                        "ec": "none",
                        "alpha": 0.8,
                    },
                    arrowprops=arrow if abs(move) > self.LINE or aside else None,
                )
                return

    def _moves(self, width: float) -> list[tuple[float, float]]:
        """Return how far up and aside a name may move from its dot, the nearest first."""
        steps = [
            (0.01 * up, 0.02 * aside)
            for up in range(-self.FURTHEST, self.FURTHEST + 1)
            for aside in range(self.FURTHEST)
        ]
        steps += [(up, -width - 2 * self.GAP - aside) for up, aside in steps if aside < width]
        return sorted(
            steps, key=lambda step: abs(step[0]) + abs(step[1] + (width if step[1] < 0 else 0))
        )
