"""The command line: one function for each command, one place for failures.

Results go to standard output, progress and messages to standard error.  Exit
codes: 0 done; 2 wrong usage; 10 the checker rejected a certificate; 20 the
input is unreadable, malformed or not supported.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from certify import __version__, ladder_addition, plot_addition
from certify.addition import TASK as ADDING
from certify.addition import prove as prove_addition
from certify.addition import require_supported as require_addition
from certify.audit import LIBRARIES, Record, functions, parse_fraction, read_record, scan
from certify.audit import as_json as records_as_json
from certify.certificate import Options, Proved, run_checker
from certify.certificate import prove as prove_model
from certify.errors import BadInput, CertifyError, Unsupported
from certify.evaluate import (
    CONFIDENCE,
    UNCERTAIN_MARGIN,
    Evaluation,
    evaluate_max_of_k,
    is_one_layer,
)
from certify.evaluate import evaluate as evaluate_model
from certify.exhaustive import STRATEGY as EXHAUSTIVE
from certify.exhaustive import prove_leaves
from certify.files import write_bytes
from certify.float32 import EPS_EXP, ETA_EXP, Float32
from certify.float32 import NAME as FLOAT32
from certify.importers import import_model
from certify.ladder import Ladder, as_csv, as_json, climb, normalised
from certify.model import MLP_ACTIVATIONS, Config, Model, load_model, require_one_layer, save_model
from certify.plot import draw, require_matplotlib
from certify.published import references
from certify.question import Question, read_question, table_of
from certify.rungs import Level, Rung, rungs
from certify.scope import UNIFORM, Scope, read_scope
from certify.show import Summary, lost, summarise
from certify.strategies import STRATEGIES
from certify.strategies.addition import STRATEGIES as ADDITION_STRATEGIES
from certify.strategies.enclosures import EXACT, is_name, names
from certify.tasks import TASKS
from certify.train import Recipe, train_max_of_k
from certify.train_tasks import (
    ADDITION,
    AdditionRecipe,
    Architecture,
    BracketsRecipe,
    train_balanced_brackets,
    train_modular_addition,
)

CELLS = "max-of-k"
STRATEGIES_OF = {CELLS: tuple(STRATEGIES), ADDING: tuple(ADDITION_STRATEGIES)}
"""Per task, the strategies that are its own; ``exhaustive`` is for all of them."""


_EXISTING = click.Path(path_type=Path)
_NEW_FILE = click.Path(path_type=Path)


class FailureReporter(click.Group):
    """The command group that turns every expected failure into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; report a failure on standard error and exit with its code."""
        try:
            return super().invoke(ctx)
        except CertifyError as error:
            _report(str(error))
            ctx.exit(error.exit_code)
        except MemoryError:
            _report("not enough memory for this input")
            ctx.exit(CertifyError.exit_code)


class ScopeOption(click.ParamType[Scope]):
    """``uniform`` or ``product:FILE``, read when the command line is parsed."""

    name = "scope"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Scope:
        """Return the scope; an unknown kind of scope is a usage error, a bad file is not."""
        if isinstance(value, Scope):
            return value
        if value != "uniform" and not (value.startswith("product:") and value != "product:"):
            self.fail(f"{value!r} is neither uniform nor product:FILE.", param, ctx)
        return read_scope(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "uniform|product:FILE"


def task_option(tasks: Iterable[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds the required ``--task`` to a command."""
    return click.option(
        "--task",
        type=click.Choice(list(tasks)),
        required=True,
        help="What the model is meant to compute.",
    )


def scope_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--scope`` to a command."""
    decorate = click.option(
        "--scope",
        type=ScopeOption(),
        default="uniform",
        show_default=True,
        help="Which inputs count: all of them once, or weighted by a JSON file of token weights.",
    )
    return decorate(command)


class ExpError(click.ParamType[Fraction]):
    """A bound on an error of exp, ``P/Q``."""

    name = "fraction"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        """Return the fraction; anything else is a usage error."""
        if isinstance(value, Fraction):
            return value
        if not re.fullmatch(r"[0-9]{1,400}/0*[1-9][0-9]{0,400}", value):
            self.fail(f"{value!r} is not a fraction P/Q.", param, ctx)
        return Fraction(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "P/Q"


def semantics_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--semantics`` and what a float32 claim assumes of exp to a command."""
    for option in (
        click.option(
            "--exp-from",
            type=_EXISTING,
            metavar="FILE",
            help="Both numbers from a record of 'certify audit-exp'.",
        ),
        click.option(
            "--eta-exp",
            type=ExpError(),
            help="Largest absolute error of exp where results are subnormal; 2^-126.",
        ),
        click.option(
            "--eps-exp",
            type=ExpError(),
            help="Largest relative error of exp; 1/4194304 unless told.",
        ),
        click.option(
            "--semantics",
            type=click.Choice(("real", FLOAT32)),
            default="real",
            show_default=True,
            help="What runs: exact arithmetic, or every float32 execution with sums in any order.",
        ),
    ):
        command = option(command)
    return command


