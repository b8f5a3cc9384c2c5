"""Proofs of modular addition: every strategy on a small model, its estimates, and what is
refused.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import addition as truth
import numpy as np
import pytest
from click.testing import CliRunner
from models import Model

import certify
from certify.canonical import canonical
from certify.certificate import finish
from certify.certificate.client import Answer, ask, run_checker
from certify.certificate.document import matrix
from certify.command.group import main
from certify.errors import CheckerRejected, Unsupported, UnusedOption
from certify.model.config import Config
from certify.model.file import load_model, save_model
from certify.question.domain import read_domain
from certify.question.float32 import NAME, Float32
from certify.question.question import read_question
from certify.question.scope import Scope
from certify.sums.draft import PRECISIONS
from certify.sums.estimates import fold
from certify.sums.family import require
from certify.sums.strategies import STRATEGIES

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
P = 7
ADDITION = "modular-addition"


def config(mix: str | None, **changes: Any) -> Config:
    fields: dict[str, Any] = {
        "d_vocab": P,
        "d_vocab_out": P,
        "n_ctx": 2,
        "d_model": 10,
        "d_head": 4,
        "n_heads": 2,
        "d_mlp": 60,
        "attn_only": False,
        "act_fn": "relu",
        "attention_mix": mix,
    }
    return Config(**{**fields, **changes})


def trained(path: Path, mix: str | None, noise: float = 0.01, context: int = 0) -> Path:
    """Write a model whose neurons are cosines of both tokens, one frequency each, as trained ones
    are; with positions of ``context`` after them there is one token more, of nothing.
    """
    rng, found = np.random.default_rng(0), config(mix)
    if context:
        found = config(mix, n_ctx=2 + context, d_vocab=P + 1, d_vocab_out=P + 1)
    at, angles = 2 * np.pi / P, np.arange(60) * 2 * np.pi / 20
    frequency = 1 + np.arange(60) // 20
    waves = [wave(at * k * np.arange(P)) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
    embedding = np.concatenate([np.array(waves).T, np.zeros((P, 4))], axis=1)
    w_in, w_out = np.zeros((10, 60)), np.zeros((60, 10))
    for i, (k, phi) in enumerate(zip(frequency, angles, strict=True)):
        w_in[2 * k - 2 : 2 * k, i] = np.cos(phi), -np.sin(phi)
        w_out[i, 2 * k - 2 : 2 * k] = np.cos(2 * phi), -np.sin(2 * phi)
    # Constant attention gives each head all of both tokens; one head takes half of the stream's own
    # second token away again.
    own, other = np.zeros((2, 10, 4)), np.zeros((2, 4, 10))
    for h, dims in enumerate((range(4), range(4, 6))):
        for slot, dim in enumerate(dims):
            own[h, dim, slot], other[h, slot, dim] = 8.0, 1.0
    w_in[:6] /= 8.0
    w_out *= 20.0  # the direct path is small beside the MLP
    tensors = {
        "embed.W_E": np.concatenate([embedding, np.zeros((found.d_vocab - P, 10))]),
        "pos_embed.W_pos": np.zeros((found.n_ctx, 10)),
        "blocks.0.attn.W_Q": np.zeros((2, 10, 4)),
        "blocks.0.attn.W_K": np.zeros((2, 10, 4)),
        "blocks.0.attn.W_V": own,
        "blocks.0.attn.W_O": other,
        "blocks.0.mlp.W_in": w_in,
        "blocks.0.mlp.W_out": w_out,
        "unembed.W_U": np.pad(4 * np.array(waves), ((0, 4), (0, found.d_vocab_out - P))),
    }
    noisy = {
        name: (t + noise * rng.standard_normal(t.shape)).astype(np.float32)
        for name, t in tensors.items()
    }
    save_model(path, noisy, found)
    return path


@pytest.fixture(scope="module")
def constant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("addition") / "constant.safetensors", "0x0.0p+0")


@pytest.fixture(scope="module")
def softmax(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("addition") / "softmax.safetensors", None, 0.2)


def float_margins(path: Path) -> Any:
    """Return the margins by the estimates' own folding."""
    model = load_model(path)
    tables = fold(model, read_question(ADDITION, model.config))
    return tables.margins(tables.writing, np.eye(P)).reshape(P, P)


