"""What came of a sweep, as files: the same bytes however often it was interrupted.

Seconds, and where a job ran, are in ``timing.json`` alone.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certify.decimals import cut, raised
from certify.errors import CertifyError, CheckerRejected, Unsupported
from certify.files import write_bytes
from certify.ladder.climb import FAILED, OUTCOMES
from certify.question.domain import PARTS
from certify.sweep.plan import WORKER
from certify.sweep.work import TRAINED

FORMAT = "certify.sweep/1"
DIGITS = 15
COLUMNS = (
    *("key", "names", "model", "task", *PARTS, "scope", "strategy", "options", "label", "group"),
    *("semantics", "eps-exp", "eta-exp", "verdict", "checked-by", "reason"),
    *("correct_lower", "correct_upper", "total", "accuracy_lower", "accuracy_upper"),
    *("margin_lower", "operations", "bytes", "certificate", "line"),
)
"""Of a row, in the order of the table."""
NUMBERS = ("operations", "bytes")
REJECTED = OUTCOMES[CheckerRejected.exit_code]


@dataclass(frozen=True, slots=True)
class Row:
    """One proof of the sweep: its key, the model's names, all that it depends on, how it is called
    for a reader, and the record of how it ended.
    """

    key: str
    names: tuple[str, ...]
    identity: Mapping[str, Any]
    label: str
    group: str
    record: Mapping[str, Any]

    @property
    def verdict(self) -> str:
        """Return VERIFIED, PROVES 0, DECLINED, REJECTED, NOT RUN, STOPPED or FAILED."""
        return str(self.record["verdict"])

    def facts(self) -> dict[str, Any]:
        """Return the row as JSON values, without seconds; what is not known is null, and exact
        integers that may be large are strings.
        """
        known: dict[str, Any] = {
            **self.identity,
            "key": self.key,
            "names": list(self.names),
            "label": self.label,
            "group": self.group,
        }
        known |= {
            column: self.record[column]
            for column in ("verdict", "reason", "checked-by", "operations", "bytes", "line")
            if column in self.record
        }
        fields = self.record.get("fields")
        if fields is not None:
            known |= bounds(fields)
            known["margin_lower"] = fields.get("margin_lower")
            known["certificate"] = self.record["certificate"]
        return {column: known.get(column) for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """One training of the sweep, and the record of how it ended."""

    key: str
    name: str
    task: str
    options: Mapping[str, Any]
    record: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "key": self.key,
            "name": self.name,
            "task": self.task,
            "options": dict(self.options),
            "verdict": self.record["verdict"],
            "reason": self.record["reason"],
            "model": self.record.get("made_model"),
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """All results, sorted by key; ``complete`` unless the sweep was interrupted."""

    rows: tuple[Row, ...]
    trainings: tuple[TrainedRow, ...]
    versions: Mapping[str, str]
    complete: bool

    def counts(self) -> dict[str, int]:
        """Return how many rows there are by verdict, one that was not checked here by itself."""
        found: dict[str, int] = {}
        for row in self.rows:
            trusted = row.record.get("checked-by") == WORKER
            told = f"{row.verdict} checked-by={WORKER}" if trusted else row.verdict
            found[told] = found.get(told, 0) + 1
        return dict(sorted(found.items()))

    def failures(self) -> list[str]:
        """Return a line for each training and each proof that failed or was rejected."""
        trained = [
            f"{one.name}: {one.record['verdict']}: {one.record['reason']}"
            for one in self.trainings
            if one.record["verdict"] != TRAINED
        ]
        return trained + [
            f"{row.names[0]}: {row.label}: {row.verdict}: {row.record['reason']}"
            for row in self.rows
            if row.verdict in (FAILED, REJECTED)
        ]

    def exit_code(self) -> int:
        """Return 10 if a certificate was rejected, 20 if something failed, else 0."""
        if any(row.verdict == REJECTED for row in self.rows):
            return CheckerRejected.exit_code
        return CertifyError.exit_code if self.failures() else 0


def bounds(fields: Mapping[str, str]) -> dict[str, str]:
    """Return what a verdict line proves, in texts: exact integers, and the accuracy rounded away
    from what was not proved.
    """
    lower, upper, total = (int(fields[key]) for key in ("correct_lower", "correct_upper", "total"))
    return {
        "correct_lower": str(lower),
        "correct_upper": str(upper),
        "total": str(total),
        "accuracy_lower": cut(lower, total, DIGITS),
        "accuracy_upper": raised(upper, total, DIGITS),
    }


def write_results(folder: Path, found: Sweep, *, parquet: bool) -> None:
    """Write the files of a sweep.

    Errors: ``BadInput`` if a file cannot be written; ``Unsupported`` where pyarrow is not there.
    """
    write_bytes(folder / "results.json", as_json(found))
    write_bytes(folder / "results.csv", as_csv(found))
    write_bytes(folder / "timing.json", _as_text(timing(found)))
    if parquet:
        write_bytes(folder / "results.parquet", as_parquet(found))


def _as_text(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode("ascii") + b"\n"


def as_json(found: Sweep) -> bytes:
    """Return the results as a JSON file."""
    return _as_text(
        {
            "format": FORMAT,
            **found.versions,
            "complete": found.complete,
            "trainings": [one.facts() for one in found.trainings],
            "rows": [row.facts() for row in found.rows],
        }
    )


def timing(found: Sweep) -> dict[str, Any]:
    """Return by key what took how many seconds, and where a job ran."""
    records = {row.key: row.record for row in found.rows}
    records |= {one.key: one.record for one in found.trainings}
    return {
        key: {"seconds": dict(record["seconds"]), "place": record["place"]}
        for key, record in records.items()
    }


def _cells(row: Row) -> dict[str, Any]:
    """Return a row with texts and whole numbers alone."""
    facts = row.facts()
    options = " ".join(f"{key}={value}" for key, value in sorted(facts["options"].items()))
    return {**facts, "names": " ".join(facts["names"]), "options": options}


def as_csv(found: Sweep) -> bytes:
    """Return the proofs as a CSV file, one line each; what is not known is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_cells(row) for row in found.rows)
    return text.getvalue().encode()


def require_pyarrow() -> None:
    """Refuse, before any time is spent, a table that could not be written.

    Errors: ``Unsupported``.
    """
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415  (optional)
    except ImportError as error:
        raise Unsupported("--parquet needs pyarrow: pip install pyarrow") from error


def as_parquet(found: Sweep) -> bytes:
    """Return the proofs as a Parquet file, with the columns of the CSV file.

    Errors: ``Unsupported`` where pyarrow is not there.
    """
    require_pyarrow()
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = [_cells(row) for row in found.rows]
    kinds = [(name, pa.int64() if name in NUMBERS else pa.string()) for name in COLUMNS]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), buffer)
    return buffer.getvalue()
