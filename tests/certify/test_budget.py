"""What a strategy says of the checker's work: estimates close to what is charged, budgets kept or
refused in one line.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import oracle
import pytest
from click.testing import CliRunner
from jobs import named
from usual import usual_places

import certify
from certify.canonical import canonical
from certify.cells.below import Below
from certify.cells.draft import document
from certify.cells.forest import cell, tree
from certify.cells.numbering import numbering_of
from certify.cells.problem import Problem, TooDear
from certify.cells.scaled import scale
from certify.cells.strategies import STRATEGIES, cascade, copies
from certify.certificate.job import BUDGET
from certify.command import main
from certify.errors import ProvesNothing, Unsupported, UnusedOption
from certify.model.file import load_model
from certify.model.paths import decompose
from certify.progress import silent
from certify.question.domain import read_domain
from checker.cells.cell import Known
from checker.cells.derive import Cells
from checker.cells.forest import Forest
from checker.cells.paths import decompose as decompose_exactly
from checker.check import parse
from checker.ground.ledger import Ledger

TRAINED = Path(__file__).parent.parent / "data" / "max-of-4-accuracy-98.safetensors"
FRUGAL = [name for name, strategy in STRATEGIES.items() if BUDGET in strategy.takes]
LEAST = {"cascade": 1e-6, "subcubic": 1e-5}
"""An effort with which the proof of `tiny` is shorter, and still shows something."""
MAXIMA = (7, 20, 33, 41, 50, 58, 63)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny().bytes)
    return path


def tiny() -> models.Model:
    return models.good_model(random.Random(4), vocab=(6, 6), k=(3, 3))


@pytest.mark.parametrize(
    ("leaves", "worth"),
    [(cascade.pooled, 3e6), (cascade.pooled, 3e8), (copies._gaps, 1e8)],
    ids=["low", "high", "subcubic"],
)
def test_estimates_are_close_to_what_is_charged(leaves: Any, worth: float) -> None:
    """Some maxima of a trained model, the others skipped: the operations, and the failures that are
    left.
    """
    model, problem = load_model(TRAINED), trained()
    planned = {m: cascade._Search(problem, m, worth, leaves).plan() for m in MAXIMA}
    skipped = [
        (m, part) for m in range(64) if m not in MAXIMA for part in (range(m), [m]) if len(part)
    ]
    cells = [one for plan in planned.values() for one in plan.cells]
    cells += [one for m, part in skipped for one in tree(m, cell("skip", part))]
    data = TRAINED.read_bytes()
    parsed = parse(data, canonical(document(named(model, "test", "max-of-k"), cells, {})))
    book = Ledger(lambda done: None)
    checker = Cells(
        decompose_exactly(parsed.model, usual_places(parsed.model.sizes), {}, book),
        usual_places(parsed.model.sizes),
        parsed.precision,
        book,
    )
    before, work, lost = book.total, 0, 0
    assert isinstance(parsed.proof, Forest)
    for root in parsed.proof.roots:
        if root.maximum in MAXIMA:
            start = len(checker.outcomes)
            everything: tuple[int, ...] = ((2 << root.maximum) - 1,) * 4
            wrong = {j: everything for j in range(64) if j != root.maximum}
            checker.visit(root, Known(wrong, None))
            lost += sum(outcome.upper for outcome in checker.outcomes[start:])
    work = book.total - before
    tables = [table for table in vars(checker.scores.tables).values() if hasattr(table, "levels")]
    windows = sum(len(level) * len(level[0]) for table in tables for level in table.levels[1:])
    assert abs(work - windows - sum(plan.work for plan in planned.values())) < 0.15 * work
    assert lost / 64**4 == pytest.approx(sum(plan.loss for plan in planned.values()), abs=1e-9)


def trained() -> Problem:
    """Return the problem of a trained model, of every input alike."""
    model = load_model(TRAINED)
    numbered = numbering_of(read_domain(model.config), model.config.d_vocab_out)
    return Problem(numbered, [[1] * 64] * 4, scale(decompose(model)), 1.0, False, silent)


@pytest.mark.parametrize("leaves", [cascade.pooled, copies._gaps])
def test_a_plan_is_given_up_where_it_is_dearer(
    leaves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Problem, "maxima", lambda _: iter(MAXIMA[:3]))
    problem, worth = trained(), 1e8
    found = list(cascade.plans(problem, worth, leaves))
    price = sum(plan.value(worth) for plan in found)
    assert list(cascade.plans(replace(problem, most=price), worth, leaves)) == found
    with pytest.raises(TooDear):
        list(cascade.plans(replace(problem, most=0.999 * price), worth, leaves))


def test_a_cell_is_examined_alike_among_few_queries_and_among_many() -> None:
    cells, m = trained().cells, 41
    left, _ = next(cells.screens(m, [np.array([0, m])]))
    many = Below(cells, m, np.arange(m), left)
    for queries in (np.array([0]), np.array([3, 17, 40]), np.arange(m)):
        few = Below(cells, m, queries, left)
        assert many.size(queries) == few.size(queries) == cells.size(m, queries)
        for starts in (np.arange(m + 1), np.array([0, 5, 30, 38, m])):
            found, alone = (below.examine(queries, starts) for below in (many, few))
            assert found.operations == alone.operations >= many.least_work(queries, starts)
            assert np.array_equal(found.terms, alone.terms)
            assert np.array_equal(found.left.answers, alone.left.answers)
            assert np.array_equal(found.left.allowed, alone.left.allowed)
            assert np.array_equal(many.weights(found), cells.weights(found))


@pytest.mark.parametrize("strategy", FRUGAL)
def test_a_budget_is_kept(strategy: str, model_file: Path, tmp_path: Path) -> None:
    truth = oracle.truth(tiny().tensors, tiny().config).correct
    free = certify.prove(model_file, task="max-of-k", strategy=strategy, out=tmp_path / "free.json")
    effort = LEAST[strategy]
    least = certify.prove(model_file, task="max-of-k", strategy=strategy, effort=effort)
    with pytest.raises(ProvesNothing):
        certify.prove(model_file, task="max-of-k", strategy=strategy, effort=1e-12)
    most, few = (one.verdict.operations for one in (free, least))
    assert few < most
    for budget in (most, (most + few) // 2, few):
        try:
            found = certify.prove(
                model_file,
                task="max-of-k",
                strategy=strategy,
                out=tmp_path / "c.json",
                budget=budget,
            )
        except Unsupported as refusal:
            assert budget < most
            assert "\n" not in str(refusal)  # noqa: PT017 (it may also be kept)
            continue
        assert found.verdict.operations <= budget
        assert found.verdict.correct_lower <= truth
    same = certify.prove(
        model_file, task="max-of-k", strategy=strategy, out=tmp_path / "c.json", budget=most
    )
    assert same.verdict.correct_lower == free.verdict.correct_lower


@pytest.mark.parametrize("strategy", FRUGAL)
def test_a_budget_that_cannot_be_kept_is_refused(
    strategy: str, model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c.json"
    out.write_text("as it was")
    with pytest.raises(Unsupported, match=f"no proof by {strategy} within 10 operations"):
        certify.prove(model_file, task="max-of-k", strategy=strategy, out=out, budget=10)
    assert out.read_text() == "as it was"


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in FRUGAL])
def test_other_strategies_refuse_a_budget(strategy: str, model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusedOption, match="no use for --budget"):
        certify.prove(
            model_file, task="max-of-k", strategy=strategy, out=tmp_path / "c.json", budget=10**9
        )


@pytest.mark.parametrize(
    "strategy", [name for name, one in STRATEGIES.items() if "qk" not in one.takes]
)
@pytest.mark.parametrize("path", ["qk", "ov", "direct"])
def test_strategies_that_do_not_enclose_refuse_enclosures(
    strategy: str, path: str, model_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnusedOption, match=f"no use for --{path}"):
        certify.prove(
            model_file,
            task="max-of-k",
            strategy=strategy,
            out=tmp_path / "c.json",
            enclosures={path: "rank-1"},
        )


def test_refusals_are_one_line_and_exit_20(model_file: Path, tmp_path: Path) -> None:
    for arguments in (
        ["--strategy", "cascade", "--budget", "10"],
        ["--strategy", "exact", "--budget", "10"],
        ["--strategy", "exact", "--qk", "svd"],
        ["--strategy", "cascade", "--qk", "no-such-name"],
    ):
        line = [
            "prove",
            str(model_file),
            "--task",
            "max-of-k",
            "--out",
            str(tmp_path / "c.json"),
            *arguments,
        ]
        ended = CliRunner().invoke(main, line)
        assert ended.exit_code in (2, 20), arguments
        assert ended.stdout == ""
        assert ended.exit_code == 2 or ended.stderr.count("\n") == 1
        assert not (tmp_path / "c.json").exists()


def test_an_enclosure_is_proved_through_the_command_line(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    line = ["prove", str(model_file), "--task", "max-of-k", "--out", str(out)]
    line += ["--strategy", "subcubic", "--qk", "max_diff_exact"]
    line += ["--direct", "mean_query+max_diff", "--ov", "rank-2"]
    ended = CliRunner().invoke(main, line)
    assert ended.exit_code == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("s VERIFIED ")
    found = parse(model_file.read_bytes(), out.read_bytes()).proof
    assert isinstance(found, Forest)
    assert np.isin(["direct", "ov", "qk"], list(found.hints)).all()