def test_the_estimates_are_the_network(constant: Path, softmax: Path) -> None:
    for path in (constant, softmax):
        model, margins = load_model(path), float_margins(path)
        tensors = {
            name: np.asarray(t, dtype=np.float64).tolist() for name, t in model.tensors.items()
        }
        for a, b in ((0, 0), (1, 5), (6, 6), (3, 2)):
            logits = [float(x) for x in truth.logits(Model(model.config.as_dict(), tensors), a, b)]
            right = logits.pop((a + b) % P)
            assert abs(right - max(logits) - margins[a, b]) < 1e-6


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy_proves_what_is_true(constant: Path, tmp_path: Path, strategy: str) -> None:
    correct = int((float_margins(constant) > 0).sum())
    out = tmp_path / "proof.json"
    proved = certify.prove(constant, task="modular-addition", strategy=strategy, out=out)
    lower, upper = (
        proved.verdict.correct_lower,
        proved.verdict.correct_upper,
    )
    assert lower <= correct <= upper
    assert lower == upper or strategy not in ("brute-force", "low-rank")
    assert lower > 0.9 * correct  # no strategy is vacuous on such a model
    assert proved.data == out.read_bytes()
    assert proved.unexplained_dimension > 0
    line = [str(constant), str(out), "--task", f"{ADDITION}:{P}"]
    assert run_checker(line).returncode == 0
    claim = json.loads(out.read_bytes())["statement"]
    assert (claim["correct_lower"], claim["correct_upper"]) == (str(lower), str(upper))


@pytest.mark.parametrize("strategy", ["brute-force", "low-rank", "own-frequency"])
def test_softmax(softmax: Path, tmp_path: Path, strategy: str) -> None:
    correct = int((float_margins(softmax) > 0).sum())
    proved = certify.prove(
        softmax, task="modular-addition", strategy=strategy, out=tmp_path / "c.json"
    )
    assert proved.verdict.correct_lower <= correct <= proved.verdict.correct_upper
    if strategy != "own-frequency":
        assert proved.verdict.correct_lower == proved.verdict.correct_upper


@pytest.mark.parametrize("mix", ["0x0.0p+0", None])
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_context(tmp_path: Path, strategy: str, mix: str | None) -> None:
    """An equals sign after the operands: every strategy proves what is true."""
    path = trained(tmp_path / "context.safetensors", mix, context=1)
    model = load_model(path)
    domain = read_domain(model.config, f"0-{P - 1}/0-{P - 1}/@{P}")
    question = read_question(ADDITION, model.config, domain)
    tables = fold(model, question)
    margins = question.margins(model, domain.places_between(0, P * P))
    assert np.abs(tables.margins(tables.writing, np.eye(P + 1)) - margins).max() < 1e-6
    if strategy == "quadrature" and mix is None:
        with pytest.raises(Unsupported, match="constant attention"):
            certify.prove(path, task=question, strategy=strategy)
        return
    proved = certify.prove(path, task=question, strategy=strategy, out=tmp_path / "c.json")
    correct = int((margins > 0).sum())
    assert proved.verdict.total == P * P
    assert 0 < proved.verdict.correct_lower <= correct <= proved.verdict.correct_upper
    if strategy in ("brute-force", "low-rank"):
        assert proved.verdict.correct_lower == proved.verdict.correct_upper


