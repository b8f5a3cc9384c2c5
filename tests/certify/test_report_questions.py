"""A page about any question: random domains, tasks and networks, proved input by input, and cells
and sums about unusual domains.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asked
import models
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from reports import Read
from small_models import random_tensors
from test_exhaustive_domains import in_process

import certify
from certify.certificate import finish
from certify.errors import ProvesNothing
from certify.model.config import Config
from certify.model.file import save_model
from certify.report import compose, run

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "40")) // 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions")


def inherited(model: Path, certificate: Path, *options: str, **_: Any) -> Any:
    """Return how the checker ends, in this process."""
    return in_process(model, certificate, *options)


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "ask", in_process)
        patch.setattr(run, "ask", inherited)
        yield


def page_of(
    said: asked.Asked, folder: Path, weights: list[list[int]] | None, strategy: str | None = None
) -> Read:
    """Prove a question and return the page about it."""
    file = folder / "model.safetensors"
    file.write_bytes(said.model.bytes)
    scope = "uniform"
    if weights is not None:
        (folder / "scope.json").write_bytes(models.scope_bytes(weights))
        scope = f"product:{folder / 'scope.json'}"
    out = folder / "out.json"
    try:
        certify.prove(file, task=said.task, strategy=strategy, scope=scope, out=out, **said.texts)
    except ProvesNothing:
        assume(False)
    ended = certify.api.report(file, [out], folder / "report.html")
    assert ended.exit_code == 0
    return Read.of(folder / "report.html")


def small(**changed: Any) -> Config:
    """Return the sizes of a small model with one head and no MLP, but for what is changed."""
    sizes: dict[str, Any] = {"d_vocab": 5, "d_vocab_out": 5, "n_ctx": 3, "d_model": 3, "d_head": 2}
    return Config(**(sizes | changed))


CELLS = small()
SUMS = small(attn_only=False, act_fn="relu", d_mlp=7)
CONTEXT = {"domain": "0-3/0-3/@4"}
MANY = [
    (CELLS, "max-of-k", {}, "exact", None),
    (CELLS, "max-of-k", {}, "cascade", None),
    (CELLS, "max-of-k", {}, "cubic", None),
    (CELLS, "max-of-k", {}, "count", [[0, 1, 2, 0, 3], [1, 1, 1, 1, 1], [0, 0, 5, 1, 2]]),
    (CELLS, "max-of-k", CONTEXT, "exact", None),
    (
        CELLS,
        "max-of-k",
        {"domain": "@4/1-3/1-3", "values": "-5/-5", "answers": "-7"},
        "exact",
        None,
    ),
    (CELLS, "max-of-k", {"domain": "2/2/2"}, "exact", None),
    (SUMS, "modular-addition:4", CONTEXT, "brute-force", None),
    (SUMS, "modular-addition:4", CONTEXT, "low-rank", None),
    (SUMS, "modular-addition:3", CONTEXT, "brute-force", [[0, 1, 2, 0], [1, 1, 4, 1], [1]]),
    (SUMS, "polynomial:4:a^2+a*b", CONTEXT, "brute-force", None),
    (SUMS, "group:cyclic:4", {"domain": "0-3/@4/0-3"}, "brute-force", None),
    (SUMS, "group:symmetric:3", {"domain": "0-1/0-4/@4"}, "brute-force", None),
]


@pytest.mark.parametrize(("config", "task", "parts", "strategy", "weights"), MANY)
@pytest.mark.parametrize("float32", [None, certify.Float32()])
def test_cells_and_sums_of_any_domain(
    config: Config,
    task: str,
    parts: dict[str, Any],
    strategy: str,
    weights: list[list[int]] | None,
    float32: certify.Float32 | None,
    tmp_path: Path,
) -> None:
    if float32 is not None and strategy == "cubic":
        pytest.skip("cubic proofs are in real arithmetic")
    if task.endswith("symmetric:3"):
        config = small(attn_only=False, act_fn="relu", d_mlp=7, d_vocab_out=6)
    file, out, scope = tmp_path / "model.safetensors", tmp_path / "out.json", "uniform"
    if weights is not None:
        (tmp_path / "scope.json").write_bytes(models.scope_bytes(weights))
        scope = f"product:{tmp_path / 'scope.json'}"
    for seed in range(20):
        save_model(file, random_tensors(config, seed), config)
        try:
            told: dict[str, Any] = {"strategy": strategy, "scope": scope, "float32": float32}
            certify.prove(file, task=task, out=out, **told, **parts)
        except ProvesNothing:
            continue
        break
    assert certify.api.report(file, [out], tmp_path / "report.html").exit_code == 0
    page = Read.of(tmp_path / "report.html")
    assert page.verdicts == ["VERIFIED"]
    assert 1 <= len(page.examples) <= 6
    assert "There are no examples or pictures" not in page.text
    assert ("counts weights" in page.text) == (weights is not None)
    assert ("On a computer with ordinary 32-bit arithmetic" in page.text) == (float32 is not None)


def require_truth(said: asked.Asked, page: Read, weights: list[list[int]] | None) -> None:
    """Assert that every example says what is right, and whether the network is, by definition."""
    assert page.verdicts == ["VERIFIED"]
    assert len(page.examples) in range(1, 7)
    if weights is None:
        assert f"There are {len(said.inputs()):,} different".replace(",", "\u00a0") in page.text
    else:
        assert "counts weights" in page.text


@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a page takes long to shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_a_page_about_any_question(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder, rich=True))
    weights = None
    if data.draw(st.booleans()):
        weights = [
            [1] if len(row) == 1 else [data.draw(st.integers(0, 3)) for _ in row[1:]] + [2]
            for row in said.tokens
        ]
    page = page_of(said, folder, weights, "exhaustive")
    require_truth(said, page, weights)


def test_two_questions_on_one_page(tmp_path: Path) -> None:
    file, scope = tmp_path / "model.safetensors", tmp_path / "scope.json"
    save_model(file, random_tensors(CELLS, 0), CELLS)
    scope.write_bytes(models.scope_bytes([[1, 2, 1, 1, 3]] * 3))
    outs = [tmp_path / f"{name}.json" for name in ("uniform", "weighted", "argmax")]
    certify.prove(file, task="max-of-k", out=outs[0])
    certify.prove(file, task="max-of-k", scope=f"product:{scope}", out=outs[1])
    certify.prove(file, task="argmax", out=outs[2])
    assert certify.api.report(file, outs, tmp_path / "report.html").exit_code == 0
    page = Read.of(tmp_path / "report.html")
    assert [one.text for one in page.all("h3") if one.text.startswith("By ")] == [
        "By A",
        "By B",
        "By C",
    ]
    assert len(page.all("div", class_="statement")) == 3
    assert "has to name the largest" in page.text
    assert "at which place the largest stands" in page.text
    ids = [one.attributes["id"] for one in page.elements if "id" in one.attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scale", [1e-30, 1e8, 1e30])
@pytest.mark.parametrize(
    ("config", "task", "parts", "strategy"),
    [
        (CELLS, "max-of-k", {}, "exact"),
        (CELLS, "max-of-k", {}, "exhaustive"),
        (SUMS, "modular-addition:4", CONTEXT, "brute-force"),
    ],
)
def test_numbers_of_any_size(
    config: Config, task: str, parts: dict[str, Any], strategy: str, scale: float, tmp_path: Path
) -> None:
    file, out = tmp_path / "model.safetensors", tmp_path / "out.json"
    tensors = {name: tensor * np.float32(scale) for name, tensor in random_tensors(config).items()}
    save_model(file, tensors, config)
    try:
        certify.prove(file, task=task, strategy=strategy, out=out, **parts)
    except certify.CertifyError as error:
        pytest.skip(str(error))
    assert certify.api.report(file, [out], tmp_path / "report.html").exit_code == 0
    assert Read.of(tmp_path / "report.html").verdicts == ["VERIFIED"]


def test_a_picture_that_fails_leaves_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Any:
        raise ValueError("<no picture>")

    monkeypatch.setattr(compose, "examples_of", failing)
    file, out = tmp_path / "model.safetensors", tmp_path / "out.json"
    save_model(file, random_tensors(CELLS), CELLS)
    certify.prove(file, task="max-of-k", out=out)
    assert certify.api.report(file, [out], tmp_path / "report.html").exit_code == 0
    page = Read.of(tmp_path / "report.html")
    assert "There are no examples or pictures: <no picture>" in page.text
    assert len(page.all("div", class_="statement")) == 1


def test_a_draw_is_told(tmp_path: Path) -> None:
    file, out = tmp_path / "model.safetensors", tmp_path / "out.json"
    save_model(file, {name: 0 * tensor for name, tensor in random_tensors(CELLS).items()}, CELLS)
    certify.prove(file, task="max-of-k", strategy="exhaustive", out=out)
    assert certify.api.report(file, [out], tmp_path / "report.html").exit_code == 0
    page = Read.of(tmp_path / "report.html")
    assert "it answers none of them correctly. All 125 are answered wrongly." in page.text
    assert len(page.examples) == 3
    for one in page.examples:
        assert "A draw with" in one.text
        assert "✗ wrong" in one.text
        assert "Proved: wrong." in one.text
