"""Exact shares as decimals that never cross the bound they stand for."""

from __future__ import annotations


def cut(part: int, total: int, digits: int = 10) -> str:
    """Return ``part / total`` with so many decimals, rounded down.

    Requires: 0 <= part, 0 < total.
    """
    return _spelled(part * 10**digits // total, digits)


def raised(part: int, total: int, digits: int = 10) -> str:
    """Return ``part / total`` with so many decimals, rounded up.

    Requires: 0 <= part, 0 < total.
    """
    return _spelled(-(-part * 10**digits // total), digits)


def _spelled(scaled: int, digits: int) -> str:
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
