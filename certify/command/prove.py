"""Commands that prove and verify, list the strategies, and show both at work."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path

import click

from certify import api, families
from certify.certificate.finish import Certificate
from certify.certificate.show import read_certificate
from certify.columns import Columns
from certify.command.console import print_columns, progress_bar, require_folder
from certify.command.group import main
from certify.command.options import (
    EXISTING,
    NEW_FILE,
    Listed,
    TaskOption,
    Texts,
    domain_options,
    enclosure_options,
    float32_of,
    jobs_option,
    scope_option,
    semantics_options,
    taking,
    task_option,
    usual_strategies,
)
from certify.decimals import cut
from certify.errors import Unsupported
from certify.model.config import POOLED_READOUTS
from certify.model.file import Model, load_model
from certify.question.domain import read_domain
from certify.question.float32 import NAME as FLOAT32
from certify.question.question import Question, read_question
from certify.question.scope import SPELLINGS, Scope

WIDTH = 120
BOUNDS = ("correct_lower", "correct_upper", "total")


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@task_option
@domain_options
@click.option(
    "--strategy",
    type=Listed(lambda: [strategy.name for strategy in families.strategies()]),
    help=f"How to prove it. If left out: {usual_strategies()}.",
)
@scope_option
@click.option(
    "--effort",
    type=click.FloatRange(0.001, 1000),
    show_default="1.0",
    help=f"For {taking('effort')}: a higher effort gives a tighter bound and a longer check.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    metavar="OPS",
    help=f"For {taking('budget')}: the most operations that checking may take.",
)
@enclosure_options
@semantics_options
@jobs_option
@click.option("--out", type=NEW_FILE, required=True, help="The certificate file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def prove(
    model_file: Path,
    task: str,
    asked: Texts,
    strategy: str | None,
    scope: Scope,
    effort: float | None,
    budget: int | None,
    semantics: str,
    eps_exp: Fraction | None,
    eta_exp: Fraction | None,
    exp_from: Path | None,
    jobs: int,
    out: Path,
    *,
    as_json: bool,
    **paths: str | None,
) -> None:
    """Find a proof of the model's accuracy and write it as a certificate.

    The independent checker derives every bound; a certificate that it does not
    verify is never left behind. The last line is the checker's verdict. An
    option that the strategy has no use for is a usage error. Exit code 11: the
    strategy proves nothing of this model, and nothing is written.

    \b
      certify prove model.safetensors --task max-of-k --strategy exact --out exact.json
      certify prove model.safetensors --task max-of-k --strategy cascade --budget 2000000 \\
          --out short.json
      certify prove model.safetensors --task max-of-k --strategy subcubic --qk max_diff \\
          --direct max_diff_exact --out low.json
      certify prove model.safetensors --task max-of-k --semantics float32:any-order \\
          --out float32.json
      certify prove model.safetensors --task balanced-brackets --out every-input.json
      certify prove model.safetensors --task table:answers.json --out agreement.json
      certify prove model.safetensors --task modular-addition:113 --domain 0-112/0-112/@113 \\
          --strategy low-rank --out low-rank.json

    'certify strategies' lists the strategies, and the names of enclosures.
    """
    require_folder(out)
    float32 = float32_of(semantics, eps_exp, eta_exp, exp_from)
    model = load_model(model_file)
    inputs = read_domain(model.config, **asked)
    question = read_question(task, model.config, inputs)
    _say_what_was_taken(task, question)
    _, chosen = families.chosen(question, model.config, strategy)
    with progress_bar(f"proving ({chosen.name})") as advance:
        certificate = api.prove(
            model,
            task=question,
            strategy=chosen.name,
            scope=scope,
            effort=effort,
            budget=budget,
            enclosures={path: name for path, name in paths.items() if name is not None},
            float32=float32,
            out=out,
            jobs=jobs,
            progress=advance,
        )
    if as_json:
        click.echo(json.dumps(_facts(certificate), sort_keys=True))
    else:
        _print_certificate(certificate, chosen.name, out)


def _say_what_was_taken(task: str, question: Question) -> None:
    """Say on standard error what was taken where a task leaves something open."""
    if task == question.name and question.label != task:
        click.echo(f"taken as --task {question.label}", err=True)


def _facts(certificate: Certificate) -> dict[str, object]:
    """Return what a certificate proves, and what it took, as JSON values."""
    verdict = certificate.verdict
    return {
        **{key: verdict.fields[key] for key in BOUNDS},
        "prover_seconds": certificate.prover_seconds,
        "checker_seconds": verdict.seconds,
        "bytes": len(certificate.data),
        "operations": verdict.operations,
        "unexplained_dimension": certificate.unexplained_dimension,
    }


def _print_certificate(certificate: Certificate, strategy: str, out: Path) -> None:
    """Print what a finished certificate proves, the checker's verdict last."""
    verdict = certificate.verdict
    lower, upper, total = verdict.correct_lower, verdict.correct_upper, verdict.total
    prover, checker = certificate.prover_seconds, verdict.seconds
    dimension = certificate.unexplained_dimension
    click.echo(f"strategy {strategy}: prover {prover:.1f} s, checker {checker:.1f} s")
    click.echo(f"accuracy between {cut(lower, total)} and {cut(upper, total)}")
    click.echo(f"proof length {verdict.operations} operations, unexplained dimension {dimension}")
    click.echo(f"certificate {out}, {len(certificate.data)} bytes")
    click.echo(verdict.report, nl=False)


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=click.Path())
@click.argument("certificate", metavar="CERTIFICATE.json", type=click.Path())
@click.option("--task", type=TaskOption(), help="Reject a claim about another task.")
@domain_options
@click.option("--scope", metavar=SPELLINGS, help="Reject a claim over another scope.")
@click.option(
    "--readout",
    type=click.Choice(("last", *POOLED_READOUTS)),
    help="Reject a claim about a model that answers elsewhere.",
)
@click.option("--at-least", metavar="P/Q", help="Reject an accuracy below this fraction.")
@click.option(
    "--semantics",
    type=click.Choice(("real", FLOAT32)),
    help="Reject a claim about other arithmetic.",
)
@click.option(
    "--eps-exp",
    metavar="P/Q",
    help="Reject a float32 claim that assumes a smaller relative error of exp.",
)
@click.option(
    "--eta-exp",
    metavar="P/Q",
    help="Reject a float32 claim that assumes a smaller absolute error of exp.",
)
@click.option(
    "--time-limit", type=click.IntRange(0), metavar="S", help="Give up after so many seconds."
)
@jobs_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    model_file: str,
    certificate: str,
    asked: Texts,
    **required: str | int | None,
) -> None:
    """Run the independent checker; the last line is its verdict, the exit code is its own.

    Options that say what a claim is about reject every other claim; with
    --at-least, what is not said is required to be the usual thing.

    The same without certify, with the file that `make checker.pyz` builds:

    \b
      python3 -I -S checker.pyz MODEL.safetensors CERTIFICATE.json
    """
    others = {name.replace("_", "-"): value for name, value in required.items()}
    answer = api.ask_checker(model_file, certificate, {**asked, **others}, inherit_output=True)
    click.echo(answer.report, nl=False)
    ctx.exit(answer.code)


