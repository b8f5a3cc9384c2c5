"""The files of an experiment: the same bytes however often it was interrupted.

Seconds are in ``timing.json`` alone.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from certify.canonical import canonical_text
from certify.files import read_bytes, write_bytes
from certify.lab.kinds import Facts
from certify.sweep.store import LARGEST_RECORD, Store

FORMAT = "certify.lab/1"
LIBRARIES = ("numpy", "torch")


def libraries() -> dict[str, str | None]:
    """Return the versions of what computes, None for one that is not there."""
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def write_results(
    store: Store, results: Facts, rows: Iterable[Mapping[str, Any]], used: Mapping[str, str]
) -> None:
    """Write ``results.json``, ``results.csv`` and ``timing.json``.

    Errors: ``BadInput`` if a file cannot be written.
    """
    write_bytes(store.folder / "results.json", _as_text(results))
    write_bytes(store.folder / "results.csv", _as_table(list(rows)))
    write_bytes(store.folder / "timing.json", _as_text(_timing(store, used)))


def _as_text(value: object) -> bytes:
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def _as_table(rows: list[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV, what is not known left empty, lists and tables as JSON."""
    text = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(row.get(column)) for column in columns} for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return canonical_text(value) if isinstance(value, (list, dict)) else value


def _timing(store: Store, used: Mapping[str, str]) -> Facts:
    """Return seconds and place of every training, proof and step, by key."""
    found: Facts = {}
    for key, name in sorted(used.items()):
        record = json.loads(read_bytes(store.folder / "jobs" / f"{key}.json", LARGEST_RECORD))
        known = {"what": name, "seconds": record["seconds"], "place": record["place"]}
        if "certificate" in record:
            known["certificate"] = record["certificate"]
        found[key] = known
    return found
