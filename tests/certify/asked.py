"""Random questions for the tests: domains as five texts, tasks that go with them, and their plain
answers.

``plain`` is written from SPEC-5.2 with Python's integers; it shares nothing with the prover or the
checker.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import networks
from hypothesis import strategies as st
from models import Model

from certify.certificate.document import statement_of
from certify.model.config import Config, config_from_dict
from certify.model.file import Model as Read
from certify.question.domain import Domain, read_domain
from certify.question.question import Question
from certify.question.scope import UNIFORM
from checker.statement.model import load_model as checked_model
from checker.statement.statement import Statement, build_statement

Values = tuple[int, ...]
LARGEST = 2**31 - 1
S3 = [list(images) for images in itertools.permutations(range(3))]
FOUR = [[0, 1, 2, 3], [1, 0, 2, 3], [0, 1, 3, 2], [1, 0, 3, 2]]
"""The group Z2 x Z2 on four points: it is closed, and has no name."""


@dataclass(frozen=True)
class Asked:
    """A model's sizes, a domain as texts, the values of its positions (None for context), and what
    each answer's output is.
    """

    model: Model
    texts: dict[str, str]
    tokens: list[list[int]]
    values: list[list[int] | None]
    output_of: dict[int, int]
    reads: list[int]
    task: str = ""
    rule: Any = field(default=None, compare=False)

    @property
    def config(self) -> Config:
        """Return the configuration as the prover reads it."""
        return config_from_dict(self.model.config, "model")

    def domain(self) -> Domain:
        """Return the domain as the prover reads it."""
        return read_domain(self.config, **self.texts)

    def operands(self, places: Sequence[int], read: int) -> Values:
        """Return the values of the operands of an input up to a position that is read."""
        return tuple(
            values[places[at]]
            for at, values in enumerate(self.values)
            if values is not None and at <= read
        )

    def inputs(self) -> list[tuple[int, ...]]:
        """Return every input by places, in lexicographic order."""
        return list(itertools.product(*(range(len(row)) for row in self.tokens)))

    def logits(self, places: Sequence[int]) -> list[list[Any]]:
        """Return the logits of an input at the positions that are read, in 200 bits."""
        pooled = "pool" in self.model.config.get("readout", "last")
        tokens = [row[place] for row, place in zip(self.tokens, places, strict=True)]
        rows = networks.logits(replace(self.model, every=not pooled), tokens)
        return rows if pooled else [rows[place] for place in self.reads]

    def margin(self, places: Sequence[int]) -> Any:
        """Return the margin of an input: the least over the positions that are read."""
        return min(
            row[right] - max(value for output, value in enumerate(row) if output != right)
            for row, right in zip(self.logits(places), self.right(places), strict=True)
        )

    def right(self, places: Sequence[int]) -> list[int]:
        """Return the right outputs of an input at the positions that are read, by definition."""
        return [
            self.output_of[plain(self.rule, self.operands(places, read))] for read in self.reads
        ]


def plain(rule: Any, values: Values) -> int:
    """Return the right answer to values, from the definition.  (SPEC-5.2)"""
    name, about = rule
    if name == "max-of-k":
        return max(values)
    if name == "argmax":
        return next(i for i, value in enumerate(values) if value == max(values))
    if name == "balanced-brackets":
        text = "".join("()"[value] for value in values)
        while "()" in text:
            text = text.replace("()", "")
        return int(not text)
    a, b = values
    if name == "modular-addition":
        return (a + b) % int(about)
    if name == "polynomial":
        p, terms = about
        # Python's 0**0 is 1.
        return int(sum(c * a**i * b**j for c, i, j in terms) % p)
    elements = about
    product = [elements[a][elements[b][point]] for point in range(len(elements[a]))]
    return int(elements.index(product))


def ranges(members: Sequence[int]) -> str:
    """Return ascending numbers as the texts spell them: ranges first-last by commas."""
    found: list[list[int]] = []
    for member in members:
        if found and found[-1][1] + 1 == member:
            found[-1][1] = member
        else:
            found.append([member, member])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in found)


def document_of(asked: Asked, question: Question) -> dict[str, Any]:
    """Return the statement of a certificate about a question, as JSON spells it."""
    read = Read(asked.config, {}, sha256(asked.model.bytes).hexdigest())
    found: dict[str, Any] = json.loads(json.dumps(statement_of(read, question, UNIFORM)))
    return found


def checked(asked: Asked, question: Question) -> Statement:
    """Return the statement that the checker builds of a question."""
    return checked_of(asked, document_of(asked, question))


def checked_of(asked: Asked, said: dict[str, Any]) -> Statement:
    """Return the statement that the checker builds of what a certificate says."""
    model = checked_model(asked.model.bytes)
    return build_statement(model, sha256(asked.model.bytes).hexdigest(), said)


# --- drawing ----------------------------------------------------------------------


def _subset(draw: st.DrawFn, size: int, most: int) -> list[int]:
    found = draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=min(size, most)))
    return sorted(found)


def _spelled_members(draw: st.DrawFn, members: list[int], size: int) -> str:
    whole = len(members) == size
    return "*" if whole and draw(st.booleans()) else ranges(members)


def _numbers(draw: st.DrawFn, members: list[int], drawn: st.SearchStrategy[int]) -> list[int]:
    many = len(members)
    return draw(st.lists(drawn, min_size=many, max_size=many, unique=True))


def _meant(
    draw: st.DrawFn, members: list[int], drawn: st.SearchStrategy[int]
) -> tuple[list[int], str]:
    """Return what members stand for, and a text that says so."""
    one_range = members[-1] - members[0] + 1 == len(members)
    how = draw(st.sampled_from(["own", "from", "list"] if one_range else ["own", "list"]))
    if how == "own":
        return members, "own"
    if how == "from":
        first = draw(drawn)
        return [first + at for at in range(len(members))], str(first)
    found = _numbers(draw, members, drawn)
    # A list of one number is one number.
    return found, ",".join(map(str, found))


RULES = ("max-of-k", "argmax", "balanced-brackets", "modular-addition", "polynomial", "group")
GROUPS: dict[str, list[list[int]]] = {
    "cyclic:3": [[(i + s) % 3 for i in range(3)] for s in range(3)],
    "symmetric:3": S3,
    "alternating:3": [[0, 1, 2], [1, 2, 0], [2, 0, 1]],
    "dihedral:3": [
        *([(i + s) % 3 for i in range(3)] for s in range(3)),
        *([(s - i) % 3 for i in range(3)] for s in range(3)),
    ],
}


def _rule(draw: st.DrawFn, folder: Path) -> tuple[str, tuple[str, Any], range | None]:
    """Return a task as text, for ``plain``, and the values that it takes."""
    name = draw(st.sampled_from(RULES))
    if name == "modular-addition":
        p = draw(st.integers(2, 9) | st.just(LARGEST))
        return f"{name}:{p}", (name, p), None
    if name == "polynomial":
        p = draw(st.integers(2, 9) | st.just(10007))
        powers = draw(
            st.lists(
                st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=3, unique=True
            )
        )
        powers.sort(reverse=True)
        terms = [(draw(st.integers(1, p - 1)), i, j) for i, j in powers]
        text = "+".join(f"{c}*a^{i}*b^{j}" for c, i, j in terms)
        return f"{name}:{p}:{text}", (name, (p, terms)), None
    if name == "group":
        spelled, elements = draw(st.sampled_from([*GROUPS.items(), ("", FOUR), ("", S3)]))
        if not spelled or draw(st.booleans()):
            elements = draw(st.permutations(elements))
            data = json.dumps(elements, separators=(",", ":")) + "\n"
            file = folder / f"{sha256(data.encode()).hexdigest()[:12]}.json"
            file.write_text(data)
            spelled = f"{spelled}@{file}" if spelled else str(file)
        return f"group:{spelled}", (name, elements), range(len(elements))
    return name, (name, None), range(2) if name == "balanced-brackets" else None


def _network(draw: st.DrawFn, chosen: dict[str, Any]) -> dict[str, Any]:
    """Draw the other features of a network, and its sizes."""
    for name, options in networks.FEATURES.items():
        if name not in ("attention_dir", "readout"):
            chosen[name] = draw(st.sampled_from(options))
    return {"d_model": 3, "d_head": 2}


@st.composite
def questions(draw: st.DrawFn, folder: Path, *, rich: bool = False) -> Asked:
    """Draw a domain and a task that goes with it; ``rich``: about a network of any kind."""
    task, rule, takes = _rule(draw, folder)
    pair = task.partition(":")[0] in ("modular-addition", "polynomial", "group")
    n = draw(st.integers(2 if pair else 1, 4))
    vocab = draw(st.integers(2, 5))
    operands = sorted(
        draw(st.permutations(range(n)))[: 2 if pair else draw(st.integers(1, min(n, 3)))]
    )
    bidirectional, pooled = draw(st.booleans()), draw(st.integers(0, 3)) == 0
    drawn = st.integers(-9, 9) if takes is None else st.integers(0, takes[-1])
    tokens: list[list[int]] = []
    values: list[list[int] | None] = []
    texts, value_texts = [], []
    for place in range(n):
        if place not in operands:
            tokens.append([draw(st.integers(0, vocab - 1))])
            values.append(None)
            texts.append(f"@{tokens[-1][0]}")
            continue
        members = _subset(draw, vocab, 3 if takes is None else min(3, len(takes)))
        meant, text = _meant(draw, members, drawn)
        if takes is not None and not set(meant) <= set(takes):
            meant = _numbers(draw, members, drawn)
            text = ",".join(map(str, meant))
        tokens.append(members)
        values.append(meant)
        texts.append(_spelled_members(draw, members, vocab))
        value_texts.append(text)
    # What is read has every operand before it where attention or the task asks for all of them.
    first = operands[-1] if bidirectional or pair else operands[0]
    reads = draw(st.sets(st.integers(first, n - 1), min_size=1))
    read_text = ",".join(map(str, sorted(reads)))
    if pooled:
        reads, read_text = {n - 1}, "last"
    elif sorted(reads) == list(range(n)):
        read_text = draw(st.sampled_from(["all", read_text]))
    answers = {
        plain(rule, row[:end])
        for end in {sum(place <= read for place in operands) for read in reads}
        for row in itertools.product(*(values[place] or () for place in operands))
    }
    if rule[0] == "argmax":
        answers = set(range(len(operands)))
    if rule[0] == "balanced-brackets":
        answers = {0, 1}
    if rule[0] == "max-of-k":
        answers |= {value for row in values if row is not None for value in row}
    more = draw(st.sets(st.integers(-20, 20), max_size=2)) - answers
    meant = draw(st.permutations(sorted(answers | more)))
    many = len(meant) + draw(st.integers(0, 2))
    outputs = sorted(draw(st.permutations(range(max(2, many))))[: len(meant)])
    chosen = {
        "attention_dir": "bidirectional" if bidirectional else "causal",
        "readout": "sum-pool-mlp" if pooled else None,
    }
    widths = _network(draw, chosen) if rich else {"d_model": 1, "d_head": 1}
    seed = draw(st.integers(0, 10**6)) if rich else 0
    model = networks.of(
        random.Random(seed), chosen, vocab=vocab, n=n, outputs=max(2, many), **widths
    )
    return Asked(
        model,
        {
            "domain": "/".join(texts),
            "values": "/".join(value_texts),
            "outputs": _spelled_members(draw, outputs, max(2, many)),
            "answers": ",".join(map(str, meant)),
            "read": read_text,
        },
        tokens,
        values,
        dict(zip(meant, outputs, strict=True)),
        sorted(reads),
        task,
        rule,
    )