@main.command()
def strategies() -> None:
    """List the proof strategies: the idea and the cost for the checker.

    V is the vocabulary, k the length of the input, d the width of the model.
    """
    tables: dict[str, Columns] = {}
    for family in families.FAMILIES:
        heads = ("strategy", "idea", family.cost)
        table = tables.setdefault(family.title, Columns(family.title, heads))
        table.rows.extend((one.name, one.idea, one.cost) for one in family.strategies.values())
    for table in tables.values():
        print_columns(table, WIDTH)
    for family in families.FAMILIES:
        if family.choices:
            names = [
                one.name
                for one in family.strategies.values()
                if family.choices[0].name in one.takes
            ]
            title = f"enclosures of a path, for {', '.join(names[:-1])} and {names[-1]}"
            table = Columns(title, ("option", "names"))
            table.rows.extend(
                (f"--{choice.name}", ", ".join(choice.listed)) for choice in family.choices
            )
            print_columns(table, WIDTH)


@main.command()
def demo() -> None:
    """Certify a trained transformer over all of its 16 777 216 inputs, in front of your eyes."""
    packed = Path(__file__).parents[1] / "packed"  # in a wheel
    root = packed if packed.is_dir() else Path(__file__).parents[2]
    folder = root / "certificates" / "max-of-4-seed-0"
    if not folder.is_dir():
        raise Unsupported(
            "the demo uses the repository's folder certificates/, which is not here;"
            " see 'certify prove'"
        )
    click.echo(
        "A one-layer transformer was trained to name the largest of 4 tokens (vocabulary 64)."
    )
    shipped = read_certificate(folder / "exact.json")
    model = load_model(folder / "model.safetensors")
    _evaluate_all(model, shipped.task)
    click.echo("2. A proof of the same number, found in floats and checked in exact arithmetic:")
    with tempfile.TemporaryDirectory(prefix="certify-demo-") as scratch:
        out = Path(scratch) / "exact.json"
        with progress_bar(f"proving ({shipped.strategy})") as advance:
            certificate = api.prove(
                model, task=shipped.task, strategy=shipped.strategy, out=out, progress=advance
            )
        _print_certificate(certificate, shipped.strategy, out)


def _evaluate_all(model: Model, task: str) -> None:
    """Print what floats say of every input."""
    click.echo("1. Every input in floating point, as anyone would test it:")
    with progress_bar("evaluating") as advance:
        result = api.evaluate(model, task=task, progress=advance)
    right = result.inputs - result.wrong
    click.echo(f"   {right} of {result.inputs} right: an estimate that trusts every rounding.")