def _float32(
    semantics: str, eps: Fraction | None, eta: Fraction | None, record: Path | None
) -> Float32 | None:
    """Return what a float32 claim assumes of exp, or None in real arithmetic."""
    if semantics == "real":
        if (eps, eta, record) != (None, None, None):
            raise click.UsageError(
                f"--eps-exp, --eta-exp and --exp-from go with --semantics {FLOAT32}."
            )
        return None
    if record is not None and (eps, eta) != (None, None):
        raise click.UsageError("--exp-from already says both --eps-exp and --eta-exp.")
    if record is not None:
        return Float32(*(Fraction(*pair) for pair in read_record(record)))
    return Float32(
        *(
            usual if found is None else found
            for found, usual in zip((eps, eta), (EPS_EXP, ETA_EXP), strict=True)
        )
    )


class QuestionOption(click.ParamType[Question]):
    """A task or ``table:FILE``, read when the command line is parsed."""

    name = "question"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Question:
        """Return the question; an unknown task is a usage error, a bad file is not."""
        if isinstance(value, Question):
            return value
        if value not in TASKS and not (value.startswith("table:") and value != "table:"):
            self.fail(f"{value!r} is neither {', '.join(TASKS)} nor table:FILE.", param, ctx)
        return read_question(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return f"{'|'.join(TASKS)}|table:FILE"


class EnclosureName(click.ParamType[str]):
    """The name of an enclosure of one path; ``rank-R`` stands for any R."""

    name = "enclosure"

    def __init__(self, path: str) -> None:
        self.path = path

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; an unknown one is a usage error."""
        if not is_name(self.path, value):
            self.fail(f"{value!r} is none of {', '.join(names()[self.path])}.", param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what the help shows for the value."""
        return "NAME"


def enclosure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--qk``, ``--ov`` and ``--direct`` to a command."""
    titles = {"direct": "direct path", "ov": "OV circuit", "qk": "QK circuit"}
    for path, title in titles.items():
        help_text = f"For 'cascade', 'cubic' and 'subcubic': how the {title} is enclosed ('certify strategies' lists the names)."
        command = click.option(
            f"--{path}", type=EnclosureName(path), default=EXACT, show_default=True, help=help_text
        )(command)
    return command


@click.group(
    cls=FailureReporter,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="certify")
def main() -> None:
    """Prove how often a small transformer is right, and let an independent checker confirm it.

    A typical session:

    \b
      certify train max-of-k --k 4 --vocab 64 --d-model 32 --seed 0 --out model.safetensors
      certify evaluate model.safetensors --task max-of-k
      certify prove model.safetensors --task max-of-k --out certificate.json
      certify verify model.safetensors certificate.json

    'certify COMMAND --help' explains one command.
    """


@main.group()
def train() -> None:
    """Train a small transformer on a task (needs PyTorch)."""


@train.command("max-of-k")
@click.option("--k", type=click.IntRange(1, 64), required=True, help="Length of the input.")
@click.option(
    "--vocab", type=click.IntRange(2, 1024), default=64, show_default=True, help="How many tokens."
)
@click.option(
    "--d-model",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    help="Width of the model and of its head.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes weights and data."
)
@click.option(
    "--steps", type=click.IntRange(1), default=3000, show_default=True, help="Optimiser steps."
)
@click.option(
    "--batch", type=click.IntRange(1), default=128, show_default=True, help="Inputs for each step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--lr-decay",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the steps, at the end, over which the learning rate falls to zero.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The model file to write.")
def train_max_of_k_command(
    k: int,
    vocab: int,
    d_model: int,
    seed: int,
    steps: int,
    batch: int,
    lr: float,
    lr_decay: float,
    out: Path,
) -> None:
    """Train one layer of attention to answer with the largest of K tokens.

    The same options give the same file.  If the accuracy disappoints, train
    for longer and let the learning rate fall:

    \b
      certify train max-of-k --k 4 --seed 0 --out model.safetensors
      certify train max-of-k --k 10 --steps 6000 --lr-decay 0.5 --out better.safetensors
    """
    _require_folder(out)
    recipe = Recipe(seed=seed, steps=steps, batch=batch, learning_rate=lr, decay=lr_decay)
    with progress_bar("training", steps) as advance:
        tensors, config = train_max_of_k(
            k, vocab, d_model, recipe, lambda step, loss: advance(step, f"loss {loss:.4f}")
        )
    save_model(out, tensors, config)
    click.echo(
        f"wrote {out}: max-of-{k}, vocab {vocab}, d_model {d_model}, seed {seed}, {steps} steps"
    )


def architecture_options(
    defaults: Architecture,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds the options of an architecture with these defaults to a command."""
    sizes = {
        "d-mlp": ("Width of the MLP.", 4096),
        "d-model": ("Width of the model.", 1024),
        "heads": ("Heads.", 16),
    }
    shown = {"d-mlp": defaults.d_mlp, "d-model": defaults.d_model, "heads": defaults.heads}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, (help_text, most) in sizes.items():
            kind = click.IntRange(1, most)
            command = click.option(
                f"--{name}", type=kind, default=shown[name], show_default=True, help=help_text
            )(command)
        return command

    return decorate


@train.command("modular-addition")
@click.option(
    "--modulus",
    type=click.IntRange(2, 512),
    required=True,
    help="Both tokens and the answer are below it.",
)
@click.option(
    "--attention",
    type=click.Choice(["constant", "softmax"]),
    default="constant",
    show_default=True,
    help="Weight 1 on both positions, or ordinary attention.",
)
@architecture_options(ADDITION)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Fixes weights and training set.",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="Steps, each on the whole training set.",
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Weight decay of AdamW.",
)
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Share of all pairs to train on.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The model file to write.")
def train_modular_addition_command(
    modulus: int,
    attention: str,
    heads: int,
    d_model: int,
    d_mlp: int,
    seed: int,
    steps: int,
    lr: float,
    weight_decay: float,
    fraction: float,
    out: Path,
) -> None:
    """Train one layer with a ReLU MLP to answer (A + B) mod P, read at the second position.

    The same options give the same file.  Ten thousand steps at modulus 59 take
    four minutes with constant attention and nine with softmax.

    \b
      certify train modular-addition --modulus 59 --attention constant --seed 0 --out
      model.safetensors
    """
    _require_folder(out)
    recipe = AdditionRecipe(
        seed=seed, steps=steps, learning_rate=lr, weight_decay=weight_decay, fraction=fraction
    )
    architecture = dataclasses.replace(ADDITION, heads=heads, d_model=d_model, d_mlp=d_mlp)
    with progress_bar("training", steps) as advance:
        tensors, config = train_modular_addition(
            modulus,
            attention,
            recipe,
            architecture,
            lambda step, loss: advance(step, f"loss {loss:.2e}"),
        )
    save_model(out, tensors, config)
    click.echo(
        f"wrote {out}: modular addition, modulus {modulus}, {attention} attention, seed {seed}, {steps} steps"
    )


