"""What is asked of a model: a rule or a table, of which inputs, read where."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.canonical import canonical
from certify.errors import BadInput
from certify.files import read_bytes
from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import logits, margins
from certify.question.domain import Domain, Places, read_domain
from certify.question.rules import GROUP, Rule, require_answers, rule_named, spelled_task
from certify.question.table import MAXIMUM_FILE_BYTES, decode_table

Floats = NDArray[np.float64]
Outputs = NDArray[np.int64]
TABLE = "table"


@dataclass(frozen=True, slots=True)
class Question:
    """A task about the inputs of a domain, and how a certificate's statement spells it.

    ``label``:  for the checker's option ``--task``, with the hash of a file where there is one.
    ``fields``: what the verdict line says of the task.
    ``right``:  maps inputs [batch, n_ctx], by places, to the right outputs [batch, reads].
    """

    name: str
    spelled: Any
    label: str
    fields: dict[str, str]
    domain: Domain
    right: Callable[[Places], Outputs]

    def margins(self, model: Model, places: Places) -> Floats:
        """Return the margin of each input in float64: the least over the positions that are read.

        Requires: the question was read for this model's configuration; ``places`` [batch, n_ctx].
        """
        tokens = self.domain.tokens_at(places)
        scores = logits(model, tokens, self.domain.read or None)
        if scores.ndim == 2:
            scores = scores[:, None]
        found: Floats = margins(scores, self.right(places)).min(axis=1)
        return found


def read_question(text: str, config: Config, domain: Domain | None = None) -> Question:
    """Return the question that ``--task`` names about the inputs of a domain, the usual one if left
    out.

    Errors: ``BadInput`` or ``Unsupported`` for a task that is not known, does not go with the
            domain, or names a file that is not what it should be.
    """
    domain = domain or read_domain(config)
    if text.startswith(f"{TABLE}:"):
        return _of_table(Path(text.removeprefix(f"{TABLE}:")), config, domain)
    return _of_rule(rule_named(text, config, domain), domain)


def question_in(written: Any, config: Config, domain: Domain) -> Question:
    """Return the question whose task a certificate's statement holds, tables and elements whole.

    Errors: ``BadInput`` or ``Unsupported`` for a task that is none, as in ``read_question``.
    """
    held = written.get(TABLE) if isinstance(written, dict) else None
    begin = TABLE
    if isinstance(written, dict) and "elements" in (about := written.get(GROUP) or {}):
        held = about["elements"]
        begin = f"{GROUP}:{about['name']}@" if "name" in about else GROUP
    if held is None:
        return read_question(spelled_task(written), config, domain)
    # As the command line takes them: from a file.
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        file = Path(folder) / "held.json"
        file.write_bytes(canonical(held))
        between = "" if begin.endswith("@") else ":"
        return read_question(f"{begin}{between}{file}", config, domain)


def _output_of(domain: Domain) -> Callable[[Outputs], Outputs]:
    """Return what maps answers to outputs."""
    answers = np.array(domain.answers, dtype=np.int64)
    outputs = np.array(domain.outputs, dtype=np.int64)
    order = np.argsort(answers)
    return lambda wanted: outputs[order[np.searchsorted(answers[order], wanted)]]


def _of_rule(rule: Rule, domain: Domain) -> Question:
    output_of = _output_of(domain)
    ends = domain.ends()

    def right(places: Places) -> Outputs:
        values = domain.values_at(places)
        return output_of(np.stack([rule.answer(values[:, :end]) for end in ends], axis=1))

    return Question(rule.name, rule.spelled, rule.label, rule.fields, domain, right)


def _of_table(path: Path, config: Config, domain: Domain) -> Question:
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    table = decode_table(data, str(path))
    if table.tokens != domain.tokens:
        raise BadInput(f"{path}: field tokens is not the domain that is asked about (--domain)")
    reads = len(domain.ends())
    answers = np.array(table.answers, dtype=np.int64)
    if reads > 1 and (answers.ndim != 2 or answers.shape[1] != reads):
        raise BadInput(f"{path}: field answers must hold lists of {reads} answers (--read)")
    if reads == 1 and answers.ndim != 1:
        raise BadInput(f"{path}: field answers holds lists, one position is read (--read)")
    rows = answers.reshape(len(answers), reads)
    require_answers(set(np.unique(rows).tolist()), domain, f"{TABLE}:{path}")
    output_of = _output_of(domain)

    def right(places: Places) -> Outputs:
        return output_of(rows[np.ravel_multi_index(tuple(places.T), domain.sizes)])

    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    fields = {"n": str(config.n_ctx), "vocab": str(config.d_vocab), "table": digest}
    label = f"{TABLE}:{digest}"
    return Question(TABLE, {TABLE: table.value}, label, fields, domain, right)
