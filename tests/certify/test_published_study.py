"""The published study on small models: one command that sweeps, tabulates and draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_models import random_tensors

from benchmarks.published_study import main
from certify.model.config import Config
from certify.model.file import save_model
from certify.sweep.plan import read_plan

ROOT = Path(__file__).resolve().parents[2]
TEXT = """
task = "max-of-k"
[[models]]
files = ["*.safetensors"]
[[strategies]]
name = "exact"
group = "exact"
[[strategies]]
name = "cubic"
group = "cubic"
"""


def test_the_study_tabulates_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    config = Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=2, d_head=2)
    for seed in (1, 2):
        save_model(tmp_path / f"{seed}.safetensors", random_tensors(config, seed=seed), config)
    file, out = tmp_path / "study.toml", tmp_path / "out"
    file.write_text(TEXT)
    ended = CliRunner().invoke(main, [str(file), "--out", str(out)])
    assert ended.exit_code == 0, ended.output
    text = (out / "study.md").read_text()
    assert "# max-of-2, vocabulary 3: 2 seeds" in text
    assert "### Tightest rung of each row, seed by seed" in text
    assert ended.stdout == text + "\n"
    (exact,) = [line for line in text.splitlines() if line.startswith("| exact |")]
    assert "| 1.0000 ± 0.0000 |" in exact
    whole = json.loads((out / "study.json").read_text())["ladders"]
    results = json.loads((out / "results.json").read_text())
    bounds = {row["correct_lower"] for row in results["rows"] if row["verdict"] == "VERIFIED"}
    assert {row["correct_lower"] for one in whole for row in one["rows"]} >= bounds
    assert (out / "study-k2-v3.svg").read_bytes().startswith(b"<?xml")


def test_a_study_that_is_not_one_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text("x = 1")
    ended = CliRunner().invoke(main, [str(file), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 20
    assert ended.stderr.startswith(f"published_study: {file}: x is not known here")


@pytest.mark.parametrize(
    ("name", "models"), [("published-study", 755), ("published-study-smoke", 2)]
)
def test_the_files_of_the_study_are_plans(name: str, models: int) -> None:
    plan = read_plan(ROOT / "benchmarks" / f"{name}.toml")
    assert len(plan.trainings) == models
