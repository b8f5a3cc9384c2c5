"""Scopes with a condition through the commands: evaluated, proved, shown, verified, refused."""

from __future__ import annotations

import random
from pathlib import Path

import models
import oracle
import pytest
from click.testing import CliRunner
from conditions import fulfils

from certify import api
from certify.command import main
from certify.question.scope import read_scope

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "certificates"


def written(seed: int, folder: Path) -> tuple[models.Model, Path]:
    """Return a random model and its file."""
    model = models.good_model(random.Random(seed))
    path = folder / "model.safetensors"
    path.write_bytes(model.bytes)
    return model, path


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["min-gap", "max-copies"])
def test_the_estimate_counts_the_inputs_of_the_condition(
    kind: str, seed: int, tmp_path: Path
) -> None:
    model, path = written(seed, tmp_path)
    condition = {kind: 1 + seed % (3 if kind == "min-gap" else model.config["n_ctx"])}
    truth = oracle.truth(model.tensors, model.config)
    right = sum(fulfils(condition, tokens) for tokens in truth.right)
    total = right + sum(fulfils(condition, tokens) for tokens in truth.wrong)
    asked = f"{kind}:{condition[kind]}"
    if not total:
        return
    found = api.evaluate(path, task="max-of-k", scope=asked)
    assert (found.total, found.inputs) == (total, total)
    assert found.correct is not None
    assert abs(found.correct - right) <= found.uncertain
    drawn = api.evaluate(path, task="max-of-k", scope=asked, samples=500, seed=1)
    assert drawn.low - 1e-9 <= right / total <= drawn.high + 1e-9
    proved = api.prove(path, task="max-of-k", strategy="exhaustive", scope=asked)
    said = proved.document["statement"]
    assert said["scope"] == condition
    assert int(said["total"]) == total
    assert int(said["correct_lower"]) <= right <= int(said["correct_upper"])


def test_a_claim_over_a_condition_is_shown_and_verified(tmp_path: Path) -> None:
    model = SHIPPED / "max-of-4-seed-0" / "model.safetensors"
    out = tmp_path / "proof.json"
    run = CliRunner().invoke
    task = ["--task", "max-of-k"]
    proof = ["prove", str(model), *task, "--strategy", "cascade", "--scope", "min-gap:40"]
    proved = run(main, [*proof, "--out", str(out)])
    assert proved.exit_code == 0, proved.output
    shown = run(main, ["show", str(out)])
    assert "scope min-gap:40" in shown.output
    good = run(main, ["verify", str(model), str(out), "--scope", "min-gap:40"])
    assert good.exit_code == 0
    assert "every operand the largest or at least 40 below it" in good.output
    for scope in ("uniform", "min-gap:39", "max-copies:1"):
        assert run(main, ["verify", str(model), str(out), "--scope", scope]).exit_code == 10


@pytest.mark.parametrize("scope", ["min-gap:", "min-gap:0", "min-gap:x", "max-copies:0", "gap:2"])
def test_what_is_no_condition_is_one_line(scope: str) -> None:
    model = SHIPPED / "max-of-4-seed-0" / "model.safetensors"
    found = CliRunner().invoke(
        main, ["evaluate", str(model), "--task", "max-of-k", "--scope", scope]
    )
    assert found.exit_code in (2, 10, 20)
    assert "Traceback" not in found.output


def test_more_copies_than_operands_are_refused() -> None:
    model = SHIPPED / "max-of-4-seed-0" / "model.safetensors"
    with pytest.raises(Exception, match="only 4 operands"):
        api.evaluate(model, task="max-of-k", scope="max-copies:5")


def test_sums_are_not_about_conditions() -> None:
    model = SHIPPED / "modadd113-equals-seed-0" / "model.safetensors"
    with pytest.raises(Exception, match="not about the scope min-gap:2"):
        api.prove(
            model,
            task="modular-addition:113",
            strategy="brute-force",
            scope="min-gap:2",
            domain="0-112/0-112/@113",
        )


def test_labels_are_those_of_verdicts() -> None:
    for label in ("uniform", "min-gap:7", "max-copies:3"):
        assert str(read_scope(label)) == label