@train.command("balanced-brackets")
@click.option(
    "--n", type=click.IntRange(2, 20), required=True, help="Length of the strings, an even number."
)
@click.option(
    "--readout",
    type=click.Choice(["last", "sum-pool-mlp", "mean-pool-mlp"]),
    default="last",
    show_default=True,
    help="Read the last position, or a head on the sum or mean over the positions.",
)
@click.option("--layers", type=click.IntRange(1, 16), default=2, show_default=True, help="Layers.")
@architecture_options(Architecture())
@click.option(
    "--act",
    type=click.Choice(MLP_ACTIVATIONS),
    default="relu",
    show_default=True,
    help="Activation of the MLP.",
)
@click.option(
    "--normalization",
    type=click.Choice(["none", "LN", "LNPre"]),
    default="none",
    show_default=True,
    help="Layer norm.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes weights and data."
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="The most optimiser steps.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=256, show_default=True, help="Strings for each step."
)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.001,
    show_default=True,
    help="Learning rate of AdamW.",
)
@click.option(
    "--weight-decay",
    type=click.FloatRange(0),
    default=0.01,
    show_default=True,
    help="Weight decay of AdamW.",
)
@click.option(
    "--lr-decay",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the steps, at the end, over which the learning rate falls to zero.",
)
@click.option(
    "--margin",
    type=float,
    default=1.0,
    show_default=True,
    help="Stop when every input has at least this margin.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Steps between two trials of all inputs.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The model file to write.")