def test_other_tasks(tmp_path: Path) -> None:
    """A polynomial and a group that are the same as the sum; strategies of addition decline."""
    path = trained(tmp_path / "context.safetensors", "0x0.0p+0", context=1)
    domain = f"0-{P - 1}/0-{P - 1}/@{P}"
    counts = set()
    for task in (ADDITION, f"polynomial:{P}:a+b", f"group:cyclic:{P}"):
        proved = certify.prove(path, task=task, domain=domain, strategy="brute-force")
        counts.add((proved.verdict.correct_lower, proved.verdict.correct_upper))
        if task != ADDITION:
            with pytest.raises(Unsupported, match="modular addition"):
                certify.prove(path, task=task, domain=domain, strategy="quadrature")
    assert len(counts) == 1


def test_switches_need_constant_attention(softmax: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="constant attention"):
        certify.prove(
            softmax, task="modular-addition", strategy="quadrature", out=tmp_path / "c.json"
        )


def test_a_tie_takes_every_precision(tmp_path: Path) -> None:
    path, found = (
        tmp_path / "flat.safetensors",
        config(None, d_mlp=1, d_model=1, d_head=1, n_heads=1),
    )
    rng = np.random.default_rng(1)
    shapes = truth.shapes(found.as_dict())
    tensors = {
        n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items() if ".b_" not in n
    }
    tensors["unembed.W_U"][:, 1] = tensors["unembed.W_U"][:, 0]
    save_model(path, tensors, found)
    proved = certify.prove(
        path, task="modular-addition", strategy="brute-force", out=tmp_path / "c.json"
    )
    certificate = json.loads((tmp_path / "c.json").read_bytes())
    assert proved.verdict.correct_lower <= proved.verdict.correct_upper
    assert certificate["proof"]["precision"] in PRECISIONS


@pytest.mark.parametrize("strategy", ["brute-force", "low-rank", "quadrature"])
def test_float32(constant: Path, tmp_path: Path, strategy: str) -> None:
    real, loose = (
        certify.prove(
            constant,
            task="modular-addition",
            strategy=strategy,
            out=tmp_path / "c.json",
            float32=narrow,
        )
        for narrow in (None, Float32())
    )
    statement = json.loads((tmp_path / "c.json").read_bytes())["statement"]
    assert (statement["semantics"], statement["eps_exp"]) == (NAME, "1/4194304")
    assert 0 < loose.verdict.correct_lower <= real.verdict.correct_lower
    assert real.verdict.correct_upper <= loose.verdict.correct_upper
    assert float(loose.verdict.fields["margin_lower"]) < float(real.verdict.fields["margin_lower"])


def test_float32_under_softmax(softmax: Path, tmp_path: Path) -> None:
    proved = certify.prove(
        softmax,
        task="modular-addition",
        strategy="low-rank",
        out=tmp_path / "c.json",
        float32=Float32(Fraction(1, 1 << 20)),
    )
    assert 0 < proved.verdict.correct_lower <= int((float_margins(softmax) > 0).sum())
    assert json.loads((tmp_path / "c.json").read_bytes())["statement"]["eps_exp"] == "1/1048576"


def test_a_float64_model_has_no_float32_program(constant: Path, tmp_path: Path) -> None:
    model, path = load_model(constant), tmp_path / "double.safetensors"
    save_model(
        path,
        {name: tensor.astype(np.float64) for name, tensor in model.tensors.items()},
        model.config,
    )
    with pytest.raises(Unsupported, match="stored in float64"):
        certify.prove(
            path,
            task="modular-addition",
            strategy="low-rank",
            out=tmp_path / "c.json",
            float32=Float32(),
        )
    assert not (tmp_path / "c.json").exists()


