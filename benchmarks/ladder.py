"""Climb the ladder for many seeds, and print mean and spread beside the published mean and spread.

    python -m benchmarks.ladder                   ten seeds of max-of-4, V = 64, the quick ladder
    python -m benchmarks.ladder --level default   with the cascade's frontier
    python -m benchmarks.ladder --reuse           tabulate again what the folder already holds
    python -m benchmarks.ladder --seeds 1 --recipe published,short-proof,line   a column per recipe

Models are trained by their recipe when they are not in the folder yet.  Published bounds
are the best configuration of each group, seed by seed; the first table does the same with ours, the
second has every rung.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.recipes import trained
from certify import families
from certify.cells.published import Reference, references
from certify.files import write_bytes
from certify.ladder.climb import PROVES_NOTHING, climb
from certify.ladder.file import as_json
from certify.ladder.rung import Level
from certify.model.file import load_model
from certify.question.question import read_question
from certify.training.max_of_k import RECIPES

Facts = dict[str, Any]
TASK = "max-of-k"
COLUMNS = (
    "published, normalised",
    "ours, normalised",
    "accuracy proved",
    "gap to the best upper bound, mean (largest)",
    "published FLOPs",
    "operations, mean (least to most)",
    "prover s",
    "checker s",
    "seeds",
)


def climbed(
    folder: Path, model_file: Path, level: Level, time_limit: float, *, reuse: bool
) -> Facts:
    """Return the ladder of one model as JSON values; it is kept beside the model."""
    kept = folder / f"{model_file.stem}.{level}.json"
    if not (reuse and kept.is_file()):
        _, form = families.with_ladder(TASK)
        run, listed = form.rungs(level)

        def progress(done: int, of: int, name: str) -> None:
            print(f"{model_file.stem}: {done}/{of} {name}", file=sys.stderr)

        model = load_model(model_file)
        question, words = read_question(TASK, model.config), ("--task", TASK)
        ladder = climb(
            model, question, words, run, listed, time_limit, form.details, progress=progress
        )
        write_bytes(kept, as_json(ladder, form))
    whole: Facts = json.loads(kept.read_text("utf-8"))
    return whole


def verified(ladders: Iterable[Facts]) -> Iterator[Facts]:
    """Yield every verified row, with its gap to the best upper bound of its model; one that proves
    nothing has the bound 0, and no length.
    """
    for whole in ladders:
        for row in whole["rows"]:
            if row["verdict"] in ("VERIFIED", PROVES_NOTHING):
                gap = (int(whole["best"]["correct_upper"]) - int(row["correct_lower"])) / int(
                    whole["total"]
                )
                yield {**row, "gap": gap, "model": whole["model"]}


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Return mean ± standard deviation; the deviation of one value is not defined."""
    deviation = f"{statistics.stdev(values):.{digits}f}" if len(values) > 1 else "-"
    return f"{statistics.fmean(values):.{digits}f} ± {deviation}"


def _lengths(operations: Sequence[int]) -> list[str]:
    """Return mean, least and most as one cell."""
    if not operations:
        return ["-"]
    return [f"{statistics.fmean(operations):,.0f} ({min(operations):,} to {max(operations):,})"]


def _mean(seconds: Sequence[float]) -> str:
    return f"{statistics.fmean(seconds):.2f}" if seconds else "-"


def line(name: str, rows: Sequence[Facts], reference: Reference | None) -> str:
    """Return one line of a table."""
    proofs = [row for row in rows if row["verdict"] == "VERIFIED"]
    operations = [row["operations"] for row in proofs]
    gaps = [row["gap"] for row in rows]
    flops = (
        ""
        if reference is None or reference.flops is None
        else " to ".join(f"{f:,.0f}" for f in reference.flops)
    )
    cells = [
        name,
        "" if reference is None else f"{reference.mean:.4f} ± {reference.deviation:.4f}",
        spread([row["normalised"] for row in rows]),
        spread([float(row["accuracy_lower"]) for row in rows], 6),
        f"{statistics.fmean(gaps):.1e} ({max(gaps):.1e})",
        flops,
        *_lengths(operations),
        *(_mean([row[key] for row in proofs]) for key in ("prover_seconds", "checker_seconds")),
        str(len(rows)),
    ]
    return "| " + " | ".join(cells) + " |"


