"""Commands about a model alone: evaluate, table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import click

from certify import api
from certify.command.console import (
    progress_bar,
    require_folder,
    spelled_sizes,
)
from certify.command.group import main
from certify.command.options import (
    EXISTING,
    NEW_FILE,
    scope_option,
    task_option,
)
from certify.evaluation.tally import CONFIDENCE, UNCERTAIN_MARGIN, Evaluation
from certify.files import write_bytes
from certify.model.file import Model, load_model
from certify.question.scope import Scope
from certify.question.table import table_of
from certify.question.tasks import TASKS


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@task_option(lambda: TASKS)
@scope_option
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Draw this many random inputs, even if all could be evaluated.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes the random inputs."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    model_file: Path, task: str, scope: Scope, samples: int | None, seed: int, *, as_json: bool
) -> None:
    """Estimate the accuracy of a model in floating point.

    Up to 2^25 inputs are all evaluated, where that is quick; else a random sample
    gives an estimate with a confidence interval.  Neither is a proof.

    \b
      certify evaluate model.safetensors --task max-of-k
      certify evaluate model.safetensors --task max-of-k --scope product:weights.json
    """
    model = load_model(model_file)
    with progress_bar("evaluating") as advance:
        result = api.evaluate(
            model, task=task, scope=scope, samples=samples, seed=seed, progress=advance
        )
    if as_json:
        click.echo(json.dumps(_evaluation_facts(model, task, scope, result), sort_keys=True))
    else:
        _print_evaluation(model, model_file, task, scope, result)


@main.command("table")
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@click.option("--out", type=NEW_FILE, required=True, help="The table file to write.")
def table_command(model_file: Path, out: Path) -> None:
    """Write the answers of a model to every input as a table, to ask them of another model.

    The answers are found in floating point: the table says what is asked, it
    claims nothing about this model.

    \b
      certify table one.safetensors --out answers.json
      certify prove other.safetensors --task table:answers.json --out agreement.json
      certify verify --task table:answers.json other.safetensors agreement.json
    """
    require_folder(out)
    data = table_of(load_model(model_file))
    write_bytes(out, data)
    click.echo(f"wrote {out}: sha256:{hashlib.sha256(data).hexdigest()}")


def _evaluation_facts(model: Model, task: str, scope: Scope, result: Evaluation) -> dict[str, Any]:
    """Return the result as JSON values; exact integers are strings, a number that is not finite is
    null.
    """
    facts: dict[str, Any] = dataclasses.asdict(result)
    for name in ("total", "correct"):
        facts[name] = None if facts[name] is None else str(facts[name])
    if abs(facts["smallest_margin"]) == float("inf"):
        facts["smallest_margin"] = None
    sizes = TASKS[task].fields(model.config)
    return {**facts, **sizes, "model": f"sha256:{model.sha256}", "scope": str(scope), "task": task}


def _print_evaluation(
    model: Model, path: Path, task: str, scope: Scope, result: Evaluation
) -> None:
    """Print the result for a reader."""
    lines = [
        ("model", f"{path} (sha256 {model.sha256})"),
        ("task", f"{task}, {spelled_sizes(TASKS[task].fields(model.config))}, scope {scope}"),
    ]
    if result.exhaustive:
        lines.append(("inputs", f"{result.inputs}, every one evaluated"))
        lines.append(("accuracy", f"{result.accuracy:.10f} (float64 estimate, not a bound)"))
        if scope.weights is not None:
            lines.append(("weight", f"{result.correct} of {result.total}"))
    else:
        lines.append(
            ("inputs", f"{result.inputs} random ones, of a domain of weight {result.total}")
        )
        lines.append(("accuracy", f"{result.accuracy:.8f} (float64 estimate, not a bound)"))
        interval = f"{result.low:.8f} to {result.high:.8f}"
        lines.append(("interval", f"{interval} ({CONFIDENCE:.0%} confidence, Clopper-Pearson)"))
    lines.append(("wrong", f"{result.wrong} inputs (ties count as wrong)"))
    lines.append(("uncertain", f"{result.uncertain} inputs with |margin| < {UNCERTAIN_MARGIN:g}"))
    lines.append(("smallest margin", f"{result.smallest_margin:.10f}"))
    for name, text in lines:
        click.echo(f"{name + ':':<17}{text}")
