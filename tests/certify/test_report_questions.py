"""A page about any question: random domains, tasks and networks, proved input by input, and cells
and sums about unusual domains.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asked
import models
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from reports import Read
from test_exhaustive_domains import in_process

import certify
from certify.certificate import finish
from certify.errors import ProvesNothing
from certify.report import run

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
