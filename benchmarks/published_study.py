"""The published study, made sound: train, prove, check, and print our table beside theirs.

    python -m benchmarks.published_study benchmarks/published-study-smoke.toml --out build/smoke
    python -m benchmarks.published_study benchmarks/published-study.toml --out build/study --jobs 2

It is a sweep (``certify sweep``) and then, for each kind of model (k and vocabulary), two tables
and a picture in the same folder: ``study.md``, ``study.json`` and ``study-k4-v64.svg``.  The same
command goes on where it was interrupted; on a sweep that is done it only tabulates.

Published figures are those of ``certify.cells.published``: for each of 151 seeds the best
configuration of each row, as a share of that seed's accuracy.  Ours are the same with the best
upper bound in place of the accuracy, which makes them no larger than they are.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.ladder import TASK, spread, tables
from certify import families
from certify.cells.published import BRUTE_FORCE, GROUPS, Reference, references
from certify.cells.rungs import OWN_GROUPS
from certify.certificate.document import MAXIMUM_FILE_BYTES
from certify.command.console import progress_bar
from certify.errors import CertifyError
from certify.files import read_bytes, write_bytes
from certify.ladder.climb import Ladder, Proof, Row
from certify.ladder.file import facts
from certify.ladder.form import Form
from certify.ladder.labels import Scale
from certify.ladder.plot import GREY, STYLE, fix_axes, require_matplotlib, saved
from certify.ladder.rung import Rung
from certify.model.file import load_model
from certify.question.question import read_question
from certify.sweep.plan import REAL
from certify.sweep.results import Row as Found
from certify.sweep.results import Sweep
from certify.sweep.run import LOCAL, run_sweep

Facts = dict[str, Any]
Kind = tuple[int, int]
"""Length of the input and vocabulary."""
VERIFIED = "VERIFIED"


def ladders(found: Sweep, folder: Path) -> dict[Kind, list[Facts]]:
    """Return the ladder of each model as JSON values, by kind of model and name."""
    _, form = families.with_ladder(TASK)
    by_model: dict[str, list[Found]] = defaultdict(list)
    for row in found.rows:
        if row.identity["task"] == TASK and row.identity["semantics"] == REAL:
            by_model[row.identity["model"]].append(row)
    by_kind: dict[Kind, list[Facts]] = defaultdict(list)
    for digest, rows in sorted(by_model.items(), key=lambda item: item[1][0].names):
        ladder = _ladder(folder, digest, rows, form)
        kind = (ladder.config.n_ctx, ladder.config.d_vocab)
        by_kind[kind].append({**facts(ladder, form), "name": rows[0].names[0]})
    return dict(sorted(by_kind.items()))


def _ladder(folder: Path, digest: str, rows: Sequence[Found], form: Form) -> Ladder:
    """Return the ladder of one model, its rungs in the order of the table."""
    order = [*GROUPS, *OWN_GROUPS]
    model = load_model(folder / "models" / f"{digest}.safetensors")

    def place(row: Found) -> tuple[int, str]:
        return order.index(row.group) if row.group in order else len(order), row.label

    made = tuple(_row(folder, row, form) for row in sorted(rows, key=place))
    return Ladder(digest, model.config, made, read_question(TASK, model.config))


def _row(folder: Path, row: Found, form: Form) -> Row:
    """Return the row of a ladder for a proof of a sweep."""
    options = tuple((key, f"{value}") for key, value in sorted(row.identity["options"].items()))
    rung = Rung(row.label, row.identity["strategy"], options, row.group)
    if row.verdict != VERIFIED:
        return Row(rung, row.verdict, row.record["reason"])
    record, fields = row.record, row.record["fields"]
    file = folder / "certificates" / f"{record['certificate']}.json"
    seconds: Mapping[str, float] = record["seconds"]
    proof = Proof(
        operations=record["operations"],
        lower=int(fields["correct_lower"]),
        upper=int(fields["correct_upper"]),
        bytes=record["bytes"],
        prover_seconds=seconds["prover"],
        checker_seconds=seconds.get("checked", seconds["checker"]),
        details=form.details(json.loads(read_bytes(file, MAXIMUM_FILE_BYTES))["proof"]),
    )
    return Row(rung, row.verdict, "", proof)


def text_of(by_kind: Mapping[Kind, Sequence[Facts]], found: Sweep) -> str:
    """Return the whole study as Markdown."""
    lines = ["# The published study, every bound checked", ""]
    told = ", ".join(f"{name} {version[:16]}" for name, version in found.versions.items())
    lines += [f"{told}; {'complete' if found.complete else 'NOT COMPLETE'}", ""]
    for (k, vocab), models in by_kind.items():
        lines += list(_section(k, vocab, models))
    lines += _failures(found)
    return "\n".join(lines)


def _section(k: int, vocab: int, models: Sequence[Facts]) -> Iterator[str]:
    """Yield the lines about one kind of model."""
    published = references(k, vocab)
    accuracies = [int(whole["best"]["correct_upper"]) / int(whole["total"]) for whole in models]
    yield f"# max-of-{k}, vocabulary {vocab}: {len(models)} seeds"
    yield ""
    known = f"Accuracy, at most: {spread(accuracies, 6)}"
    if published:
        true = next(iter(published.values())).true_accuracy
        known += f"; published true accuracy {true} (151 seeds)"
    yield from (known, "")
    yield from (line.replace("## ", "### ") for line in tables(models, published))
    yield ""


def _failures(found: Sweep) -> list[str]:
    failures = found.failures()
    return ["# Failed", "", *(f"- {line}" for line in failures), ""] if failures else []


def draw(k: int, vocab: int, models: Sequence[Facts], ending: str) -> bytes:
    """Return the ladder of one kind of model as a picture: for each row the mean over the seeds of
    its tightest proof, with one standard deviation, the published rows as squares.

    Requires: matplotlib is installed.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Brute force is so far off that it would squeeze all else into a corner.
    published = {group: row for group, row in references(k, vocab).items() if group != BRUTE_FORCE}
    ours = _means(models)
    lengths = [length for length, _, _ in ours.values()]
    for found in published.values():
        lengths += found.flops or ()
    ends = (min(lengths, default=1.0) / 1.5, max(lengths, default=10.0) * 1.5)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.4), layout="constrained")
        axes = figure.subplots()
        for group, found in published.items():
            _draw_published(axes, group, found)
        for group, (length, mean, deviation) in ours.items():
            axes.errorbar(
                length,
                mean,
                yerr=deviation,
                fmt="o",
                ms=6,
                capsize=2,
                color=_colour(group),
                label=group,
            )
        fix_axes(
            axes,
            Scale(ends, (-0.02, 1.06)),
            "operations of the checker (published: FLOPs)",
            (1.0, 2.0, 5.0),
        )
        axes.set_ylabel("bound, as a share of the model's accuracy")
        title = (
            f"max-of-{k}, vocabulary {vocab}: mean of {len(models)} seeds, ± 1 standard deviation"
        )
        axes.set_title(f"{title}; squares, lines: published", fontsize=10)
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
        return saved(figure, ending)


