"""Commands that prove and verify."""

from __future__ import annotations

import contextlib
import json
import tempfile
from fractions import Fraction
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from certify.cells.draft import prove as prove_model
from certify.cells.enclosures import EXACT, names
from certify.cells.strategies import STRATEGIES
from certify.certificate.client import run_checker
from certify.certificate.finish import Options, Proved
from certify.command.console import (
    progress_bar,
    require_folder,
    share,
)
from certify.command.group import main
from certify.command.options import (
    CELLS,
    EXISTING,
    NEW_FILE,
    STRATEGIES_OF,
    QuestionOption,
    enclosure_options,
    float32_of,
    scope_option,
    semantics_options,
)
from certify.errors import Unsupported
from certify.evaluation.evaluate import is_one_layer
from certify.evaluation.separable import evaluate_max_of_k
from certify.leaves.draft import STRATEGY as EXHAUSTIVE
from certify.leaves.draft import prove_leaves
from certify.model.config import Config
from certify.model.file import load_model
from certify.question.float32 import NAME as FLOAT32
from certify.question.question import Question
from certify.question.scope import UNIFORM, Scope
from certify.sums.draft import TASK as ADDING
from certify.sums.draft import prove as prove_addition
from certify.sums.draft import require_supported as require_addition
from certify.sums.strategies import STRATEGIES as ADDITION_STRATEGIES


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=EXISTING)
@click.option(
    "--task",
    "question",
    type=QuestionOption(),
    required=True,
    help="What the model is meant to compute.",
)
@click.option(
    "--strategy",
    type=click.Choice([*dict.fromkeys([*STRATEGIES, *ADDITION_STRATEGIES, EXHAUSTIVE])]),
    help="How to prove it. If left out: 'exact' for Max-of-K on one layer of attention, 'low-rank' for modular addition with one "
    "ReLU layer, else 'exhaustive'.",
)
@scope_option
@click.option(
    "--effort",
    type=click.FloatRange(0.001, 1000),
    default=1.0,
    show_default=True,
    help="For 'cascade', 'subcubic', 'count', 'low-rank' and 'quadrature': a higher effort gives a tighter bound and a longer "
    "check.",
)
@click.option(
    "--budget",
    type=click.IntRange(1),
    metavar="OPS",
    help="The most operations that checking may take.",
)
@enclosure_options
@semantics_options
@click.option("--out", type=NEW_FILE, required=True, help="The certificate file to write.")
@click.option("--json", "as_json_object", is_flag=True, help="Print one JSON object.")
def prove(
    model_file: Path,
    question: Question,
    strategy: str | None,
    scope: Scope,
    effort: float,
    budget: int | None,
    semantics: str,
    eps_exp: Fraction | None,
    eta_exp: Fraction | None,
    exp_from: Path | None,
    out: Path,
    *,
    as_json_object: bool,
    **paths: str,
) -> None:
    """Find a proof of the model's accuracy and write it as a certificate.

    The independent checker derives every bound; a certificate that it does not
    verify is never left behind. The last line is the checker's verdict.

    \b
      certify prove model.safetensors --task max-of-k --strategy exact --out exact.json
      certify prove model.safetensors --task max-of-k --strategy cascade --budget 2000000 --out
      short.json
      certify prove model.safetensors --task max-of-k --strategy subcubic --qk max_diff --direct
      max_diff_exact --out low.json
      certify prove model.safetensors --task max-of-k --semantics float32:any-order --out
      float32.json
      certify prove model.safetensors --task balanced-brackets --out every-input.json
      certify prove model.safetensors --task table:answers.json --out agreement.json
      certify prove model.safetensors --task modular-addition --strategy low-rank --out
      low-rank.json

    'certify strategies' lists the strategies, and the names of enclosures.
    """
    require_folder(out)
    enclosures = {path: name for path, name in paths.items() if name != EXACT}
    options = Options(effort, budget, enclosures, float32_of(semantics, eps_exp, eta_exp, exp_from))
    strategy = strategy or _usual_strategy(question, load_model(model_file).config)
    own = STRATEGIES_OF.get(question.label, ())
    if strategy == EXHAUSTIVE:
        _prove_leaves(model_file, question, scope, options, out, as_json_object=as_json_object)
    elif strategy in own:
        _prove(
            model_file, question.label, scope, strategy, options, out, as_json_object=as_json_object
        )
    else:
        raise Unsupported(
            f"task {question.label} has no strategy {strategy}, it has {', '.join([*own, EXHAUSTIVE])}"
        )


def _usual_strategy(question: Question, config: Config) -> str:
    """Return the strategy for a task and an architecture if none is named."""
    if question.label == CELLS and is_one_layer(config):
        return "exact"
    if question.label == ADDING:
        with contextlib.suppress(Unsupported):
            require_addition(config)
            return "low-rank"
    return EXHAUSTIVE


def _prove(
    model_file: Path,
    task: str,
    scope: Scope,
    strategy: str,
    options: Options,
    out: Path,
    *,
    as_json_object: bool = False,
) -> None:
    chosen = prove_addition if task == ADDING else prove_model
    with progress_bar(f"proving ({strategy})", load_model(model_file).config.d_vocab) as advance:
        proved = chosen(model_file, scope, strategy, out, options, advance)
    _print_proved(proved, strategy, out, as_json_object=as_json_object)


