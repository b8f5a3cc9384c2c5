"""Random domains, tasks over them, and tiny models for both.

A task is drawn first, then outputs that stand for its answers, so that a statement always has a
meaning.  What is right is said by `questions`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import prod
from typing import Any

import models
import networks
import questions
from models import Model

KINDS = (
    *("max-of-k", "argmax", "balanced-brackets", "table"),
    *("modular-addition", "polynomial", "group", "elements", "both"),
)
GROUPS = ("cyclic:1", "cyclic:4", "dihedral:3", "symmetric:3", "alternating:3", "alternating:4")
MOST_INPUTS = 40
Document = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A model, and what is asked of it."""

    model: Model
    domain: Document
    task: Any
    weights: list[list[int]] | None


def question(rng: random.Random, kind: str) -> Question:
    """Return a random question of one of the kinds, about a random model."""
    vocab = rng.randint(2, 6)
    pairs = KINDS.index(kind) > 3
    n = rng.randint(2, 4) if pairs else rng.randint(1, 4)
    chosen = {
        "attention_dir": rng.choice(("causal", "causal", "bidirectional")),
        "readout": rng.choice((None, "last", "last", "sum-pool-mlp", "mean-pool-mlp")),
        "mlp": rng.choice((None, "relu")),
        "biases": rng.random() < 0.5,
        "n_layers": rng.choice((1, 1, 2)),
    }
    group = rng.choice(GROUPS)
    takes = None
    if pairs and kind in ("group", "elements", "both"):
        takes = len(questions.elements({"name": group}))
    if kind == "balanced-brackets":
        takes = 2
    positions = positions_of(rng, vocab, n, 2 if pairs else None, takes)
    domain: Document = {"positions": positions, "outputs": [], "answers": "own"}
    domain["read"] = read_of(rng, positions, chosen, kind)
    task = task_of(rng, kind, group, domain)
    due = sorted(answers_of(kind, domain, task))
    spare = rng.randrange(3)
    width = max(2, len(due) + spare)
    if due[0] >= 0 and due[-1] < 8 and rng.random() < 0.5:
        width = max(width, due[-1] + 1)
        domain["outputs"] = runs(sorted({*due, *rng.sample(range(width), spare)}))
    else:
        outputs = sorted(rng.sample(range(width), rng.randint(len(due), width)))
        others = iter(sorted({*range(-9, 99)} - {*due}))
        numbers = due + [next(others) for _ in outputs[len(due) :]]
        domain["outputs"] = runs(outputs)
        domain["answers"] = rng.sample(numbers, len(numbers))
        first = min(numbers)
        in_a_row = numbers == list(range(first, first + len(numbers)))
        if in_a_row and len(domain["outputs"]) == 1 and rng.random() < 0.5:
            domain["answers"] = first
    model = networks.of(rng, chosen, vocab=vocab, n=n, outputs=width, d_model=2, d_head=1)
    weights = None
    if rng.random() < 0.5:
        sizes = [len(questions.tokens_at(position)) for position in positions]
        rows = [[rng.choice((0, 1, 1, 5)) for _ in range(size)] for size in sizes]
        weights = [row if any(row) and len(row) > 1 else [1] * len(row) for row in rows]
    return Question(model, domain, task, weights)


def runs(numbers: list[int]) -> list[list[int]]:
    """Return ascending numbers as ranges that do not touch."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def positions_of(
    rng: random.Random, vocab: int, n: int, operands: int | None, takes: int | None
) -> list[Document]:
    """Return positions with so many operands, whose values are below `takes`, and not too many
    inputs.
    """
    while True:
        count = operands or rng.randint(1, n)
        free = set(rng.sample(range(n), count))
        positions: list[Document] = []
        for place in range(n):
            if place not in free:
                positions.append({"context": rng.randrange(vocab)})
                continue
            most = vocab if takes is None else min(vocab, takes)
            tokens = sorted(rng.sample(range(vocab), rng.randint(1, most)))
            ranges = runs(tokens)
            drawn = range(takes) if takes is not None else range(-5, 9)
            values: Any = rng.sample(drawn, len(tokens))
            if takes is None and len(ranges) == 1 and rng.random() < 0.3:
                values = rng.randint(-9, 9)
            if rng.random() < 0.4 and (takes is None or tokens[-1] < takes):
                values = "own"
            positions.append({"tokens": ranges, "values": values})
        if prod(len(questions.tokens_at(place)) for place in positions) <= MOST_INPUTS:
            return positions


def read_of(
    rng: random.Random, positions: list[Document], chosen: Document, kind: str
) -> list[int]:
    """Return positions that a task may be asked at."""
    if "pool" in str(chosen["readout"]):
        return []
    n = len(positions)
    free = [place for place in range(n) if "context" not in positions[place]]
    first = free[0]
    if chosen["attention_dir"] == "bidirectional" or KINDS.index(kind) > 3:
        first = free[-1]
    allowed = range(n) if kind == "table" else range(first, n)
    return sorted(rng.sample(allowed, rng.randint(1, len(allowed))))


def task_of(rng: random.Random, kind: str, group: str, domain: Document) -> Any:
    """Return a task of a kind."""
    if kind == "table":
        reads = max(1, len(domain["read"]))
        rows = [[rng.randint(-3, 3) for _ in range(reads)] for _ in questions.inputs(domain)]
        tokens = [runs(questions.tokens_at(place)) for place in domain["positions"]]
        answers = rows if reads > 1 else [row[0] for row in rows]
        return {"table": {"answers": answers, "format": "certify.table/2", "tokens": tokens}}
    if kind == "modular-addition":
        return {kind: rng.choice((2, 3, 5, 7, 2**31 - 1))}
    if kind == "polynomial":
        p = rng.choice((2, 3, 5, 7))
        exponents = sorted({(rng.randrange(4), rng.randrange(4)) for _ in range(3)})
        terms = [[rng.randint(1, p - 1), i, j] for i, j in reversed(exponents)]
        return {kind: {"modulus": p, "terms": terms}}
    if kind in ("group", "elements", "both"):
        every = [list(images) for images in questions.elements({"name": group})]
        about: Document = {"name": group}
        if kind != "group":
            about["elements"] = rng.sample(every, len(every))
        if kind == "elements":
            del about["name"]
        return {"group": about}
    return kind


def answers_of(kind: str, domain: Document, task: Any) -> set[int]:
    """Return every answer that an output has to stand for."""
    reads = domain["read"] or [len(domain["positions"]) - 1]
    if kind == "table":
        rows = task["table"]["answers"]
        return {answer for row in rows for answer in (row if isinstance(row, list) else [row])}
    if kind == "balanced-brackets":
        return {0, 1}
    found = set()
    for tokens in questions.inputs(domain):
        for last in reads:
            values = questions.operands(domain, tokens, last)
            found |= (
                set(range(len(values))) if kind == "argmax" else {questions.answer(task, values)}
            )
    return found


def usual(model: Model) -> Document:
    """Return the usual domain of a model."""
    return models.domain_of(model.config)
