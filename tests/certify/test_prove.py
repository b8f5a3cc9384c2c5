"""`certify prove`, `verify`, `show`, `strategies` and `demo` as a user runs them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import oracle
import pytest
from click.testing import CliRunner
from jobs import named

from certify.cells import draft as cells_draft
from certify.certificate import client, finish
from certify.certificate.document import Document
from certify.command import main
from certify.errors import CheckerRejected
from certify.model import load_model
from checker.check import parse


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(models.good_model(random.Random(3), vocab=(4, 4), k=(3, 3)).bytes)
    return path


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines of standard output, and standard error."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return ended.exit_code, ended.stdout.splitlines(), ended.stderr


@pytest.mark.parametrize("strategy", ["brute-force", "exact", "count"])
def test_prove_writes_a_verified_certificate(
    strategy: str, model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "certificate.json"
    code, lines, _ = run(
        "prove", model_file, "--task", "max-of-k", "--strategy", strategy, "--out", out
    )
    assert code == 0
    assert lines[-1].startswith(
        "s VERIFIED task=max-of-k k=3 vocab=4 scope=uniform semantics=real total=64 "
    )
    parsed = parse(model_file.read_bytes(), out.read_bytes())
    truth = oracle.truth(*_tensors_of(model_file))
    assert parsed.claimed_lower <= truth.correct <= parsed.claimed_upper
    code, lines, _ = run("verify", model_file, out)
    assert (code, lines[-1].split()[:2]) == (0, ["s", "VERIFIED"])
    code, lines, _ = run("verify", model_file, out, "--at-least", "2/1")
    assert (code, lines[-1].split()[:2]) == (10, ["s", "REJECTED"])


def _tensors_of(path: Path) -> tuple[dict[str, object], dict[str, object]]:
    model = models.good_model(random.Random(3), vocab=(4, 4), k=(3, 3))
    assert model.bytes == path.read_bytes()
    return model.tensors, model.config


def test_certificates_are_the_same_bytes_each_time(model_file: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "a.json", tmp_path / "b.json"]
    for out in outs:
        assert (
            run("prove", model_file, "--task", "max-of-k", "--strategy", "count", "--out", out)[0]
            == 0
        )
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_claims_are_those_the_checker_derives(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    run("prove", model_file, "--task", "max-of-k", "--out", out)
    facts = json.loads(client.run_checker([str(model_file), str(out), "--json"]).stdout)
    whole = json.loads(out.read_text())
    assert whole["statement"]["correct_lower"] == facts["correct_lower"]
    assert whole["statement"]["correct_upper"] == facts["correct_upper"]
    assert whole["proof"]["operations"] == str(facts["operations"]["total"])


def test_a_refused_certificate_is_not_left_behind(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "certificate.json"
    out.write_text("as it was")
    claims = cells_draft.with_claims

    def greedy(drafted: Document, facts: dict[str, Any]) -> Document:
        whole = claims(drafted, facts)
        whole["statement"]["correct_lower"] = str(int(whole["statement"]["correct_lower"]) + 1)
        return whole

    monkeypatch.setattr(cells_draft, "with_claims", greedy)
    code, _, errors = run("prove", model_file, "--task", "max-of-k", "--out", out)
    assert code == 10
    assert "SPEC-5.6" in errors
    assert out.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "certificate.json",
        "model.safetensors",
    ]


def claiming(document: Document) -> finish.Drafting:
    """Claim a document, and give up where it is not verified."""
    yield finish.Claim(document, 0)


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "text", "truncated"])
def test_bad_models_get_one_line(damage: str, model_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    data = model_file.read_bytes()
    if damage == "folder":
        bad.mkdir()
    elif damage != "missing":
        bad.write_bytes(
            {"empty": b"", "text": b"hello, this is no model", "truncated": data[:-5]}[damage]
        )
    code, lines, errors = run("prove", bad, "--task", "max-of-k", "--out", tmp_path / "out.json")
    assert code == 20
    assert lines == []
    assert errors.startswith("certify: ")
    assert "bad.safetensors" in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out.json").exists()


def test_verify_passes_the_refusal_on(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}\n")
    code, lines, _ = run("verify", model_file, tmp_path / "no.json")
    assert (code, lines[-1][:22]) == (10, "s REJECTED SPEC-3.4: t")
    code, lines, _ = run("verify", model_file, tmp_path / "absent.json")
    assert (code, lines[-1][:14]) == (20, "s DECLINED io:")


def test_show_names_the_weakest_groups(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    run("prove", model_file, "--task", "max-of-k", "--out", out)
    code, lines, _ = run("show", out)
    assert code == 0
    statement = json.loads(out.read_text())["statement"]
    bounds = [statement["correct_lower"], "<=", "correct", "<=", statement["correct_upper"]]
    assert lines[0].split() == ["claim", *bounds, "of", "64"]
    assert any("extreme" in line or "enumerate" in line for line in lines)
    for content in ("", "[]\n", "{}\n", '{"format":"certify.certificate/9"}\n', "[" * 100000):
        out.write_text(content)
        code, lines, errors = run("show", out)
        assert code == 20
        assert errors.startswith("certify: ")
        assert errors.count("\n") == 1


def test_strategies_are_listed() -> None:
    code, lines, _ = run("strategies")
    assert code == 0
    for name in ("brute-force", "exact", "count"):
        assert any(name in line for line in lines)


def test_demo_ends_verified() -> None:
    code, lines, _ = run("demo")
    assert code == 0
    assert "16769545 of 16777216 right" in "\n".join(lines)
    assert lines[-1].startswith("s VERIFIED task=max-of-k k=4 vocab=64 ")
    assert "correct_lower=16769545 correct_upper=16769545" in lines[-1]


@pytest.mark.parametrize("strategy", ["exact", "brute-force"])
def test_a_strategy_that_cannot_reach_k_says_which_can(strategy: str, tmp_path: Path) -> None:
    model = Path(__file__).parent.parent / "data" / "max-of-10-accuracy-98.safetensors"
    code, _, errors = run(
        "prove", model, "--task", "max-of-k", "--strategy", strategy, "--out", tmp_path / "c.json"
    )
    assert code == 20
    assert errors.startswith(f"certify: strategy {strategy} ")
    assert "count" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        (20, "s DECLINED SPEC-8.2: too much\n"),
        (10, "s REJECTED SPEC-5.6: no\n"),
        (1, ""),
        (0, "c nothing\n"),
        (20, "s VERIFIED x\n"),
    ],
)
def test_only_verified_is_verified(
    code: int, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every prover ends here: what a checker declines, or crashes on, is not put in its place."""
    model_file = tmp_path / "model.safetensors"
    model_file.write_bytes(models.good_model(random.Random(3)).bytes)
    job = replace(named(load_model(model_file), "test", "max-of-k"), out=tmp_path / "c.json")
    document = {"statement": {"correct_lower": "1", "correct_upper": "2", "total": "2"}}
    monkeypatch.setattr(finish, "ask", lambda *_: client.Answer(code, printed, "", 0.0))
    out = tmp_path / "c.json"
    out.write_text("as before")
    with pytest.raises(CheckerRejected, match="not verified"):
        finish.finish(job, claiming(document))
    assert out.read_text() == "as before"


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (("exact", "--effort", "10"), "--effort"),
        (("exact", "--effort", "1"), "--effort"),
        (("count", "--budget", "10", "--qk", "exact"), "--budget, --qk"),
        (("cubic", "--effort", "2", "--qk", "svd"), "--effort"),
        (("exhaustive", "--semantics", "float32:any-order"), "--semantics"),
    ],
)
def test_an_option_that_a_strategy_does_not_use_is_wrong_usage(
    arguments: tuple[str, ...], unused: str, model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c.json"
    line = ["prove", model_file, "--task", "max-of-k", "--out", out, "--strategy", *arguments]
    code, lines, errors = run(*line)
    assert (code, lines, out.exists()) == (2, [], False)
    assert errors == f"certify: strategy {arguments[0]} has no use for {unused}\n"
