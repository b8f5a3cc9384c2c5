"""The laboratory's frame: results are the same bytes however often a run was killed, and a circuit
that is replaced leaves the others alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from small_models import random_model, random_tensors
from waiting import wait_until

from certify.api import prove
from certify.command.group import main
from certify.errors import BadInput, CertifyError
from certify.lab import run as running
from certify.lab.bench import Bench, accuracy_of
from certify.lab.circuits import circuits_of, model_of
from certify.lab.experiment import Asked, Experiment, Subject, Unit, read_seeds
from certify.lab.experiments import EXPERIMENTS
from certify.lab.kinds import KINDS, SMALL_MAX
from certify.lab.pictures import Pictures
from certify.lab.run import run_lab
from certify.lab.samples import Measured, margins_of, measured, sample_of
from certify.model.config import Config
from certify.model.file import Model, save_model
from certify.model.forward import logits
from certify.model.paths import decompose
from certify.sweep.store import Store

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(d_vocab=5, d_vocab_out=5, n_ctx=3, d_model=4, d_head=3)
SCOPE = EXPERIMENTS["scope"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the file of a small random model."""
    file = tmp_path / "small.safetensors"
    save_model(file, random_tensors(CONFIG, 1, biases=True), CONFIG)
    return file


def small(model: Path, **more: Any) -> Asked:
    """Return what asks for scopes of a small model."""
    usual = {"gaps": [2], "copies": [1], "strategies": ["exact"]}
    return Asked(SMALL_MAX, (model,), more={**usual, **more})