def train_balanced_brackets_command(
    n: int,
    readout: str,
    layers: int,
    heads: int,
    d_model: int,
    d_mlp: int,
    act: str,
    normalization: str,
    seed: int,
    steps: int,
    batch: int,
    lr: float,
    weight_decay: float,
    lr_decay: float,
    margin: float,
    every: int,
    out: Path,
) -> None:
    """Train a causal transformer to tell whether a string of N brackets is balanced.

    Half of the strings it learns from are balanced, half are balanced strings
    with one or two brackets turned round.  Training stops when a float estimate
    says that every one of the 2^N inputs is right by the wanted margin.

    \b
      certify train balanced-brackets --n 16 --margin 4 --out model.safetensors
      certify train balanced-brackets --n 12 --d-model 16 --d-mlp 32 --act gelu_new --normalization
      LN --out model.safetensors
    """
    _require_folder(out)
    architecture = Architecture(
        layers=layers,
        heads=heads,
        d_model=d_model,
        d_mlp=d_mlp,
        act=act,
        normalization=None if normalization == "none" else normalization,
        readout=readout,
    )
    recipe = BracketsRecipe(
        seed=seed,
        steps=steps,
        batch=batch,
        learning_rate=lr,
        weight_decay=weight_decay,
        decay=lr_decay,
        margin=margin,
        every=every,
    )
    reached: list[tuple[int, float]] = []
    with progress_bar("training", steps) as advance:

        def report(step: int, smallest: float) -> None:
            reached.append((step, smallest))
            advance(step, f"smallest margin {smallest:.4f}")

        tensors, config = train_balanced_brackets(n, architecture, recipe, report)
    save_model(out, tensors, config)
    step, smallest = reached[-1]
    click.echo(
        f"wrote {out}: balanced brackets, n {n}, readout {readout}, seed {seed}, {step} steps"
    )
    click.echo(f"smallest margin {smallest:.4f} (float32 estimate, not a bound)")


@main.command("import")
@click.argument("source", type=_EXISTING)
@click.option(
    "--config",
    "config_file",
    type=_EXISTING,
    help="A JSON file with TransformerLens's fields, or ours.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The model file to write.")
def import_command(source: Path, config_file: Path | None, out: Path) -> None:
    """Turn SOURCE into a model file, without rounding.

    SOURCE is the state dict of a TransformerLens HookedTransformer, saved as
    .safetensors or as .pt (which needs PyTorch), an .npz archive with the same
    names, or a folder with model.safetensors and config.json.  Models with an
    MLP or layer norm need the configuration: --config, or stored in SOURCE.

    The weights are taken as they are.  None of TransformerLens's foldings
    fold_ln, center_writing_weights, center_unembed and fold_value_biases is
    applied: the certificate binds the bytes that it is about.

    \b
      certify import state_dict.pt --out model.safetensors
      certify import state_dict.pt --config config.json --out model.safetensors
      certify import folder --out model.safetensors
    """
    _require_folder(out)
    tensors, config = import_model(source, config_file)
    save_model(out, tensors, config)
    sizes = " ".join(
        f"{name}={value}"
        for name, value in config.as_dict().items()
        if name.startswith(("d_", "n_"))
    )
    click.echo(f"wrote {out}: {sizes}")
    click.echo(f"read as: {_described(config)}; weights as given, nothing folded or centred")


def _described(config: Config) -> str:
    """Return what a configuration says besides its sizes."""
    parts = [
        f"{config.attention_dir} attention",
        "scores divided by sqrt(d_head)",
        "learned positions",
    ]
    parts.append("no MLP" if config.attn_only else f"MLP with {config.act_fn}")
    parts.append(
        "no layer norm"
        if config.normalization_type is None
        else f"layer norm {config.normalization_type}"
    )
    if config.mix != 1.0:
        parts.append(f"pattern {config.mix:g} softmax + {1.0 - config.mix:g}")
    return ", ".join([*parts, f"readout {config.read}"])


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=_EXISTING)
@task_option(TASKS)
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
    with progress_bar("evaluating", 1000) as advance:
        result = evaluate_model(
            model, task, scope, samples, seed, lambda share: advance(round(1000 * share), "")
        )
    if as_json:
        click.echo(json.dumps(_evaluation_facts(model, task, scope, result), sort_keys=True))
    else:
        _print_evaluation(model, model_file, task, scope, result)