def tables(ladders: Sequence[Facts], published: dict[str, Reference]) -> Iterator[str]:
    """Yield the lines of both tables, and what was not verified."""
    by_rung: dict[tuple[str, str], list[Facts]] = defaultdict(list)
    best: dict[tuple[str, str], Facts] = {}
    for row in verified(ladders):
        by_rung[row["group"], row["name"]].append(row)
        key = (row["group"], row["model"])
        best[key] = max(best.get(key, row), row, key=lambda found: float(found["normalised"]))
    by_group: dict[str, list[Facts]] = defaultdict(list)
    for (group, _), row in best.items():
        by_group[group].append(row)
    rule = "|---" * (len(COLUMNS) + 1) + "|"
    yield from (
        "## Tightest rung of each row, seed by seed",
        "",
        f"| row | {' | '.join(COLUMNS)} |",
        rule,
    )
    yield from (line(group, rows, published.get(group)) for group, rows in by_group.items())
    yield from ("", "## Every rung", "", f"| rung | {' | '.join(COLUMNS)} |", rule)
    yield from (
        line(f"{group}: {name}", rows, published.get(group))
        for (group, name), rows in by_rung.items()
    )
    failed = [
        row
        for whole in ladders
        for row in whole["rows"]
        if row["verdict"] not in ("VERIFIED", PROVES_NOTHING)
    ]
    reasons = dict.fromkeys(f"- {row['name']}: {row['verdict']}, {row['reason']}" for row in failed)
    yield from ("", "## Not verified", "", *reasons)


def by_recipe(found: Mapping[str, Sequence[Facts]]) -> Iterator[str]:
    """Yield a table of every rung with a column for each recipe: the accuracy proved, and the
    operations, means over the seeds.
    """
    columns = {name: _means(ladders) for name, ladders in found.items()}
    yield from (f"| rung | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|")
    for key in dict.fromkeys(key for column in columns.values() for key in column):
        cells = [": ".join(key), *(column.get(key, "-") for column in columns.values())]
        yield f"| {' | '.join(cells)} |"


def _means(ladders: Sequence[Facts]) -> dict[tuple[str, str], str]:
    """Return for each rung what it proves and in how many operations."""
    rows: dict[tuple[str, str], list[Facts]] = defaultdict(list)
    for row in verified(ladders):
        rows[row["group"], row["name"]].append(row)
    found = {}
    for key, same in rows.items():
        proved = statistics.fmean(float(row["accuracy_lower"]) for row in same)
        lengths = [row["operations"] for row in same if row["verdict"] == "VERIFIED"]
        length = f" @ {statistics.fmean(lengths) / 1e6:.2f} M" if lengths else ""
        found[key] = f"{proved:.6f}{length}"
    return found


def _recipes(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    """Return the names of recipes in a list separated by commas."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in RECIPES:
            raise click.BadParameter(f"there is no recipe {name}: {', '.join(RECIPES)}")
    return names


@click.command(help=__doc__)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("build/ladder"), show_default=True
)
@click.option(
    "--seeds", type=click.IntRange(1), default=10, show_default=True, help="Seeds 0, 1, 2, ..."
)
@click.option("--k", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--vocab", type=click.IntRange(2, 4096), default=64, show_default=True)
@click.option("--recipe", "named", default="published", show_default=True, callback=_recipes)
@click.option(
    "--level", type=click.Choice(["quick", "default", "all"]), default="quick", show_default=True
)
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    help="Seconds for each rung.",
)
@click.option("--reuse", is_flag=True, help="Do not climb again where the folder has a result.")
def main(
    folder: Path,
    seeds: int,
    k: int,
    vocab: int,
    named: list[str],
    level: Level,
    time_limit: float,
    *,
    reuse: bool,
) -> None:
    """Train, climb, tabulate."""
    found: dict[str, list[Facts]] = {}
    lines: list[str] = []
    for recipe in named:
        models = [trained(folder, recipe, k, vocab, seed) for seed in range(seeds)]
        found[recipe] = [climbed(folder, model, level, time_limit, reuse=reuse) for model in models]
        lines += report(found[recipe], k, vocab, recipe)
    if len(named) > 1:
        lines += ["# Recipes", "", *by_recipe(found), ""]
    text = "\n".join(lines)
    name = f"max-of-{k}-v{vocab}-{'+'.join(named)}-{seeds}-seeds.{level}"
    write_bytes(folder / f"{name}.md", text.encode())
    ladders = [one for each in found.values() for one in each]
    write_bytes(
        folder / f"{name}.json", json.dumps({"ladders": ladders}, indent=1).encode() + b"\n"
    )
    click.echo(text)


def report(ladders: Sequence[Facts], k: int, vocab: int, recipe: str) -> list[str]:
    """Return the page about the models of one recipe."""
    published = references(k, vocab)
    accuracies = [int(whole["best"]["correct_upper"]) / int(whole["total"]) for whole in ladders]
    title = f"# Ladder of {len(ladders)} seeds: max-of-{k}, vocabulary {vocab}, recipe {recipe}"
    known = f"Accuracy, at most: {spread(accuracies, 6)}"
    if published:
        true = next(iter(published.values())).true_accuracy
        known += f"; published true accuracy {true} (151 seeds)"
    return [title, "", known, "", *tables(ladders, published), ""]


if __name__ == "__main__":
    main()