def files(folder: Path) -> Mapping[str, bytes]:
    """Return the results and the pictures of a run."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in ("lock", "timing.json")
    }


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("5,0-2,1", (5, 0, 1, 2))],
)
def test_seeds_are_read(text: str, seeds: tuple[int, ...]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "3-1", "-1", "1.5", "0-10000", "²"])
def test_other_texts_are_no_seeds(text: str) -> None:
    with pytest.raises(BadInput, match="seeds"):
        read_seeds(text)


@given(st.integers(0, 1000), st.booleans())
def test_the_factors_are_the_paths(seed: int, biases: bool) -> None:
    found = random_model(CONFIG, seed, biases=biases)
    paths, factors = decompose(found), circuits_of(found).paths()
    for name in ("EU", "EVOU", "PVOU", "EQKE", "EQKP"):
        np.testing.assert_allclose(getattr(factors, name), getattr(paths, name), atol=1e-12)


@given(st.integers(0, 1000))
def test_factors_written_as_a_model_are_that_model(seed: int) -> None:
    found = random_model(CONFIG, seed, biases=True)
    tensors, config = model_of(circuits_of(found), np.float64)
    written = Model(config, tensors, "0" * 64)
    tokens = sample_of(CONFIG.d_vocab, CONFIG.n_ctx, 64)
    np.testing.assert_allclose(logits(written, tokens), logits(found, tokens), atol=1e-9)


@given(st.integers(0, 1000), st.sampled_from(["query", "value", "direct"]))
def test_a_circuit_that_is_replaced_leaves_the_others_alone(seed: int, part: str) -> None:
    circuits = circuits_of(random_model(CONFIG, seed))
    shape = getattr(circuits, part).shape
    other = replace(circuits, **{part: np.random.default_rng(seed).standard_normal(shape)})
    tensors, config = model_of(other, np.float64)
    before, after = circuits.paths(), decompose(Model(config, tensors, "0" * 64))
    # The model's width of a head may differ, and its scores are divided by the root of that.
    scale = np.sqrt(CONFIG.d_head / config.d_head)
    touched = {"query": {"EQKE", "EQKP"}, "value": {"EVOU"}, "direct": {"EU"}}[part]
    for name in ("EU", "EVOU", "PVOU", "EQKE", "EQKP"):
        found = getattr(after, name) * (scale if name.startswith("EQ") else 1.0)
        same = np.allclose(found, getattr(before, name), atol=1e-9)
        assert same == (name not in touched), name


def test_wider_factors_keep_their_scores() -> None:
    circuits = circuits_of(random_model(CONFIG, 3))
    zeros = np.zeros((CONFIG.d_vocab, 2))
    wider = replace(
        circuits,
        query=np.hstack([circuits.query, zeros]),
        key=np.hstack([circuits.key, zeros + 1.0]),
        key_at=np.hstack([circuits.key_at, np.ones((CONFIG.n_ctx, 2))]),
    )
    tokens = sample_of(CONFIG.d_vocab, CONFIG.n_ctx, 64)
    tensors, config = model_of(wider, np.float64)
    assert config.d_head == 5
    expected = margins_of(circuits.paths(), tokens)
    np.testing.assert_allclose(margins_of(wider.paths(), tokens), expected, atol=1e-9)
    written = decompose(Model(config, tensors, "0" * 64))
    np.testing.assert_allclose(margins_of(written, tokens), expected, atol=1e-9)


def test_a_stream_that_is_too_wide_is_refused() -> None:
    circuits = circuits_of(random_model(CONFIG, 3))
    with pytest.raises(ValueError, match="the stream would be 2028 wide"):
        model_of(
            replace(
                circuits,
                query=np.zeros((5, 1007)),
                key=np.zeros((5, 1007)),
                key_at=np.zeros((3, 1007)),
                direct=np.zeros((5, 8)),
                unembed=np.zeros((8, 5)),
            )
        )


def test_the_sample_is_the_same_for_everybody_and_is_what_is_measured() -> None:
    tokens = sample_of(5, 3, 500)
    assert tokens.shape == (500, 3)
    assert set(np.unique(tokens)) == set(range(5))
    paths = decompose(random_model(CONFIG, 2))
    found = measured(paths, tokens)
    scores = logits(random_model(CONFIG, 2), tokens)
    assert found.right == int(np.sum(scores.argmax(axis=1) == tokens.max(axis=1)))
    facts = found.facts()
    assert facts["low"] <= found.right / 500 <= facts["high"]
    assert Measured(0, 10).facts()["low"] == 0.0


@pytest.mark.slow
def test_a_run_is_the_same_bytes_for_any_number_of_jobs(model: Path, tmp_path: Path) -> None:
    first = run_lab(SCOPE, small(model), out=tmp_path / "a", jobs=1)
    run_lab(SCOPE, small(model), out=tmp_path / "b", jobs=3)
    assert first.failures == ()
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert "results.json" in files(tmp_path / "a")
    units = first.results["units"]
    assert [unit["scope"] for unit in units] == ["uniform", "min-gap:2", "max-copies:1"]
    for unit in units:
        said = unit["certified"]
        assert said["line"].startswith("s VERIFIED ")
        assert f"certificate=sha256:{said['certificate_sha256']}" in said["line"]
        assert f"model=sha256:{first.results['models']['small']['sha256']}" in said["line"]
        assert said["lower"] == said["upper"]
        assert accuracy_of(said) == unit["estimate"]["accuracy"]
        assert (tmp_path / "a" / "certificates" / f"{said['certificate_sha256']}.json").is_file()


def test_a_killed_run_goes_on_to_the_same_bytes(model: Path, tmp_path: Path) -> None:
    words = ["lab", "scope", "--models", str(model), "--kind", "max-of-4", "--gaps", "2,3"]
    words += ["--copies", "1,2", "--strategies", "exact", "--out"]
    whole, out = tmp_path / "whole", tmp_path / "out"
    command = [sys.executable, "-m", "certify", *words]
    subprocess.run([*command, str(whole)], cwd=ROOT, check=True, capture_output=True)
    process = subprocess.Popen([*command, str(out)], cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(list((out / "jobs").glob("*.json"))) >= 2, "two records")
    process.kill()
    process.wait()
    assert not (out / "results.json").exists()
    kept = {path.name for path in (out / "jobs").glob("*.json")}
    subprocess.run([*command, str(out), "--jobs", "2"], cwd=ROOT, check=True, capture_output=True)
    assert files(out) == files(whole)
    assert kept <= {path.name for path in (out / "jobs").glob("*.json")}
    assert list((out / "running").iterdir()) == []


def test_a_step_is_done_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.opened():
        bench, calls = Bench(store), []

        def work() -> dict[str, int]:
            calls.append(1)
            return {"found": 3}

        for _ in range(2):
            assert bench.step("count", {"n": 3}, work) == {"found": 3}
        assert len(calls) == 1
        bench.step("count", {"n": 4}, work)
        assert len(calls) == 2


def test_what_a_strategy_cannot_prove_is_said(model: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    with store.opened():
        digest = store.keep_model(model.read_bytes())
        found = Bench(store).certified(digest, SMALL_MAX, strategy="chain")
    assert found["verdict"] not in ("VERIFIED", "FAILED")
    assert found["reason"]
    assert found["lower"] is found["line"] is None
    assert accuracy_of(found) is None


def test_what_is_certified_is_what_prove_certifies(model: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    with store.opened():
        digest = store.keep_model(model.read_bytes())
        found = Bench(store).certified(digest, SMALL_MAX, strategy="exact", float32=True)
        plain = Bench(store).certified(digest, SMALL_MAX, strategy="exact")
    known = prove(model, task="max-of-k", strategy="exact").verdict
    assert int(plain["lower"]) == known.correct_lower
    assert "semantics=float32:any-order" in found["line"]
    assert int(found["lower"]) <= int(plain["lower"])


def _broken(experiment: Experiment, tmp_path: Path) -> Experiment:
    """Return an experiment of which one unit fails until a file is there."""

    def units(_asked: Asked, _subjects: Sequence[Subject]) -> list[Unit]:
        return [Unit("good", {}), Unit("bad", {})]

    return replace(
        experiment,
        units=units,
        summary=lambda _asked, found: {"units": len(found)},
        rows=lambda results: results["units"],
        draw=lambda _results, _pictures: None,
    )


def test_a_unit_that_fails_is_named_and_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = _broken(SCOPE, tmp_path)
    failing, done = {"bad"}, []

    def run(self: Any, unit: Unit) -> Mapping[str, Any]:
        if unit.name in failing:
            raise CertifyError("it is broken")
        done.append(unit.name)
        return {"result": {"found": 1}, "used": {}}

    monkeypatch.setattr(running._Running, "_run", run)
    asked = Asked(SMALL_MAX, (), seeds=())
    first = run_lab(broken, asked, out=tmp_path / "out")
    assert first.failures == ("bad: it is broken",)
    assert first.results["complete"] is False
    failing.clear()
    second = run_lab(broken, asked, out=tmp_path / "out")
    assert second.failures == ()
    assert [unit["unit"] for unit in second.results["units"]] == ["good", "bad"]
    assert done == ["good", "bad"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_explains_itself(name: str) -> None:
    row = EXPERIMENTS[name]
    said = CliRunner().invoke(main, ["lab", name, "--help"])
    assert said.exit_code == 0
    assert "--smoke" in said.output
    assert set(row.kinds) <= set(KINDS)
    assert (row.draws is None) == ("--draws" not in said.output)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["--seeds", "x"], 2, "are not written like 0-19"),
        (["--gaps", "x"], 2, "invalid literal"),
        (["--models", "nothing.safetensors", "--seeds", "0"], 2, "--seeds trains models"),
        (["--models", "nothing.safetensors"], 20, "nothing.safetensors: no such file"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    words: list[str], code: int, line: str, tmp_path: Path
) -> None:
    said = CliRunner().invoke(main, ["lab", "scope", "--out", str(tmp_path / "out"), *words])
    assert said.exit_code == code
    assert line in said.output
    assert "Traceback" not in said.output


def test_a_folder_at_work_is_refused(model: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "out").opened():
        said = CliRunner().invoke(
            main, ["lab", "scope", "--out", str(tmp_path / "out"), "--models", str(model)]
        )
    assert said.exit_code == 20
    assert "is at work in this folder" in said.output


def test_pictures_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with Pictures(tmp_path / folder).picture("one", "A line") as (_, axes):
            axes.plot([1, 2], [3, 4])
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert set(files(tmp_path / "a")) == {"one.svg", "one.png"}


def test_results_have_no_times(model: Path, tmp_path: Path) -> None:
    run_lab(SCOPE, small(model), out=tmp_path / "out")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    timing = json.loads((tmp_path / "out" / "timing.json").read_text())
    assert "seconds" not in json.dumps(results)
    assert {one["what"] for one in timing.values()} == {"prove exact"}
    assert all(one["seconds"] for one in timing.values())
