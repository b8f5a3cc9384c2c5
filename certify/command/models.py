"""Commands about a model alone: evaluate, table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import click

from certify import api
from certify.canonical import canonical
from certify.command.console import (
    progress_bar,
    require_folder,
    spelled_sizes,
)
from certify.command.group import main
from certify.command.options import (
    EXISTING,
    NEW_FILE,
    Texts,
    domain_options,
    scope_option,
    task_option,
)
from certify.evaluation.evaluate import near_chance
from certify.evaluation.tally import CONFIDENCE, UNCERTAIN_MARGIN, Evaluation
from certify.files import write_bytes
from certify.model.file import Model, load_model
from certify.question.composition import group_of
from certify.question.domain import read_domain
from certify.question.question import Question, read_question
from certify.question.scope import Scope
from certify.question.table import table_of

NEAR_CHANCE = (
    "near chance: was the model read as it was trained? An activation, layer norm without weights"
    " and an attention mix leave no trace among tensors (certify import --act, --normalization,"
    " --attention-mix, --attention-dir); which inputs are meant, see --domain, --values, --answers"
    " and --read"
)
"""What is said of an accuracy that guessing reaches."""


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@task_option
@domain_options
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
    model_file: Path,
    task: str,
    asked: Texts,
    scope: Scope,
    samples: int | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Estimate the accuracy of a model in floating point.

    Up to 2^25 inputs are all evaluated, where that is quick; else a random sample
    gives an estimate with a confidence interval.  Neither is a proof.

    \b
      certify evaluate model.safetensors --task max-of-k
      certify evaluate model.safetensors --task max-of-k --scope product:weights.json
      certify evaluate model.safetensors --task modular-addition:113 --domain 0-112/0-112/@113
    """
    model = load_model(model_file)
    inputs = read_domain(model.config, **asked)
    question = read_question(task, model.config, inputs)
    with progress_bar("evaluating") as advance:
        result = api.evaluate(
            model, task=question, scope=scope, samples=samples, seed=seed, progress=advance
        )
    if as_json:
        click.echo(json.dumps(_evaluation_facts(model, question, scope, result), sort_keys=True))
    else:
        _print_evaluation(model, model_file, question, scope, result)


@main.command("table")
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@domain_options
@click.option("--out", type=NEW_FILE, help="The table file to write.")
@click.option(
    "--as-group",
    type=NEW_FILE,
    metavar="OUT.json",
    help="Read the answers as products of group elements, and write these as permutations.",
)
def table_command(
    model_file: Path,
    asked: Texts,
    out: Path | None,
    as_group: Path | None,
) -> None:
    """Write the answers of a model to every input as a table, to ask them of another model.

    The answers are found in floating point: the table says what is asked, it
    claims nothing about this model.

    \b
      certify table one.safetensors --out answers.json
      certify prove other.safetensors --task table:answers.json --out agreement.json
      certify verify --task table:answers.json other.safetensors agreement.json
      certify table model.safetensors --domain 0-59/0-59/@60 --as-group elements.json
    """
    if out is None and as_group is None:
        raise click.UsageError("Nothing to write: give --out, --as-group or both.")
    for path in (out, as_group):
        if path is not None:
            require_folder(path)
    model = load_model(model_file)
    inputs = read_domain(model.config, **asked)
    data = table_of(model, inputs)
    if as_group is not None:
        found = group_of(data, inputs)
        write_bytes(as_group, canonical([list(images) for images in found.elements]))
        click.echo(f"wrote {as_group}: {found.told()}")
        click.echo(f"ask for it with --task {found.task(as_group)}")
    if out is not None:
        write_bytes(out, data)
        click.echo(f"wrote {out}: sha256:{hashlib.sha256(data).hexdigest()}")


def _evaluation_facts(
    model: Model, question: Question, scope: Scope, result: Evaluation
) -> dict[str, Any]:
    """Return the result as JSON values; exact integers are strings, a number that is not finite is
    null.
    """
    facts: dict[str, Any] = dataclasses.asdict(result)
    for name in ("total", "correct"):
        facts[name] = None if facts[name] is None else str(facts[name])
    if abs(facts["smallest_margin"]) == float("inf"):
        facts["smallest_margin"] = None
    sizes = {
        name: int(text) if text.isdecimal() else text for name, text in question.fields.items()
    }
    return {
        **facts,
        **sizes,
        **question.domain.unusual,
        "model": f"sha256:{model.sha256}",
        "scope": str(scope),
        "task": question.name,
    }


def _print_evaluation(
    model: Model, path: Path, question: Question, scope: Scope, result: Evaluation
) -> None:
    """Print the result for a reader."""
    lines = [
        ("model", f"{path} (sha256 {model.sha256})"),
        ("task", f"{question.name}, {spelled_sizes(question.fields)}, scope {scope}"),
    ]
    if question.domain.unusual:
        lines.append(("domain", question.domain.words()))
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
    if near_chance(result, question):
        click.echo(NEAR_CHANCE)