def _means(models: Sequence[Facts]) -> dict[str, tuple[float, float, float]]:
    """Return for each row the mean length, and mean and deviation of the bound, of each seed's
    tightest proof.
    """
    best: dict[str, list[Facts]] = defaultdict(list)
    for whole in models:
        tightest: dict[str, Facts] = {}
        for row in whole["rows"]:
            if row["verdict"] == VERIFIED:
                known = tightest.get(row["group"], row)
                tightest[row["group"]] = max(known, row, key=lambda one: one["normalised"])
        for group, row in tightest.items():
            best[group].append(row)
    found = {}
    for group, rows in best.items():
        bounds = [row["normalised"] for row in rows]
        deviation = statistics.stdev(bounds) if len(bounds) > 1 else 0.0
        length = statistics.fmean([row["operations"] for row in rows])
        found[group] = (length, statistics.fmean(bounds), deviation)
    return found


def _colour(group: str) -> str:
    from certify.cells.picture import COLOURS  # noqa: PLC0415

    return COLOURS.get(group, GREY)


def _draw_published(axes: Any, group: str, found: Reference) -> None:
    """Draw a published row with its name: a square at the middle of its FLOPs where they were
    published, a line across where they were not.
    """
    colour, name = _colour(group), {"fontsize": 8, "va": "bottom"}
    if found.flops is None:
        axes.axhline(found.mean, color=colour, lw=1, ls=":")
        place = axes.get_yaxis_transform()
        axes.text(0.99, found.mean, group, color=colour, ha="right", transform=place, **name)
        return
    low, high = found.flops
    middle = (low * high) ** 0.5
    axes.plot([low, high], [found.mean, found.mean], color=colour, lw=1, alpha=0.6)
    axes.errorbar(
        middle, found.mean, yerr=found.deviation, fmt="s", ms=7, mfc="white", color=colour
    )
    axes.text(high * 1.03, found.mean, group, color=colour, **name)


@click.command(help=__doc__)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True)
@click.option("--engine", default=LOCAL, show_default=True)
def main(file: Path, out: Path, jobs: int, engine: str) -> None:
    """Sweep, tabulate, draw."""
    try:
        require_matplotlib(Path("study.svg"))
        with progress_bar("sweeping") as advance:
            found = run_sweep(file, out=out, jobs=jobs, engine=engine, progress=advance)
        by_kind = ladders(found, out)
        text = text_of(by_kind, found)
        write_bytes(out / "study.md", text.encode())
        whole = [model for models in by_kind.values() for model in models]
        write_bytes(out / "study.json", json.dumps({"ladders": whole}, indent=1).encode() + b"\n")
        for (k, vocab), models in by_kind.items():
            write_bytes(out / f"study-k{k}-v{vocab}.svg", draw(k, vocab, models, ".svg"))
    except CertifyError as error:
        print(f"published_study: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    click.echo(text)
    sys.exit(found.exit_code())


if __name__ == "__main__":
    main()
