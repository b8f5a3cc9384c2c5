"""Exhaustive proofs about domains: the bounds against an independent evaluation with 200 bits, and
the operations that are declared against those that the checker counts.

The checker runs in this process here: the same functions on the same files.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import asked
import models
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

import certify
from certify.canonical import canonical
from certify.certificate import finish
from certify.certificate.client import Answer
from certify.certificate.document import document_of
from certify.certificate.job import Job, Strategy
from certify.errors import ProvesNothing
from certify.leaves.work import operations_of
from certify.model.file import load_model
from certify.question.domain import read_domain
from certify.question.question import read_question
from certify.question.scope import UNIFORM
from certify.question.table import table_of
from checker.__main__ import Watch, arguments, refused
from checker.__main__ import run as run_checker
from checker.check import check, parse
from checker.ground.errors import Refusal

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "40"))
CLEAR = 1e-4
"""Where every margin is further from zero, floats know the outcome and what it costs."""


def in_process(model: Path, certificate: Path, *options: str) -> Answer:
    """Return how the checker ends on two files, without a process of its own."""
    try:
        text, code = (
            run_checker(arguments([*options, str(model), str(certificate)]), Watch(None)),
            0,
        )
    except Refusal as refusal:
        text, code = refused(refusal, as_object="--json" in options)
    return Answer(code, f"{text}\n", "", 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("domains")


@pytest.fixture(scope="module", autouse=True)
def _one_process() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "ask", in_process)
        yield


def require_exact(said: asked.Asked, folder: Path, weights: list[list[int]] | None) -> None:
    """Prove a question and assert that bounds, margin and operations are what they are."""
    file = folder / "model.safetensors"
    file.write_bytes(said.model.bytes)
    scope = "uniform"
    if weights is not None:
        (folder / "scope.json").write_bytes(models.scope_bytes(weights))
        scope = f"product:{folder / 'scope.json'}"
    inputs = said.inputs()
    rows = weights or [[1] * len(row) for row in said.tokens]
    shares = [_product(rows, places) for places in inputs]
    margins = [said.margin(places) for places in inputs]
    assume(max(abs(margin) for margin in margins) > CLEAR)
    right = sum(share for share, margin in zip(shares, margins, strict=True) if margin > 0)
    clear = all(abs(margin) > CLEAR for margin in margins)
    estimate = certify.evaluate(file, task=said.task, scope=scope, **said.texts)
    assert estimate.total == sum(shares)
    assert estimate.inputs == sum(share > 0 for share in shares)
    if clear:
        assert estimate.correct == right
        assert estimate.wrong == sum(
            share > 0 and margin < 0 for share, margin in zip(shares, margins, strict=True)
        )
        smallest = min(m for share, m in zip(shares, margins, strict=True) if share)
        assert abs(estimate.smallest_margin - smallest) <= 1e-6 * (1 + abs(smallest))
    try:
        certificate = certify.prove(
            file, task=said.task, strategy="exhaustive", scope=scope, **said.texts
        )
    except ProvesNothing:
        # Nothing with weight is known: possible where logits are equal only.
        assert not clear
        return
    verdict = certificate.verdict
    assert verdict.total == sum(shares)
    assert verdict.correct_lower <= right <= verdict.correct_upper
    theorem = check(parse(said.model.bytes, certificate.data), lambda done, declared: None)
    declared = int(certificate.document["proof"]["operations"])
    assert theorem.ledger.total <= declared
    event(f"clear: {clear}")
    if clear:
        assert verdict.correct_lower == verdict.correct_upper == right
        assert theorem.ledger.total == declared == verdict.operations
        least = min(
            (m for share, m in zip(shares, margins, strict=True) if share and m > 0), default=0
        )
        assert 0 <= least - float(verdict.fields["margin_lower"]) < CLEAR
    parts = {key: verdict.fields[key] for key in said.texts if key in verdict.fields}
    assert parts == said.domain().unusual
    # Whoever asks for the same words has it verified.
    answer = in_process(file, _written(folder, certificate.data), *_options(file, said))
    assert answer.code == 0, answer.last_line


def _product(rows: list[list[int]], places: tuple[int, ...]) -> int:
    found = 1
    for row, place in zip(rows, places, strict=True):
        found *= row[place]
    return found


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "certificate.json"
    path.write_bytes(data)
    return path


def _options(file: Path, said: asked.Asked) -> list[str]:
    spelled = certify.api.as_verdicts_spell(
        load_model(file).config, {"task": said.task, **said.texts}
    )
    return [f"--{name}={text}" for name, text in spelled.items()]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_proofs_about_domains_are_exact(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder, rich=True))
    weights = None
    if data.draw(st.booleans()):
        weights = [
            data.draw(st.lists(st.integers(0, 3), min_size=len(row), max_size=len(row)).filter(any))
            if len(row) > 1
            else [1]
            for row in said.tokens
        ]
    require_exact(said, folder, weights)


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_the_cost_of_some_inputs_is_what_the_checker_counts(
    folder: Path, data: st.DataObject
) -> None:
    """A pilot run would correct a wrong formula on small domains, so here there is none."""
    said = data.draw(asked.questions(folder, rich=True))
    file = folder / "model.safetensors"
    file.write_bytes(said.model.bytes)
    model = load_model(file)
    question = read_question(said.task, model.config, said.domain())
    inputs = said.inputs()
    chosen = sorted(data.draw(st.sets(st.integers(0, len(inputs) - 1), min_size=1, max_size=9)))
    # More precision is spent on an input only where less did not decide it.
    assume(all(abs(said.margin(inputs[index])) > CLEAR for index in chosen))
    precision = data.draw(st.sampled_from((128, 256, 512)))
    leaves = [
        {"inputs": "1", "method": "either" if index in chosen else "skip"}
        for index in range(len(inputs))
    ]
    job = Job(model, question, UNIFORM, Strategy("exhaustive", "", "", None))
    written = canonical(document_of(job, precision, leaves=leaves))
    theorem = check(parse(said.model.bytes, written), lambda done, declared: None)
    found = operations_of(model, question.domain, np.array(chosen), precision)
    assert found == theorem.ledger.total
    assert operations_of(model, question.domain, np.array([], dtype=np.int64), precision) == 0


@settings(max_examples=max(1, EXAMPLES // 4), deadline=None)
@given(data=st.data())
def test_a_model_agrees_with_its_own_table(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder, rich=True))
    file = folder / "model.safetensors"
    file.write_bytes(said.model.bytes)
    model, domain = load_model(file), said.domain()
    # Every output stands for its own number: whatever the model answers, it means something.
    texts: dict[str, Any] = {
        part: text for part, text in said.texts.items() if part in ("domain", "values", "read")
    }
    inputs = said.inputs()
    rows = [_winners(said, places) for places in inputs]
    assume(all(row is not None for row in rows))
    data_of = table_of(model, read_domain(model.config, **texts))
    listed = [row if len(said.reads) > 1 else row[0] for row in rows if row is not None]
    assert json.loads(data_of)["answers"] == listed
    path = folder / "table.json"
    path.write_bytes(data_of)
    found = certify.prove(file, task=f"table:{path}", strategy="exhaustive", **texts)
    assert found.verdict.correct_lower == found.verdict.correct_upper == domain.inputs
    question = read_question(f"table:{path}", model.config, read_domain(model.config, **texts))
    assert found.verdict.fields["table"] == question.fields["table"]


def _winners(said: asked.Asked, places: tuple[int, ...]) -> list[int] | None:
    """Return the output with the largest logit at every position that is read, None where two are
    close.
    """
    found = []
    for row in said.logits(places):
        first, second = sorted(row)[-1], sorted(row)[-2]
        if first - second < CLEAR:
            return None
        found.append(row.index(first))
    return found