@main.command()
@click.argument("model_file", metavar="MODEL.safetensors", type=_EXISTING)
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
@click.option("--out", type=_NEW_FILE, required=True, help="The certificate file to write.")
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
    _require_folder(out)
    enclosures = {path: name for path, name in paths.items() if name != EXACT}
    options = Options(effort, budget, enclosures, _float32(semantics, eps_exp, eta_exp, exp_from))
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
    click.echo(f"accuracy between {_share(lower, total)} and {_share(upper, total)}")
    length = proved.facts["operations"]["total"]
    click.echo(
        f"proof length {length} operations, unexplained dimension {proved.unexplained_dimension}"
    )
    click.echo(f"certificate {out}, {proved.size} bytes")
    click.echo(proved.report, nl=False)


def _share(part: int, total: int) -> str:
    """Return a share with ten decimals, cut off rather than rounded."""
    return f"0.{part * 10**10 // total:010d}" if part < total else "1.0000000000"


@main.command("table")
@click.argument("model_file", metavar="MODEL.safetensors", type=_EXISTING)
@click.option("--out", type=_NEW_FILE, required=True, help="The table file to write.")
def table_command(model_file: Path, out: Path) -> None:
    """Write the answers of a model to every input as a table, to ask them of another model.

    The answers are found in floating point: the table says what is asked, it
    claims nothing about this model.

    \b
      certify table one.safetensors --out answers.json
      certify prove other.safetensors --task table:answers.json --out agreement.json
      certify verify --task table:answers.json other.safetensors agreement.json
    """
    _require_folder(out)
    data = table_of(load_model(model_file))
    write_bytes(out, data)
    click.echo(f"wrote {out}: sha256:{hashlib.sha256(data).hexdigest()}")


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
@click.argument("certificate", metavar="CERTIFICATE.json", type=_EXISTING)
@click.option(
    "--weakest",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many of the weakest groups.",
)
@click.option(
    "--wrong", is_flag=True, help="List the inputs that are claimed to be wrong, one on a line."
)
@click.option(
    "--against",
    type=_EXISTING,
    metavar="OTHER.json",
    help="Name the groups that prove less than in this certificate.",
)
def show(certificate: Path, weakest: int, against: Path | None, *, wrong: bool) -> None:
    """Summarise what a certificate claims: statement, groups, and where the model is weak.

    Nothing is verified here; 'certify verify' does that.

    \b
      certify show exact.json
      certify show float32.json --against real.json     # what is lost under float32
      certify show every-input.json --wrong             # the inputs that are wrong
    """
    summary = summarise(certificate)
    if wrong:
        if not summary.runs:
            raise Unsupported(
                f"{certificate}: only a proof of leaves (strategy {EXHAUSTIVE}) names single inputs"
            )
        for tokens in summary.wrong():
            click.echo(" ".join(map(str, tokens)))
        return
    total = int(summary.statement["total"])
    lower, upper = int(summary.statement["correct_lower"]), int(summary.statement["correct_upper"])
    scope = summary.statement["scope"] if isinstance(summary.statement["scope"], str) else "product"
    click.echo(f"claim       {lower} <= correct <= {upper} of {total}")
    click.echo(f"accuracy    {_share(lower, total)} to {_share(upper, total)}")
    click.echo(f"model       {summary.statement['model']}")
    exp = "".join(
        f", {key} {summary.statement[key]}"
        for key in ("eps_exp", "eta_exp")
        if key in summary.statement
    )
    click.echo(
        f"task        {summary.task()}, scope {scope}, semantics {summary.statement['semantics']}{exp}"
    )
    click.echo(f"proof       strategy {summary.strategy}, {summary.operations} operations")
    console = Console(width=100)
    if summary.runs:
        if against is not None:
            raise Unsupported(f"{certificate}: --against compares proofs of cells")
        _print_runs(summary, console)
        return
    methods = Table("method", "groups", "possible failures", "smallest margin", title="groups")
    for method in dict.fromkeys(group.method for group in summary.groups):
        chosen = [group for group in summary.groups if group.method == method]
        failures = sum(group.failures[1] for group in chosen if group.failures)
        margin = min((group.margin for group in chosen if group.margin is not None), default=None)
        shown = "" if margin is None else f"{float(margin):.6f}"
        methods.add_row(
            method, str(len(chosen)), str(failures) if method != "extreme" else "0", shown
        )
    console.print(methods)
    failing = sorted(
        (g for g in summary.groups if g.failures and g.failures[1]),
        key=lambda g: -(g.failures or (0, 0))[1],
    )
    if weakest and failing:
        table = Table(
            "maximum",
            "queries",
            "method",
            "failures at least",
            "at most",
            "share",
            title="weakest groups",
        )
        for group in failing[:weakest]:
            least, most = group.failures or (0, 0)
            row = (group.maximum, group.spelled(), group.method, least, most, f"{most / total:.3e}")
            table.add_row(*map(str, row))
        console.print(table)
    if against is not None:
        _print_lost(summary, summarise(against), against, console)