def _prove_leaves(
    model_file: Path,
    question: Question,
    scope: Scope,
    options: Options,
    out: Path,
    *,
    as_json_object: bool = False,
) -> None:
    if (
        options.enclosures
        or options.budget is not None
        or options.float32 is not None
        or options.effort != 1.0
    ):
        raise Unsupported(
            f"strategy {EXHAUSTIVE} has no use for --effort, --budget, --qk, --ov, --direct and --semantics"
        )
    with progress_bar(f"proving ({EXHAUSTIVE})", 1000) as advance:
        proved = prove_leaves(
            model_file, question, scope, out, lambda share: advance(round(1000 * share), "")
        )
    _print_proved(proved, EXHAUSTIVE, out, as_json_object=as_json_object)


def _print_proved(proved: Proved, strategy: str, out: Path, *, as_json_object: bool) -> None:
    """Print what a finished certificate proves, the checker's verdict last."""
    lower, upper, total = (
        int(proved.facts[key]) for key in ("correct_lower", "correct_upper", "total")
    )
    if as_json_object:
        bounds = {
            key: str(proved.facts[key]) for key in ("correct_lower", "correct_upper", "total")
        }
        seconds = {
            "prover_seconds": proved.prover_seconds,
            "checker_seconds": proved.checker_seconds,
        }
        operations = proved.facts["operations"]["total"]
        sizes = {
            "bytes": proved.size,
            "operations": operations,
            "unexplained_dimension": proved.unexplained_dimension,
        }
        click.echo(json.dumps({**bounds, **seconds, **sizes}, sort_keys=True))
        return
    click.echo(
        f"strategy {strategy}: prover {proved.prover_seconds:.1f} s, checker {proved.checker_seconds:.1f} s"
    )
    click.echo(f"accuracy between {share(lower, total)} and {share(upper, total)}")
    length = proved.facts["operations"]["total"]
    click.echo(
        f"proof length {length} operations, unexplained dimension {proved.unexplained_dimension}"
    )
    click.echo(f"certificate {out}, {proved.size} bytes")
    click.echo(proved.report, nl=False)


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=click.Path())
@click.argument("certificate", metavar="CERTIFICATE.json", type=click.Path())
@click.option("--task", metavar="NAME|table:FILE", help="Reject a claim about another task.")
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
@click.pass_context
def verify(
    ctx: click.Context, /, model_file: str, certificate: str, **required: str | int | None
) -> None:
    """Run the independent checker; the last line is its verdict, the exit code is its own.

    The same without installing anything, from a checkout:

    \b
      python -S -m checker MODEL.safetensors CERTIFICATE.json
    """
    asked = {
        f"--{name.replace('_', '-')}": value
        for name, value in required.items()
        if value is not None
    }
    options = [str(word) for pair in asked.items() for word in pair]
    ended = run_checker([*options, "--", model_file, certificate], inherit_output=True)
    click.echo(ended.stdout, nl=False)
    ctx.exit(ended.returncode)


@main.command()
def strategies() -> None:
    """List the proof strategies: the idea and the cost for the checker.

    V is the vocabulary, k the length of the input, d the width of the model.
    """
    table = Table("strategy", "idea", "cost for the checker")
    for strategy in STRATEGIES.values():
        table.add_row(strategy.name, strategy.idea, strategy.cost)
    table.add_row(
        EXHAUSTIVE,
        "evaluate every input: any supported model, any task",
        "the forward pass of V^k inputs, prefixes shared",
    )
    console = Console(width=120)
    console.print(table)
    additions = Table(
        "strategy", "idea", "main loop of the checker", title="modular-addition: m neurons, rank R"
    )
    for addition in ADDITION_STRATEGIES.values():
        additions.add_row(addition.name, addition.idea, addition.cost)
    console.print(additions)
    enclosures = Table(
        "option", "names", title="enclosures of a path, for cascade, cubic and subcubic"
    )
    for path, known in names().items():
        enclosures.add_row(f"--{path}", ", ".join(known))
    console.print(enclosures)


@main.command()
def demo() -> None:
    """Certify a trained transformer over all of its 16 777 216 inputs, in front of your eyes."""
    model_file = (
        Path(__file__).parents[2] / "certificates" / "max-of-4-seed-0" / "model.safetensors"
    )
    if not model_file.is_file():
        raise Unsupported(
            "the demo uses the repository's folder certificates/, which is not here; see 'certify prove'"
        )
    click.echo(
        "A one-layer transformer was trained to name the largest of 4 tokens (vocabulary 64)."
    )
    click.echo("1. Every input in floating point, as anyone would test it:")
    model = load_model(model_file)
    with progress_bar("evaluating", 1000) as advance:
        result = evaluate_max_of_k(
            model, UNIFORM, None, 0, lambda share: advance(round(1000 * share), "")
        )
    click.echo(
        f"   {result.inputs - result.wrong} of {result.inputs} right: an estimate that trusts every rounding."
    )
    click.echo("2. A proof of the same number, found in floats and checked in exact arithmetic:")
    with tempfile.TemporaryDirectory(prefix="certify-demo-") as folder:
        _prove(model_file, "max-of-k", UNIFORM, "exact", Options(), Path(folder) / "exact.json")
