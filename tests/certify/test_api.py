"""The functions of the package's face: what they return, what they refuse, and what they need."""

from __future__ import annotations

import inspect
import json
import random
import re
import subprocess
import sys
import typing
from fractions import Fraction
from pathlib import Path

import models
import oracle
import pytest
from click.testing import CliRunner
from small_models import write_npz

import certify
from certify.command import main
from certify.errors import (
    BadInput,
    CertifyError,
    CheckerRejected,
    ProvesNothing,
    Unsupported,
    UnusedOption,
)
from certify.model import Config, Model

ROOT = Path(__file__).parents[2]
FUNCTIONS = (
    certify.prove,
    certify.verify,
    certify.evaluate,
    certify.load_model,
    certify.import_model,
    certify.save_model,
)


def tiny() -> models.Model:
    return models.good_model(random.Random(3), vocab=(4, 4), k=(3, 3))


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny().bytes)
    return path


def test_a_proof_is_a_certificate_that_was_verified(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    truth = oracle.truth(tiny().tensors, tiny().config).correct
    certificate = certify.prove(model_file, task="max-of-k", out=out)
    assert certificate.data == out.read_bytes()
    assert certificate.document == json.loads(out.read_bytes())
    verdict = certificate.verdict
    assert (verdict.correct_lower, verdict.correct_upper, verdict.total) == (truth, truth, 64)
    assert verdict.accuracy_lower == verdict.accuracy_upper == Fraction(truth, 64)
    assert verdict.fields["model"] == f"sha256:{certify.load_model(model_file).sha256}"
    assert str(verdict.operations) == certificate.document["proof"]["operations"]
    assert verdict.report.splitlines()[-1].startswith("s VERIFIED ")
    assert certificate.prover_seconds >= 0
    assert certificate.unexplained_dimension > 0


def test_the_command_line_writes_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    certificate = certify.prove(model_file, task="max-of-k", strategy="cascade", effort=2.0)
    out = tmp_path / "c.json"
    line = ["prove", str(model_file), "--task", "max-of-k", "--strategy", "cascade"]
    ended = CliRunner().invoke(main, [*line, "--effort", "2", "--out", str(out)])
    assert ended.exit_code == 0
    assert out.read_bytes() == certificate.data


def test_verify_takes_files_and_what_prove_returned(model_file: Path, tmp_path: Path) -> None:
    model = certify.load_model(str(model_file))
    certificate = certify.prove(model, task="max-of-k")
    certificate.save(tmp_path / "c.json")
    for one, other in ((model, certificate), (model_file, str(tmp_path / "c.json"))):
        found = certify.verify(one, other, task="max-of-k", at_least=Fraction(1, 64))
        assert found.fields == certificate.verdict.fields
    with pytest.raises(CheckerRejected, match=re.escape("SPEC-9.3")):
        certify.verify(model, certificate, at_least="2/1")
    with pytest.raises(CheckerRejected, match=re.escape("SPEC-9.3")):
        certify.verify(model, certificate, semantics="float32:any-order")
    with pytest.raises(BadInput, match="asked for what it does not know"):
        certify.verify(model, certificate, at_least="half")
    with pytest.raises(Unsupported):
        certify.verify(model, tmp_path / "absent.json")


def test_a_false_certificate_is_rejected(model_file: Path, tmp_path: Path) -> None:
    certificate = certify.prove(model_file, task="max-of-k")
    said = certificate.document
    said["statement"]["correct_lower"] = "64"
    (tmp_path / "c.json").write_text(json.dumps(said, sort_keys=True, separators=(",", ":")) + "\n")
    with pytest.raises(CheckerRejected, match=r"SPEC-5\.6"):
        certify.verify(model_file, tmp_path / "c.json")


def test_evaluate_is_what_the_command_prints(model_file: Path) -> None:
    found = certify.evaluate(model_file, task="max-of-k")
    printed = CliRunner().invoke(
        main, ["evaluate", str(model_file), "--task", "max-of-k", "--json"]
    )
    facts = json.loads(printed.stdout)
    assert (found.inputs, found.wrong, str(found.correct)) == (
        facts["inputs"],
        facts["wrong"],
        facts["correct"],
    )
    assert certify.evaluate(model_file, task="argmax", samples=50, seed=1).inputs == 50


def test_imported_models_are_proved(tmp_path: Path) -> None:
    model = tiny()
    file = tmp_path / "model.safetensors"
    file.write_bytes(model.bytes)
    loaded = certify.load_model(file)
    write_npz(tmp_path / "state.npz", loaded.tensors)
    tensors, config = certify.import_model(tmp_path / "state.npz")
    certify.save_model(tmp_path / "imported.safetensors", tensors, config)
    verdict = certify.prove(tmp_path / "imported.safetensors", task="max-of-k").verdict
    assert verdict.correct_lower == oracle.truth(model.tensors, model.config).correct


def test_progress_is_reported(model_file: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    certify.prove(model_file, task="max-of-k", progress=lambda *report: seen.append(report))
    assert seen[-1][0] == seen[-1][1] > 0
    assert all(0 <= done <= of for done, of, _ in seen)


REFUSALS: tuple[tuple[dict[str, typing.Any], type[CertifyError], str], ...] = (
    ({"task": "sorting"}, Unsupported, "there is no task 'sorting'"),
    ({"task": "max-of-k", "strategy": "low-rank"}, Unsupported, "has no strategy low-rank"),
    ({"task": "max-of-k", "effort": 2.0}, UnusedOption, "exact has no use for --effort"),
    ({"task": "max-of-k", "budget": 9}, UnusedOption, "exact has no use for --budget"),
    (
        {"task": "max-of-k", "strategy": "exhaustive", "float32": certify.Float32()},
        UnusedOption,
        "exhaustive has no use for --semantics",
    ),
    ({"task": "max-of-k", "strategy": "count", "effort": 0.0}, BadInput, "effort"),
    ({"task": "max-of-k", "strategy": "cascade", "budget": 0}, BadInput, "budget"),
    ({"task": "max-of-k", "scope": "some"}, Unsupported, "scope"),
    (
        {"task": "max-of-k", "strategy": "cascade", "enclosures": {"qk": "none"}},
        BadInput,
        "no enclosure none",
    ),
    ({"task": "modular-addition"}, Unsupported, "needs 2 operands, not 3 (n_ctx = 3: mark"),
    (
        {"task": "max-of-k", "strategy": "cascade", "effort": 1e-12},
        ProvesNothing,
        "strategy cascade proves nothing of this model",
    ),
)


@pytest.mark.parametrize(("options", "kind", "text"), REFUSALS)
def test_refusals_are_one_line_and_write_nothing(
    options: dict[str, typing.Any],
    kind: type[CertifyError],
    text: str,
    model_file: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "c.json"
    out.write_text("as it was")
    with pytest.raises(kind, match=re.escape(text)) as refused:
        certify.prove(model_file, out=out, **options)
    assert "\n" not in str(refused.value)
    assert out.read_text() == "as it was"


def test_a_model_that_was_never_in_a_file_is_refused() -> None:
    config = Config(2, 2, 2, 2, 2)
    with pytest.raises(BadInput, match="a certificate binds a file"):
        certify.prove(Model(config, {}, "0" * 64), task="max-of-k")


def test_the_face_is_typed_and_documented() -> None:
    assert (ROOT / "certify" / "py.typed").exists()
    assert set(certify.__all__) <= set(vars(certify))
    for function in FUNCTIONS:
        hints = typing.get_type_hints(function)
        assert set(inspect.signature(function).parameters) | {"return"} == set(hints)
        about = inspect.getdoc(function) or ""
        assert about.startswith(("Return ", "Write "))
        assert "Errors: " in about or "Raises: " in about
    for function in FUNCTIONS[:3]:
        assert all(key in (inspect.getdoc(function) or "") for key in ("Ensures:", "Cost:"))


def test_importing_needs_neither_torch_nor_a_terminal() -> None:
    code = (
        "import sys, certify; "
        "print({'torch', 'matplotlib', 'click', 'rich', 'checker'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ended.stdout == "set()\n"


def test_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_file: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "state.npz", certify.load_model(model_file).tensors)
    text = (ROOT / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks[:2]:  # the others are about shipped models: test_docs.py runs them
        exec(compile(block, "docs/python.md", "exec"), {})  # noqa: S102
    assert (tmp_path / "certificate.json").is_file()
    assert (tmp_path / "imported.json").is_file()