def _print_runs(summary: Summary, console: Console) -> None:
    """Print what is claimed of how many inputs."""
    table = Table("inputs are", "leaves", "inputs", "smallest margin", title="leaves")
    for method in dict.fromkeys(run.method for run in summary.runs):
        chosen = [run for run in summary.runs if run.method == method]
        margin = min((run.margin for run in chosen if run.margin is not None), default=None)
        shown = "" if margin is None else f"{float(margin):.6f}"
        name = {"skip": "undecided", "either": "right or wrong"}.get(method, method)
        table.add_row(name, str(len(chosen)), str(sum(run.inputs for run in chosen)), shown)
    console.print(table)


def _print_lost(summary: Summary, other: Summary, against: Path, console: Console) -> None:
    """Print the groups in which more may fail than in the other certificate."""
    rows = lost(summary, other)
    click.echo(
        f"{len(rows)} groups prove less than in {against} (semantics {other.statement['semantics']})"
    )
    table = Table("maximum", "queries", "possible failures", "there", title="groups that lose")
    for group, here, there in sorted(rows, key=lambda row: row[2] - row[1]):
        table.add_row(str(group.maximum), group.spelled(), str(here), str(there))
    if rows:
        console.print(table)


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
@click.argument("model_file", metavar="MODEL.safetensors", type=_EXISTING)
@task_option(STRATEGIES_OF)
@click.option(
    "--quick",
    "level",
    flag_value="quick",
    help="One proof for each published row, or strategy: some minutes at most.",
)
@click.option(
    "--all",
    "level",
    flag_value="all",
    help="Every sub-cubic configuration and brute force too, or every input.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The JSON file to write.")
@click.option("--csv", "csv_file", type=_NEW_FILE, help="A table to write, one line a rung.")
@click.option(
    "--plot",
    "plot_file",
    type=_NEW_FILE,
    help="A picture to write: .svg, .png or .pdf (needs matplotlib).",
)
@click.option("--folder", type=_EXISTING, help="An existing folder to keep the certificates in.")
@click.option(
    "--time-limit",
    type=click.FloatRange(1),
    metavar="S",
    help="Seconds after which a rung is given up: 120 with --quick, 7200 with --all, else 600.",
)
def ladder(
    model_file: Path,
    task: str,
    level: Level | None,
    out: Path,
    csv_file: Path | None,
    plot_file: Path | None,
    folder: Path | None,
    time_limit: float | None,
) -> None:
    """Prove one model in many ways: how long a proof is against how much it proves.

    Every rung is proved and checked on its own; one that is refused, fails or
    takes too long becomes a row with the reason. Bounds are the checker's. For
    max-of-k, published rows are shown beside ours; for modular-addition, margins.

    \b
      certify ladder model.safetensors --task max-of-k --quick --out ladder.json
      certify ladder model.safetensors --task max-of-k --out ladder.json --csv ladder.csv --plot
      ladder.svg
      certify ladder model.safetensors --task modular-addition --out ladder.json --plot ladder.svg
    """
    level = level or "default"
    for path in (out, csv_file, plot_file):
        if path is not None:
            _require_folder(path)
    if folder is not None and not folder.is_dir():
        raise BadInput(f"{folder}: no such folder")
    if plot_file is not None:
        require_matplotlib(plot_file)
    model = load_model(model_file)
    forms = _forms(task)
    forms.require(model.config, model_file)
    run, listed = forms.rungs(level)
    limit = time_limit or {"quick": 120.0, "default": 600.0, "all": 7200.0}[level]
    with progress_bar("climbing", len(run)) as advance:
        climbed = climb(model_file, model, run, listed, limit, folder, advance, task)
    write_bytes(out, forms.as_json(climbed))
    if csv_file is not None:
        write_bytes(csv_file, forms.as_csv(climbed))
    if plot_file is not None:
        write_bytes(plot_file, forms.draw(climbed, plot_file.suffix))
    forms.show(climbed)
    written = ", ".join(str(path) for path in (out, csv_file, plot_file) if path is not None)
    click.echo(f"{len(climbed.proved())} of {len(climbed.rows)} rungs verified; wrote {written}")
    if not climbed.proved():
        raise CertifyError("no rung was verified")


