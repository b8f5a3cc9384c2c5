"""The triangulation of answers in the plane over which their heights are concave.

It is the upper hull of the points (place, height), wrapped edge by edge: over an outer edge of the
convex hull, and over each edge that is found, the next corner is the one with which the plane of
all three is the flattest.  In float64: where answers are nearly in one plane the checker may refuse
it, and then there is no proof of this kind.

Source: regular triangulations as lifted hulls (Gelfand, Kapranov, Zelevinsky).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLAT = 1e-12
"""An area below this share of the largest possible is none."""


def triangulation(places: Array, heights: Array) -> dict[str, Any] | None:
    """Return the hint ``plane`` of SPEC-15.5 for answers at these places, rows of two numbers; None
    where they lie on one line.

    Cost: about 2 k steps over k answers.
    """
    spread = places - places.mean(axis=0)
    size = float(np.abs(spread).max(initial=0.0)) or 1.0
    points = spread / size
    edge = _outer_edge(points)
    if edge is None:
        return None
    triangles: list[tuple[int, int, int]] = []
    done: set[tuple[int, int]] = set()
    open_edges = [edge]
    while open_edges:
        a, b = open_edges.pop()
        if (a, b) in done:
            continue
        c = _third(points, heights, a, b)
        if c is None:
            done.add((a, b))
            continue
        triangles.append((a, b, c))
        done.update(((a, b), (b, c), (c, a)))
        open_edges += [(y, x) for x, y in ((a, b), (b, c), (c, a)) if (y, x) not in done]
    return {"triangles": [list(one) for one in triangles], "inside": _inside(points, triangles)}


def _turns(points: Array, a: int, b: int) -> Array:
    """Return twice the area of a, b and each point, positive to the left."""
    along = points[b] - points[a]
    to = points - points[a]
    found: Array = along[0] * to[:, 1] - along[1] * to[:, 0]
    return found


def _outer_edge(points: Array) -> tuple[int, int] | None:
    """Return an edge of the convex hull with all points to its left; None if there is no area."""
    first = int(np.lexsort((points[:, 1], points[:, 0]))[0])
    best = -1
    for other in range(len(points)):
        away = points[other] - points[first]
        if not away.any():
            continue
        turn = 1.0 if best < 0 else -_turns(points, first, best)[other]
        near = best >= 0 and turn == 0.0
        if near:
            turn = float(np.abs(away).sum() - np.abs(points[best] - points[first]).sum())
        if turn > 0.0:
            best = other
    if best < 0 or not (_turns(points, first, best) > FLAT).any():
        return None
    return first, best


def _third(points: Array, heights: Array, a: int, b: int) -> int | None:
    """Return the corner to the left of an edge with which no point there is above the plane."""
    areas = _turns(points, a, b)
    left = areas > FLAT
    if not left.any():
        return None
    along = points[b] - points[a]
    share = (points - points[a]) @ along / float(along @ along)
    above = heights - heights[a] - share * (heights[b] - heights[a])
    slopes = np.full(len(points), -np.inf)
    np.divide(above, areas, out=slopes, where=left)
    return int(slopes.argmax())


def _inside(points: Array, triangles: list[tuple[int, int, int]]) -> list[list[int]]:
    """Return every point that is no corner with the number of the triangle that holds it best."""
    corners = np.array(triangles)
    others = sorted(set(range(len(points))) - set(corners.ravel().tolist()))
    found = []
    for j in others:
        shares = []
        for first, second in ((1, 2), (2, 0), (0, 1)):
            start, end = points[corners[:, first]], points[corners[:, second]]
            along, to = end - start, points[j] - start
            shares.append(along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0])
        found.append([j, int(np.min(shares, axis=0).argmax())])
    return found