def test_a_product_scope(constant: Path, tmp_path: Path) -> None:
    weights = ((0, 1, 2, 3, 4, 5, 6), (1, 0, 0, 10, 0, 0, 0))
    scope = Scope("product", weights, "0" * 64)
    proved = certify.prove(
        constant, task="modular-addition", strategy="low-rank", scope=scope, out=tmp_path / "c.json"
    )
    assert proved.verdict.total == 21 * 11
    margins = float_margins(constant)
    correct = sum(
        weights[0][a] * weights[1][b] for a in range(P) for b in range(P) if margins[a, b] > 0
    )
    assert proved.verdict.correct_lower == proved.verdict.correct_upper == correct


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"n_ctx": 3}, "operands"),
        ({"n_ctx": 1}, "operands"),
        ({"d_vocab_out": P - 1}, "output"),
        ({"n_layers": 2}, "n_layers"),
        ({"act_fn": "gelu_new"}, "act_fn"),
        ({"act_fn": None, "attn_only": True, "d_mlp": None}, "attn_only"),
        ({"normalization_type": "LNPre"}, "normalization_type"),
        ({"readout": "sum-pool-mlp"}, "readout"),
    ],
)
def test_other_models_are_declined_in_one_line(changes: dict[str, Any], field: str) -> None:
    found = config(None, **changes)

    def ask() -> None:
        require(found, read_question(ADDITION, found), "")

    with pytest.raises(Unsupported, match=field) as refused:
        ask()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("options", [{"budget": 10**9}, {"enclosures": {"qk": "rank-1"}}])
def test_options_without_a_meaning_are_refused(
    constant: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UnusedOption):
        certify.prove(
            constant,
            task="modular-addition",
            strategy="low-rank",
            out=tmp_path / "c.json",
            **options,
        )
    assert not (tmp_path / "c.json").exists()


def test_the_command_line(constant: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    line = ["prove", str(constant), "--task", "modular-addition", "--out", str(out)]
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1].startswith(f"s VERIFIED task=modular-addition modulus={P} ")
    assert json.loads(out.read_bytes())["proof"]["strategy"] == "low-rank"
    assert out.read_bytes() == canonical(json.loads(out.read_bytes()))
    wrong = CliRunner().invoke(main, [*line, "--strategy", "cascade"])
    assert (wrong.exit_code, "has no strategy cascade" in wrong.output) == (20, True)
    facts = json.loads(
        CliRunner().invoke(main, [*line, "--strategy", "quadrature", "--json"]).stdout
    )
    assert facts["total"] == str(P * P)
    shown = CliRunner().invoke(main, ["show", str(out)])
    assert (shown.exit_code, "modular-addition" in shown.output) == (0, True)
    listed = CliRunner().invoke(main, ["strategies"]).output
    assert "quadrature" in listed


def test_hinted_matrices_are_small_integers() -> None:
    for values in (
        np.zeros((2, 2)),
        np.array([[1e-300, -1.0]]),
        np.array([[1e30, 3.0]]),
        np.array([[1e-40, 1e-41]]),
    ):
        found = matrix(values, 24)
        back = np.ldexp(np.array(found["rows"], dtype=float), found["exponent"])
        assert np.abs(back - values).max() <= max(np.abs(values).max() * 2.0**-22, 2.0**-128)
        assert max(abs(x) for row in found["rows"] for x in row) <= 2**31


@pytest.mark.parametrize("strategy", ["low-rank", "own-frequency", "quadrature"])
def test_a_published_checkpoint(tmp_path: Path, strategy: str) -> None:
    path = SHARED / "modadd59-constant-attention.safetensors"
    if not path.is_file():
        pytest.skip("the published checkpoint is not here")
    proved = certify.prove(
        path, task="modular-addition", strategy=strategy, out=tmp_path / "c.json"
    )
    assert proved.verdict.correct_lower == 3481


@pytest.mark.parametrize("code", [20, 10, 1])
def test_what_the_checker_does_not_verify_is_not_written(
    code: int, constant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Path, certificate: Path, *options: str) -> Answer:
        answer = ask(model, certificate, *options)
        report = "s DECLINED SPEC-8.2: too much\n"
        last = all(option.startswith("--jobs") for option in options)
        return Answer(code, report, "", answer.seconds) if last else answer

    monkeypatch.setattr(finish, "ask", broken)
    out = tmp_path / "c.json"
    with pytest.raises(CheckerRejected):
        certify.prove(constant, task="modular-addition", strategy="brute-force", out=out)
    assert not out.exists()