@dataclasses.dataclass(frozen=True, slots=True)
class _Forms:
    """What the ladder of a task consists of, and how it is written."""

    require: Callable[[Config, Path], None]
    rungs: Callable[[Level], tuple[tuple[Rung, ...], tuple[Rung, ...]]]
    as_json: Callable[[Ladder], bytes]
    as_csv: Callable[[Ladder], bytes]
    draw: Callable[[Ladder, str], bytes]
    show: Callable[[Ladder], None]


def _forms(task: str) -> _Forms:
    """Return the forms of one task."""
    if task == CELLS:
        return _Forms(
            lambda config, file: require_one_layer(config, str(file)),
            rungs,
            as_json,
            as_csv,
            draw,
            _print_ladder,
        )
    own = ladder_addition
    return _Forms(
        lambda config, _: require_addition(config),
        own.rungs,
        own.as_json,
        own.as_csv,
        plot_addition.draw,
        _print_additions,
    )


def _print_additions(climbed: Ladder) -> None:
    """Print the verified rungs of modular addition for a reader, then the reasons of the others."""
    frontier = climbed.frontier()
    numbers = (
        "operations",
        "multiplications",
        "certified",
        "smallest",
        "median",
        "bytes",
        "prover s",
        "checker s",
    )
    table = Table(
        "rung",
        *numbers,
        title="* on the frontier: no other rung is both shorter and certifies more",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for rung, proof in climbed.proved():
        certified = (
            str(proof.lower) if proof.lower == proof.upper else f"{proof.lower} to {proof.upper}"
        )
        margins = ["" if found is None else _cut(found) for found in (proof.smallest, proof.median)]
        costs = [f"{proof.bytes:,}", f"{proof.prover_seconds:.1f}", f"{proof.checker_seconds:.1f}"]
        star = " *" if (rung, proof) in frontier else "  "
        table.add_row(
            rung.spelled(),
            f"{proof.operations:,}{star}",
            f"{proof.multiplications:,}",
            certified,
            *margins,
            *costs,
        )
    Console(width=150).print(table)
    click.echo(
        "smallest, median: margins that all, and at least half, of the inputs proved right have"
    )
    _print_unproved(climbed)


def _cut(bound: Fraction) -> str:
    """Return a lower bound with four decimals, cut off rather than rounded."""
    return f"{math.floor(bound * 10**4) / 10**4:.4f}"


def _print_unproved(climbed: Ladder) -> None:
    """Print the reasons of the rungs without a proof, and what no proof can pass."""
    total = climbed.total
    for row in climbed.rows:
        if row.proof is None:
            click.echo(f"{row.verdict:<10}{row.rung.group}: {row.rung.spelled()}: {row.reason}")
    click.echo(
        f"best upper bound: {climbed.best_upper()} of {total} right ({_share(climbed.best_upper(), total)})"
    )


def _print_ladder(climbed: Ladder) -> None:
    """Print the verified rungs for a reader, published bounds beside ours, then the reasons of the
    others.
    """
    published = references(climbed.config.n_ctx, climbed.config.d_vocab)
    frontier, total = climbed.frontier(), climbed.total
    numbers = (
        "operations",
        "accuracy >=",
        "error <=",
        "normalised",
        "published",
        "bytes",
        "prover s",
        "checker s",
    )
    table = Table(
        "rung", *numbers, title="* on the frontier: no other rung is both shorter and tighter"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for rung, proof in climbed.proved():
        found = published.get(rung.group)
        bounds = [
            _share(proof.lower, total),
            f"{(total - proof.lower) / total:.2e}",
            f"{normalised(climbed, proof):.6f}",
        ]
        costs = [f"{proof.bytes:,}", f"{proof.prover_seconds:.1f}", f"{proof.checker_seconds:.1f}"]
        star = " *" if (rung, proof) in frontier else "  "
        reference = f"{found.mean:.3f}" if found else ""
        table.add_row(
            f"{rung.group}\n  {rung.spelled()}",
            f"{proof.operations:,}{star}",
            *bounds,
            reference,
            *costs,
        )
    Console(width=150).print(table)
    _print_unproved(climbed)


@main.command("audit-exp")
@click.option(
    "--library",
    type=click.Choice([*LIBRARIES, "all"]),
    default="all",
    show_default=True,
    help="'all': those installed.",
)
@click.option(
    "--sample",
    type=click.IntRange(2),
    metavar="N",
    help="Scan N evenly spread inputs only; this bounds nothing.",
)
@click.option("--out", type=_NEW_FILE, required=True, help="The JSON record to write.")
def audit_exp(library: str, sample: int | None, out: Path) -> None:
    """Measure the float32 exp of the installed libraries over every input d <= 0.

    A claim about float32 assumes |exp(d) - e^d| <= eps_exp e^d + eta_exp. This
    finds both numbers for this build on this processor, PyTorch's softmax
    kernel included, which need not use the exp of torch.exp. About a minute
    for each function.

    \b
      certify audit-exp --out exp.json
      certify audit-exp --library numpy --sample 1000000 --out quick.json
    """
    _require_folder(out)
    records: list[Record] = []
    for function in functions(library):
        with progress_bar(f"scanning {function.name}", 1000) as advance:
            # The bar is a loop variable, and used up before the next turn.
            records.append(scan(function, sample, lambda share: advance(round(1000 * share), "")))
    write_bytes(out, records_as_json(records))
    for record in records:
        _print_record(record)
    click.echo(f"wrote {out}")


def _print_record(record: Record) -> None:
    """Print one scan for a reader."""
    eps, eta = (float(Fraction(*parse_fraction(text))) for text in (record.eps_exp, record.eta_exp))
    click.echo(f"{record.called}, version {record.version}, on {record.device}")
    kind = "every one" if record.is_exhaustive() else "a sample, which bounds nothing"
    click.echo(
        f"  inputs          {record.inputs} in [-104, 0] and {record.inputs_below} below: {kind}"
    )
    click.echo(
        f"  relative error  {record.relative_error:.6g} at {record.relative_at!r}, where e^d >= 2^-126"
    )
    click.echo(
        f"  absolute error  {record.absolute_error:.6g} * 2^-149 at {record.absolute_at!r}, elsewhere"
    )
    click.echo(f"  below -104      at most {record.largest_below:g}")
    click.echo(f"  eps_exp         {record.eps_exp} = 2^{math.log2(eps):.3f}")
    click.echo(f"  eta_exp         {record.eta_exp} = 2^{math.log2(eta):.3f}")


@main.command()
def demo() -> None:
    """Certify a trained transformer over all of its 16 777 216 inputs, in front of your eyes."""
    model_file = (
        Path(__file__).parent.parent / "certificates" / "max-of-4-seed-0" / "model.safetensors"
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


@contextlib.contextmanager
def progress_bar(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function of the finished steps and a short note.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    note = TextColumn("{task.fields[note]}")
    hidden = not console.is_terminal
    with Progress(*columns, note, console=console, transient=True, disable=hidden) as progress:
        bar = progress.add_task(label, total=total, note="")
        yield functools.partial(_advance, progress, bar)


def _advance(progress: Progress, bar: Any, completed: int, note: str) -> None:
    """Move a progress bar; a full one leaves the terminal to whatever comes next."""
    progress.update(bar, completed=completed, note=note)
    if progress.finished:
        progress.stop()


def _report(message: str) -> None:
    """Print one line on standard error, whatever the message holds."""
    line = " ".join(message.split())
    click.echo("certify: " + "".join(c if c.isprintable() else "?" for c in line), err=True)


def _require_folder(path: Path) -> None:
    """Refuse an output path that cannot work, before any time is spent."""
    if not path.parent.is_dir():
        raise BadInput(f"{path}: cannot be written: no folder {path.parent}")
    if path.is_dir():
        raise BadInput(f"{path}: cannot be written: it is a folder")


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


def _spelled_sizes(sizes: dict[str, int]) -> str:
    """Return the sizes of a task, the vocabulary as a word and the others as letters or terms."""
    return ", ".join(
        f"{name} {value}" if name in {"vocab", "modulus"} else f"{name} = {value}"
        for name, value in sizes.items()
    )


def _print_evaluation(
    model: Model, path: Path, task: str, scope: Scope, result: Evaluation
) -> None:
    """Print the result for a reader."""
    lines = [
        ("model", f"{path} (sha256 {model.sha256})"),
        ("task", f"{task}, {_spelled_sizes(TASKS[task].fields(model.config))}, scope {scope}"),
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
