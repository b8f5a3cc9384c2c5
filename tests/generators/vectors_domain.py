"""Vectors for SPEC-5.2, SPEC-5.3, SPEC-5.7 and SPEC-9.3: domains, and tasks over their values.

Proofs are leaves.  What is right is said by `questions`, what a model answers by `networks`, in 200
bits.  `chapter` takes the book and the module `make_vectors`, which imports this file.
"""

# ruff: noqa: E501 (a row of a table is one line)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import models
import networks
import questions
from models import Model
from vectors_leaves import leaf, random_model, split, tight, truth

Document = dict[str, Any]
ADD = {"modular-addition": 3}
EQUALS = random_model(51, {"mlp": "relu"}, vocab=4, n=3, outputs=4)
"""Adds two of the tokens 0 to 2, as far as it does; 3 is context."""


def among(first: int, last: int, values: Any = "own") -> Document:
    """Return a position with one range of tokens."""
    return {"tokens": [[first, last]], "values": values}


def context(token: int) -> Document:
    """Return a position with one token, which is no operand."""
    return {"context": token}


BEHIND = [among(0, 2), among(0, 2), context(3)]
POINTS = [list(images) for images in questions.elements({"name": "symmetric:3"})]
OWN_ORDER = [POINTS[place] for place in (3, 0, 5, 1, 4, 2)]
TURNS = [[0, 1, 2], [2, 0, 1], [1, 2, 0]]


def polynomial(modulus: int, *terms: list[int]) -> Document:
    """Return a polynomial's task."""
    return {"polynomial": {"modulus": modulus, "terms": list(terms)}}


def domain_of(model: Model, positions: Sequence[Document] | None = None, **parts: Any) -> Document:
    """Return a domain with other positions or parts than the usual ones."""
    placed = {} if positions is None else {"positions": list(positions)}
    return models.domain_of(model.config, **placed, **parts)


class Chapter:
    """The book, and how this chapter writes in it."""

    def __init__(self, book: Any, make: Any) -> None:
        self.book = book
        self.make = make

    def accept(
        self,
        clause: str,
        name: str,
        why: str,
        model: Model,
        task: Any,
        domain: Document,
        weights: list[list[int]] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Document:
        """Add a proof that decides every input, and return it."""
        doc = split(self.make, model, task, weights, domain)
        found = truth(self.make, model, task, weights, domain)
        self.book.accept(
            clause, name, why, model, doc, exact=True, truth=found, arguments=arguments
        )
        return doc

    def refuse(
        self,
        clause: str,
        name: str,
        why: str,
        domain: Document,
        task: Any = ADD,
        model: Model = EQUALS,
        *,
        declined: bool = False,
    ) -> None:
        """Add a certificate that claims nothing of all inputs of the domain."""
        doc = networks.document(model, task, [leaf(9)], domain=models.domain_of(model.config))
        doc["statement"] |= {"domain": domain, "total": "9", "correct_upper": "9"}
        self.book.refuse(clause, name, why, doc, model, declined=declined)


def chapter(book: Any, make: Any) -> None:
    """SPEC-5.2, SPEC-5.3, SPEC-5.7 and SPEC-9.3."""
    own = Chapter(book, make)
    domains(own)
    no_domains(own)
    tasks(own)
    no_tasks(own)
    tables(own)
    groups(own)
    scopes(own)
    cells(own)
    required(own)


# --- SPEC-5.7 ---------------------------------------------------------------------


def domains(own: Chapter) -> None:
    """Domains that are accepted."""
    every = [[0, 3]]
    for name, why, task, positions, parts in (
        ("context-behind", "context behind the operands", ADD, BEHIND, {}),
        ("context-before", "context before the operands", ADD, [BEHIND[2], *BEHIND[:2]], {}),
        ("context-between", "context between", ADD, [BEHIND[0], BEHIND[2], BEHIND[1]], {}),
        ("one-operand", "two positions of context", "argmax", [context(1), BEHIND[0], context(1)], {}),
        ("one-token", "one token that is an operand", "max-of-k", [among(0, 3), among(2, 2), among(1, 3)], {}),
        ("some-tokens", "tokens with holes", "max-of-k", [{"tokens": [[0, 0], [2, 3]], "values": "own"}] * 3, {}),
        ("negative-values", "values from a number on", ADD, [among(0, 2, -4), among(1, 3, -1), context(0)], {}),
        ("listed-values", "values in an order of their own", "argmax",
         [{"tokens": [[0, 0], [2, 3]], "values": [7, -5, 2**31 - 1]}, among(0, 2, [1, -(2**31) + 1, 0]), context(1)], {}),
        ("answers-in-another-order", "outputs stand for other answers", ADD, BEHIND, {"answers": [2, 0, 1, 3]}),
        ("answers-from", "answers from a number on", "max-of-k", [among(0, 3, -2)] * 2 + [context(0)], {"answers": -2}),
        ("some-outputs", "an output that stands for nothing", ADD, BEHIND,
         {"outputs": [[0, 1], [3, 3]], "answers": [1, 0, 2]}),
        ("some-outputs-own", "outputs that stand for their numbers", ADD, BEHIND, {"outputs": [[0, 2]]}),
        ("read-two", "two positions are read", "max-of-k", [among(0, 2), context(3), among(0, 3)], {"read": [0, 2]}),
        ("read-early", "only the second position is read", ADD, BEHIND, {"read": [1]}),
        ("read-context", "an operand and the context behind it are read", ADD, BEHIND, {"read": [1, 2]}),
        ("read-after-context", "the first position that is read has an operand before it", "argmax",
         [context(0), among(0, 1), among(2, 3)], {"read": [1, 2]}),
        ("answers-of-prefixes", "the answers to all prefixes, each a largest value", "max-of-k",
         [among(0, 1, 5), among(2, 3, 6), among(0, 1, 6)], {"read": [0, 1, 2], "outputs": every, "answers": [5, 7, 6, 9]}),
    ):  # fmt: skip
        own.accept("SPEC-5.7", name, why, EQUALS, task, domain_of(EQUALS, positions, **parts))
    both = random_model(52, {"attention_dir": "bidirectional"}, vocab=4, n=3, outputs=4)
    for name, read in (("bidirectional", [2]), ("bidirectional-read-two", [1, 2])):
        why = "every position sees all, and answers the whole question"
        own.accept("SPEC-5.7", name, why, both, ADD, domain_of(both, BEHIND, read=read))
    pooling = random_model(53, {"readout": "mean-pool-mlp"}, vocab=4, n=3, outputs=4)
    why = "all positions are pooled, context too"
    own.accept("SPEC-5.7", "pooled", why, pooling, ADD, domain_of(pooling, BEHIND))
    wide = random_model(54, vocab=60, n=1, outputs=2, d_model=1, d_head=1)
    long = domain_of(wide, [among(0, 59, [10**8 + 7 * place for place in range(60)])])
    own.accept("SPEC-5.7", "long", "a text of more than 400 characters", wide, "argmax", long)
    flat = random_model(55, vocab=1024, n=7, outputs=7, d_model=1, d_head=1, spread=0, dtype="F16")
    count = 1024**7
    leaves = [leaf(1, "wrong"), leaf(count - 2, "skip"), leaf(1, "wrong")]
    some = domain_of(flat, [among(0, 1023, -7)] * 7)
    doc = tight(own.make, flat, networks.document(flat, "argmax", leaves, domain=some))
    # Every logit is zero, so every input is a tie, hence wrong.
    none = own.make.oracle.Truth(0, count, (), (), (), {})
    why = "2^70 inputs, of which two are looked at"
    own.book.accept("SPEC-5.7", "past-2-64", why, flat, doc, truth=none)


def no_domains(own: Chapter) -> None:
    """Domains that are none."""

    def refuse(clause: str, name: str, why: str, **parts: Any) -> None:
        own.refuse(clause, name, why, domain_of(EQUALS, **{"positions": BEHIND, **parts}))

    for name, ranges, why in (
        ("empty", [], "no range"),
        ("repeated", [[0, 2], [0, 2]], "a range twice"),
        ("unordered", [[2, 2], [0, 0]], "ranges that do not ascend"),
        ("touching", [[0, 0], [1, 2]], "ranges that touch"),
        ("overlapping", [[0, 1], [1, 2]], "ranges that overlap"),
        ("backwards", [[2, 0]], "a range that ends before it begins"),
        ("too-large", [[0, 2], [4, 4]], "a number that the model does not have"),
    ):
        for part, tokens in (("tokens", True), ("outputs", False)):
            first: Document = {"positions": [{"tokens": ranges, "values": "own"}, *BEHIND[1:]]}
            changed = first if tokens else {"outputs": ranges}
            refuse("SPEC-5.7", f"{part}-{name}", f"{part}: {why}", **changed)
    for name, positions, why in (
        ("too-few-positions", BEHIND[:2], "fewer positions than the model has"),
        ("too-many-positions", [*BEHIND, context(3)], "more positions than the model has"),
        ("no-positions", [], "no positions"),
        ("context-4", [*BEHIND[:2], context(4)], "a token of context that the model does not have"),
        ("all-context", [context(3)] * 3, "no operand"),
        ("values-too-few", [among(0, 2, [0, 1]), *BEHIND[1:]], "two values for three tokens"),
        ("values-too-many", [among(0, 2, [0, 1, 2, 3]), *BEHIND[1:]], "four values for three"),
        ("values-repeated", [among(0, 2, [0, 1, 1]), *BEHIND[1:]], "a value twice"),
        ("values-empty", [among(0, 2, []), *BEHIND[1:]], "no values"),
        ("values-from-with-two-ranges", [{"tokens": [[0, 0], [2, 3]], "values": 5}, *BEHIND[1:]],
         "values from a number on, for tokens with holes"),
    ):  # fmt: skip
        refuse("SPEC-5.7", name, why, positions=positions)
    for name, parts, why in (
        ("answers-too-few", {"answers": [0, 1, 2]}, "three answers for four outputs"),
        ("answers-too-many", {"answers": [0, 1, 2, 3, 4]}, "five answers for four outputs"),
        ("answers-repeated", {"answers": [0, 1, 2, 0]}, "two outputs for one answer"),
        ("answers-from-with-two-ranges", {"answers": 0, "outputs": [[0, 1], [3, 3]]},
         "answers from a number on, for outputs with holes"),
        ("read-unordered", {"read": [2, 1]}, "positions that do not ascend"),
        ("read-repeated", {"read": [2, 2]}, "a position twice"),
        ("read-3", {"read": [2, 3]}, "a position that the model does not have"),
        ("read-empty", {"read": []}, "no position is read, and none is pooled"),
    ):  # fmt: skip
        refuse("SPEC-5.7", name, why, **parts)
    pooling = random_model(53, {"readout": "mean-pool-mlp"}, vocab=4, n=3, outputs=4)
    for read in ([2], [0, 1, 2]):
        own.refuse(
            "SPEC-5.7",
            f"read-{len(read)}-of-pooled",
            "positions that are read, and all are pooled",
            domain_of(pooling, BEHIND, read=read),
            model=pooling,
        )
    both = random_model(52, {"attention_dir": "bidirectional"}, vocab=4, n=3, outputs=4)
    for name, why, model, task, positions, read in (
        ("read-before-operands", "no operand before a position that is read", EQUALS, "max-of-k",
         [BEHIND[2], *BEHIND[:2]], [0, 2]),
        ("read-only-before-operands", "no operand before the position that is read", EQUALS, "argmax",
         [BEHIND[2], *BEHIND[:2]], [0]),
        ("bidirectional-early", "the first operand is read, and sees the second", both, "max-of-k", BEHIND, [0]),
        ("bidirectional-all", "every position is read, and sees what follows", both, "max-of-k", BEHIND, [0, 1, 2]),
    ):  # fmt: skip
        domain = domain_of(model, positions, read=read)
        own.refuse("SPEC-5.7", name, why, domain, task, model, declined=True)
    value: Any
    for name, value in (
        ("tokens-and-context", {"context": 3, **BEHIND[0]}),
        ("tokens-alone", {"tokens": [[0, 2]]}),
        ("values-alone", {"values": "own"}),
        ("context-of-two", {"context": 3, "contexts": 2}),
        ("position-empty", {}),
        ("position-list", [[0, 2]]),
        ("tokens-number", {"tokens": 3, "values": "own"}),
        ("tokens-of-one", {"tokens": [[3]], "values": "own"}),
        ("tokens-of-three", {"tokens": [[0, 1, 2]], "values": "own"}),
    ):
        refuse(
            "SPEC-3.4", f"domain-{name}", "no position of a domain", positions=[value, *BEHIND[1:]]
        )
    for name, value in (
        ("context-list", context(0) | {"context": [3]}),
        ("context-true", {"context": True}),
        ("context-text", {"context": "3"}),
        ("context-negative", context(-1)),
        ("tokens-true", {"tokens": [[False, True]], "values": "own"}),
        ("tokens-negative", {"tokens": [[-1, 2]], "values": "own"}),
        ("values-text", among(0, 2, "first")),
        ("values-true", among(0, 2, True)),
        ("values-of-texts", among(0, 2, ["0", "1", "2"])),
        ("values-null", among(0, 2, None)),
        ("values-2-31", among(0, 2, [0, 1, 2**31])),
        ("values-minus-2-31", among(0, 2, -(2**31))),
    ):
        refuse(
            "SPEC-3.3", f"domain-{name}", "no position of a domain", positions=[value, *BEHIND[1:]]
        )
    refuse("SPEC-3.3", "domain-read-true", "true is not 1", read=[True, 2])
    refuse("SPEC-3.4", "domain-read-number", "a number where a list is due", read=2)
    refuse("SPEC-3.4", "domain-more", "a key that has no place here", label="*")
    domain = domain_of(EQUALS, BEHIND)
    for part in domain:
        without = {key: value for key, value in domain.items() if key != part}
        own.refuse("SPEC-3.4", f"domain-without-{part}", "a part is missing", without)
    for name, value in (("text", "0-2/0-2/@3"), ("null", None)):
        own.refuse("SPEC-3.4", f"domain-{name}", "no object", value)
    old = networks.document(EQUALS, ADD, [leaf(64)], domain=domain_of(EQUALS))
    old["statement"]["total"] = old["statement"]["correct_upper"] = "64"
    del old["statement"]["domain"]
    own.book.refuse("SPEC-3.4", "no-domain", "a statement without a domain", old, EQUALS)
    old["format"] = "certify.certificate/1"
    why = "a certificate as it was before there were domains"
    own.book.refuse("SPEC-5.1", "before-domains", why, old, EQUALS, declined=True)


# --- SPEC-5.2 ---------------------------------------------------------------------


def tasks(own: Chapter) -> None:
    """Tasks over values that are accepted."""
    task: Any
    five = random_model(56, {"mlp": "relu"}, vocab=3, n=2, outputs=5)
    whole = [among(0, 2)] * 2
    for name, why, task, positions, parts in (
        ("addition-modulo-2", "a modulus below the tokens", {"modular-addition": 2}, whole, {}),
        ("addition-modulo-5", "a modulus that no sum reaches", {"modular-addition": 5}, whole, {}),
        ("addition-of-negatives", "values below zero", {"modular-addition": 5}, [among(0, 2, -7), among(0, 2, [3, -1, 8])], {}),
        ("addition-modulo-2-31", "the largest modulus", {"modular-addition": 2**31 - 1},
         [among(0, 2, 2**31 - 4), among(0, 2, [1, 2, 3])], {"outputs": [[0, 4]], "answers": [2**31 - 2, 2**31 - 3, 0, 1, 2]}),
        ("polynomial", "two squares and a product", polynomial(5, [1, 2, 0], [3, 1, 1], [1, 0, 2]), whole, {}),
        ("polynomial-constant", "a constant", polynomial(5, [1, 1, 0], [4, 0, 0]), whole, {}),
        ("polynomial-of-one", "one operand that does not matter", polynomial(5, [2, 0, 3]), whole, {}),
        ("polynomial-at-zero", "0^0 is 1", polynomial(3, [1, 0, 0]), whole, {}),
        ("polynomial-65536", "the largest exponent", polynomial(5, [1, 65536, 1], [2, 1, 65536]), whole, {}),
        ("polynomial-of-negatives", "values below zero", polynomial(5, [1, 1, 0], [4, 0, 3]), [among(0, 2, -3)] * 2, {}),
    ):  # fmt: skip
        own.accept("SPEC-5.2", name, why, five, task, domain_of(five, positions, **parts))
    for name, why, task, positions in (
        ("max-with-context", "the largest of the operands alone", "max-of-k", [among(0, 1), context(3), among(0, 2)]),
        ("argmax-with-context", "the place among the operands", "argmax", [context(3), among(0, 2), among(1, 3)]),
        ("brackets-with-context", "brackets behind a token that is none", "balanced-brackets",
         [context(3), among(1, 2, 0), among(1, 2, [1, 0])]),
    ):  # fmt: skip
        own.accept("SPEC-5.2", name, why, EQUALS, task, domain_of(EQUALS, positions))


def no_tasks(own: Chapter) -> None:
    """Tasks that are none, or not about this domain."""

    def refuse(
        name: str,
        why: str,
        task: Any,
        positions: Sequence[Document] = BEHIND,
        clause: str = "SPEC-5.2",
        *,
        declined: bool = False,
        **parts: Any,
    ) -> None:
        domain = domain_of(EQUALS, positions, **parts)
        count = len(questions.inputs(domain))
        doc = networks.document(EQUALS, task, [leaf(count)], domain=domain)
        own.book.refuse(clause, name, why, doc, EQUALS, declined=declined)

    for name, why, task, positions, parts in (
        ("addition-of-three-operands", "three operands", ADD, [among(0, 2)] * 3, {}),
        ("addition-of-one-operand", "one operand", ADD, [context(3), context(3), among(0, 2)], {}),
        ("addition-read-early", "one operand up to a position that is read", ADD, BEHIND, {"read": [0, 2]}),
        ("polynomial-of-three-operands", "three operands", polynomial(3, [1, 1, 1]), [among(0, 2)] * 3, {}),
        ("group-of-three-operands", "three operands", {"group": {"name": "cyclic:3"}}, [among(0, 2)] * 3, {}),
        ("addition-no-output", "a sum that no output stands for", {"modular-addition": 5}, BEHIND, {}),
        ("addition-output-not-listed", "an answer whose output is not listed", ADD, BEHIND, {"outputs": [[0, 1]]}),
        ("addition-other-answers", "an answer that is no answer of an output", ADD, BEHIND, {"answers": [1, 2, 3, 4]}),
        ("max-no-output", "a value that no output stands for", "max-of-k", [among(0, 3, 1), *BEHIND[1:]], {}),
        ("max-no-output-of-a-prefix", "the largest of a prefix that no output stands for", "max-of-k",
         [among(0, 1, -1), among(2, 3), context(0)], {"read": [0, 2]}),
        ("argmax-no-output", "the place of the last operand", "argmax", [among(0, 3)] * 3, {"outputs": [[0, 1]]}),
        ("brackets-no-output", "balanced has no output", "balanced-brackets", [among(0, 1)] * 3, {"answers": [0, 2, 3, 4]}),
        ("brackets-of-other-values", "values that are no brackets", "balanced-brackets", [among(0, 1), among(0, 1, 1), context(2)], {}),
        ("group-value-too-large", "a value that is no element", {"group": {"name": "cyclic:3"}}, [among(0, 3), *BEHIND[1:]], {}),
        ("group-value-negative", "a negative value, which Python would count from the end", {"group": {"name": "cyclic:3"}},
         [among(0, 2, -1), *BEHIND[1:]], {}),
        ("polynomial-no-output", "a value that no output stands for", polynomial(7, [1, 1, 1]), [among(0, 3), among(0, 3), context(0)], {}),
    ):  # fmt: skip
        refuse(name, why, task, positions, declined=True, **parts)
    # The operands that would give the answer have no weight: the clause does not look at weights.
    weighed = networks.document(
        EQUALS,
        {"modular-addition": 5},
        [leaf(9)],
        weights=[[1, 1, 0], [1, 1, 0], [1]],
        domain=domain_of(EQUALS, BEHIND),
    )
    own.book.refuse(
        "SPEC-5.2",
        "weightless-answer",
        "an answer to inputs without weight, that no output stands for",
        weighed,
        EQUALS,
        declined=True,
    )
    modulus: Any
    for name, modulus in (
        ("0", 0),
        ("1", 1),
        ("negative", -3),
        ("2-31", 2**31),
        ("true", True),
        ("text", "3"),
        ("null", None),
        ("list", [3]),
    ):
        added: Document = {"modular-addition": modulus}
        refuse(f"modulus-{name}", "no modulus", added, BEHIND, "SPEC-3.3")
        product = polynomial(modulus, [1, 1, 1])
        refuse(f"modulus-{name}-of-polynomial", "no modulus", product, BEHIND, "SPEC-3.3")
    for name, terms, why in (
        ("no-terms", [], "no terms"),
        ("of-two", [[1, 1]], "a term of two numbers"),
        ("of-four", [[1, 1, 1, 1]], "a term of four numbers"),
        ("zero", [[0, 1, 1]], "a coefficient of zero"),
        ("coefficient-p", [[3, 1, 1]], "a coefficient as large as the modulus"),
        ("exponent-65537", [[1, 65537, 1]], "an exponent past the limit"),
        ("exponent-65537-of-b", [[1, 1, 65537]], "an exponent past the limit"),
        ("repeated", [[1, 1, 1], [2, 1, 1]], "a pair of exponents twice"),
        ("ascending", [[1, 0, 1], [1, 1, 0]], "terms in another order"),
        ("ascending-in-b", [[1, 1, 0], [1, 1, 1]], "terms in another order"),
    ):
        refuse(f"polynomial-{name}", why, polynomial(3, *terms))
    for name, terms in (
        ("negative", [[-1, 1, 1]]),
        ("exponent-negative", [[1, -1, 1]]),
        ("true", [[True, 1, 1]]),
    ):
        refuse(f"polynomial-{name}", "no term", polynomial(3, *terms), BEHIND, "SPEC-3.3")
    for name, task in (
        ("without-terms", {"polynomial": {"modulus": 3}}),
        ("more", {"polynomial": {"modulus": 3, "terms": [[1, 1, 1]], "text": "a*b"}}),
        ("list", {"polynomial": [3, [[1, 1, 1]]]}),
        ("term-number", polynomial(3, 1)),  # type: ignore[arg-type]
    ):
        refuse(f"polynomial-{name}", "no polynomial", task, BEHIND, "SPEC-3.4")

    wide = random_model(59, vocab=1024, n=2, outputs=1024, d_model=1, d_head=1, dtype="F16")
    for name, task in (
        ("cyclic-1024", {"group": {"name": "cyclic:1024"}}),
        ("dihedral-512", {"group": {"name": "dihedral:512"}}),
        ("polynomial-of-five-terms", polynomial(1024, *([1, 9 - i, i] for i in range(5)))),
    ):
        doc = networks.document(wide, task, [leaf(1 << 20)])
        why = "answers to 2^20 pairs that take more than 2^24 images"
        own.book.refuse("SPEC-5.2", f"{name}-of-2-20", why, doc, wide, declined=True)


def groups(own: Chapter) -> None:
    """Groups by name, by their elements, by both."""
    six = random_model(57, {"mlp": "relu"}, vocab=7, n=3, outputs=6)
    pair = [among(0, 5), among(0, 5), context(6)]
    few = [among(0, 2), among(0, 2), context(6)]
    name: str
    group: Any
    for name, group, positions in (
        ("cyclic", {"name": "cyclic:3"}, few),
        ("cyclic-6", {"name": "cyclic:6"}, pair),
        ("dihedral", {"name": "dihedral:3"}, pair),
        ("symmetric", {"name": "symmetric:3"}, pair),
        ("alternating", {"name": "alternating:3"}, few),
        ("trivial", {"name": "alternating:2"}, [among(4, 4, 0), among(1, 1, 0), context(6)]),
        ("by-elements", {"elements": OWN_ORDER}, pair),
        ("by-both", {"elements": OWN_ORDER, "name": "symmetric:3"}, pair),
        ("in-its-order", {"elements": TURNS, "name": "alternating:3"}, few),
        ("turns-by-elements", {"elements": TURNS}, few),
        ("of-four", {"elements": [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]},
         [among(1, 4, [2, 0, 3, 1])] * 2 + [context(0)]),
    ):  # fmt: skip
        why = f"the group {group.get('name', 'that the elements are')}"
        domain = domain_of(six, positions)
        own.accept("SPEC-5.2", f"group-{name}", why, six, {"group": group}, domain)
    twelve = random_model(58, vocab=12, n=2, outputs=12, d_model=2, d_head=1)
    some = domain_of(twelve, [{"tokens": [[1, 1], [4, 7], [10, 10]], "values": "own"}, among(3, 8)])
    for name in ("alternating:4", "dihedral:6"):
        task = {"group": {"name": name}}
        own.accept(
            "SPEC-5.2", f"group-{name.replace(':', '-')}", "some elements", twelve, task, some
        )

    def refuse(
        name: str, why: str, group: Any, clause: str = "SPEC-5.2", *, declined: bool = False
    ) -> None:
        doc = networks.document(six, {"group": group}, [leaf(9)], domain=domain_of(six, few))
        own.book.refuse(clause, f"group-{name}", why, doc, six, declined=declined)

    for named in (
        "cyclic:0", "cyclic:03", "cyclic:1025", "cyclic:3 ", "cyclic:-3", "cyclic", "cyclic:", "dihedral:2", "dihedral:513",
        "symmetric:0", "symmetric:7", "alternating:7", "closed", "quaternion:8", "", "cyclic:\uff13", "Cyclic:3", "cyclic:3:3",
        f"cyclic:{10**4000}",
    ):  # fmt: skip
        spelled = named[:14].replace(":", "-").replace(" ", "-space").replace("\uff13", "wide-3")
        spelled = {"cyclic-": "cyclic-nothing", "Cyclic-3": "capital-cyclic"}.get(spelled, spelled)
        refuse(spelled or "no-name", "no group that is known", {"name": named}, declined=True)
    for name, group, why in (
        ("nothing", {}, "neither name nor elements"),
        ("no-elements", {"elements": []}, "no elements"),
        ("not-closed", {"elements": TURNS[:2]}, "the square of the second is not there"),
        ("without-one", {"elements": TURNS[1:]}, "the product of the two is not there"),
        ("of-five-of-six", {"elements": OWN_ORDER[:5]}, "one of six is not there"),
        ("of-different-points", {"elements": [[0, 1, 2], [1, 0]]}, "permutations of other points"),
        ("of-no-permutation", {"elements": [[0, 1, 2], [1, 1, 2]]}, "an image twice"),
        ("of-points-from-1", {"elements": [[1, 2, 3]]}, "an image that is no point"),
        ("repeated", {"elements": [*TURNS, TURNS[0]]}, "an element twice"),
        ("of-another-name", {"elements": TURNS, "name": "symmetric:3"}, "another group than named"),
        ("of-other-points", {"elements": [[*turn, 3] for turn in TURNS], "name": "cyclic:3"},
         "the same group on other points than those of its name"),
        ("of-too-many", {"elements": POINTS, "name": "alternating:3"}, "more elements than named"),
    ):  # fmt: skip
        refuse(name, why, group)
    for name, group in (
        ("text", "cyclic:3"),
        ("name-number", {"name": 3}),
        ("name-list", {"name": ["cyclic:3"]}),
        ("name-null", {"name": None, "elements": TURNS}),
        ("more", {"name": "cyclic:3", "order": 3}),
        ("elements-text", {"elements": "cyclic:3"}),
        ("element-number", {"elements": [0, 1, 2]}),
        ("elements-null", {"name": "cyclic:3", "elements": None}),
    ):
        refuse(name, "no group", group, "SPEC-3.4")
    for name, group in (
        ("image-true", {"elements": [[False, True], [True, False]]}),
        ("image-negative", {"elements": [[0, 1], [-1, 0]]}),
        ("image-text", {"elements": [["0"]]}),
    ):
        refuse(name, "no images", group, "SPEC-3.3")


def tables(own: Chapter) -> None:
    """Tables over domains, for several positions."""
    several = domain_of(EQUALS, [context(3), among(0, 1), among(1, 3)], read=[0, 2])
    rows = [[place % 4, (place * place) % 3] for place in range(6)]
    asked = networks.table(EQUALS, rows, several)
    why = "two answers to each input, one before any operand"
    doc = own.accept("SPEC-5.2", "table-read-two", why, EQUALS, asked, several)
    last = domain_of(EQUALS, BEHIND, answers=[5, -1, 0, 2])
    single = networks.table(EQUALS, [5, -1, 0, 2, 0, -1, 5, 5, 2], last)
    why = "answers that are no numbers of outputs"
    own.accept("SPEC-5.2", "table-of-answers", why, EQUALS, single, last)
    both = random_model(52, {"attention_dir": "bidirectional"}, vocab=4, n=3, outputs=4)
    early = domain_of(both, [context(3), among(0, 1), among(1, 3)], read=[0, 2])
    why = "a table may ask any position of a bidirectional model"
    own.accept("SPEC-5.2", "table-bidirectional", why, both, asked, early)
    put = own.make.put
    answers = "statement/task/table/answers"
    value: Any
    for name, value, why in (
        ("row-short", [*rows[:5], [1]], "an answer of the last row is missing"),
        ("row-long", [*rows[:5], [1, 1, 1]], "a row with an answer too many"),
        ("row-empty", [[], *rows[1:]], "a row without answers"),
        ("row-missing", rows[:5], "an input without answers"),
    ):
        own.book.refuse("SPEC-5.2", f"table-{name}", why, put(doc, answers, value), EQUALS)
    flat = [row[1] for row in rows]
    why = "one answer to each input, where two positions are read"
    own.book.refuse("SPEC-3.4", "table-not-rows", why, put(doc, answers, flat), EQUALS)
    one = put(doc, "statement/domain/read", [2])
    why = "rows of answers, where one position is read"
    own.book.refuse(
        "SPEC-3.3", "table-rows-of-one", why, put(one, answers, [[a] for a in flat]), EQUALS
    )
    for name, value in (
        ("other-domain", [[[3, 3]], [[0, 1]], [[0, 2]]]),
        ("other-order", [[[0, 1]], [[3, 3]], [[1, 3]]]),
        ("other-context", [[[2, 2]], [[0, 1]], [[1, 3]]]),
        ("every-token", [[[0, 3]]] * 3),
    ):
        other = put(doc, "statement/task/table/tokens", value)
        own.book.refuse("SPEC-5.2", f"table-{name}", "a table for another domain", other, EQUALS)
    for name, value in (
        ("touching", [[[3, 3]], [[0, 0], [1, 1]], [[1, 3]]]),
        ("empty-tokens", [[], [[0, 1]], [[1, 3]]]),
    ):
        other = put(doc, "statement/task/table/tokens", value)
        own.book.refuse("SPEC-5.7", f"table-{name}", "no ranges", other, EQUALS)
    other = put(doc, "statement/task/table/answers/3/1", 4)
    why = "an answer that no output stands for"
    own.book.refuse("SPEC-5.2", "table-row-answer", why, other, EQUALS, declined=True)


# --- SPEC-5.3 ---------------------------------------------------------------------


def scopes(own: Chapter) -> None:
    """Weights of the tokens that a domain allows."""
    domain = domain_of(
        EQUALS, [{"tokens": [[0, 0], [2, 3]], "values": "own"}, context(1), among(1, 2)]
    )
    weights = [[2, 0, 5], [1], [0, 3]]
    why = "weights of the allowed tokens, some of them nothing"
    doc = own.accept("SPEC-5.3", "domain", why, EQUALS, "max-of-k", domain, weights)
    path = "statement/scope/product"
    for name, rows, why in (
        ("every-token", [["2", "0", "0", "5"], ["0", "1", "0", "0"], ["0", "0", "3", "0"]],
         "a weight for every token, where some are allowed"),
        ("allowed-too-few", [["2", "5"], ["1"], ["0", "3"]], "two weights for three tokens"),
        ("allowed-too-many", [["2", "0", "5"], ["1", "0"], ["0", "3"]], "two weights for context"),
        ("operands-only", [["2", "0", "5"], ["0", "3"]], "no weights of context"),
        ("context-weighs-2", [["2", "0", "5"], ["2"], ["0", "3"]], "context that weighs 2"),
        ("context-weighs-0", [["2", "0", "5"], ["0"], ["0", "3"]], "context that weighs nothing"),
    ):  # fmt: skip
        own.book.refuse("SPEC-5.3", name, why, own.make.put(doc, path, rows), EQUALS)
    lone = domain_of(EQUALS, [among(0, 3), among(1, 1), context(0)])
    why = "one token that is an operand, and weighs 2"
    doc = networks.document(EQUALS, "max-of-k", [leaf(4)], weights=[[1] * 4, [2], [1]], domain=lone)
    own.book.refuse("SPEC-5.3", "one-token-weighs-2", why, doc, EQUALS)


# --- SPEC-7.16 --------------------------------------------------------------------


def cells(own: Chapter) -> None:
    """Cells over domains, whose tokens are named by places."""
    make = own.make
    model = make.NOISY

    def proof(domain: Document, places: int, weights: list[list[int]] | None = None) -> Document:
        """Return a proof in which every cell is brute force, and claims nothing."""
        asked = networks.document(model, "max-of-k", weights=weights, domain=domain)["statement"]
        doc: Document = make.document(model, make.completed(places, [], "brute-force"))
        for cell in doc["proof"]["cells"]:
            cell["failures"] = ["0", asked["total"]]
        return doc | {"statement": asked}

    holes = {"tokens": [[0, 0], [2, 3]], "values": [-1, 1, 2]}
    for name, positions, places, weights, parts in (
        ("behind", [among(0, 2), among(0, 2), context(3)], 4, None, {}),
        ("before", [context(3), among(0, 2), among(0, 2)], 4, None, {}),
        ("between", [among(1, 3), context(1), among(1, 3)], 4, None, {}),
        ("two-contexts", [context(3), among(0, 3), context(3)], 6, None, {}),
        ("values", [among(0, 2, -1), among(0, 2, -1), context(3)], 4, None, {"answers": [2, -1, 0, 1]}),
        ("holes", [holes, context(1), holes], 4, None, {"answers": -1}),
        ("weights", [among(0, 2), among(0, 2), context(3)], 4, [[2, 0, 1], [1, 3, 5], [1]], {}),
    ):  # fmt: skip
        domain = domain_of(model, positions, **parts)
        doc = make.tightened(model, proof(domain, places, weights))
        found = truth(make, model, "max-of-k", weights, domain)
        why = "cells over a domain with context"
        own.book.accept("SPEC-7.16", name, why, model, doc, truth=found)
    for name, positions, parts, why in (
        ("other-tokens", [among(0, 2), among(1, 3), context(3)], {}, "operands with other tokens"),
        ("other-values", [among(0, 2), among(0, 2, 1), context(3)], {}, "operands with other values"),
        ("fewer-tokens", [among(0, 3), among(0, 2), context(3)], {}, "operands with fewer tokens"),
        ("descending", [among(0, 2, [2, 1, 0])] * 2 + [context(3)], {}, "values that descend"),
        ("not-ascending", [among(0, 2, [0, 2, 1])] * 2 + [context(3)], {}, "values that do not ascend"),
        ("read-early", [among(0, 2), among(0, 2), context(3)], {"read": [1]}, "another position is read"),
        ("read-all", [among(0, 2)] * 3, {"read": [0, 1, 2]}, "every position is read"),
    ):  # fmt: skip
        doc = proof(domain_of(model, positions, **parts), 4)
        own.book.refuse("SPEC-7.16", name, why, doc, model, declined=True)


# --- SPEC-9.3 ---------------------------------------------------------------------


def required(own: Chapter) -> None:
    """What the user may require of a domain and of a task, and what `--at-least` takes for granted."""
    encode = own.make.mutators.encode
    for name, elements in (("own", OWN_ORDER), ("turns", TURNS), ("named", POINTS)):
        own.book.files[f"groups/{name}.json"] = encode(elements)
    whole = split(own.make, EQUALS, "max-of-k", domain=domain_of(EQUALS))
    numbered = {"answers": [0, 2, 1], "outputs": [[0, 2]], "read": [1, 2]}
    unusual = domain_of(EQUALS, [among(0, 2, 1), among(1, 3, [0, -2, 5]), context(3)], **numbered)
    usual = domain_of(EQUALS, BEHIND)
    spelled = {
        "--domain": "0-2/1-3/@3",
        "--values": "1/0,-2,5",
        "--outputs": "0-2",
        "--answers": "0,2,1",
        "--read": "1,2",
    }
    every = [word for pair in spelled.items() for word in pair]
    base = split(own.make, EQUALS, ADD, domain=unusual)
    plain = split(own.make, EQUALS, ADD, domain=usual)
    fine = truth(own.make, EQUALS, ADD, domain=unusual)

    def accept(name: str, why: str, doc: Document, found: Any, *arguments: str) -> None:
        own.book.accept(
            "SPEC-9.3", name, why, EQUALS, doc, exact=True, truth=found, arguments=arguments
        )

    def refuse(name: str, why: str, doc: Document, *arguments: str) -> None:
        own.book.refuse("SPEC-9.3", name, why, doc, EQUALS, arguments=arguments)

    accept(
        "every-part", "every part is named, and an accuracy", base, fine, *every, "--at-least", "0"
    )
    least = truth(own.make, EQUALS, ADD, domain=usual)
    arguments: tuple[str, ...] = (
        "--domain",
        "0-2/0-2/@3",
        "--task",
        "modular-addition:3",
        "--at-least",
        "0",
    )
    accept("domain", "the domain that is required", plain, least, *arguments)
    every_part = truth(own.make, EQUALS, "max-of-k", domain=domain_of(EQUALS))
    arguments = ("--domain", "*/*/*", "--values", "own/own/own", "--outputs", "*")
    arguments = (*arguments, "--answers", "own", "--read", "last")
    accept("usual-parts", "the usual parts, required by name", whole, every_part, *arguments)
    for option, text in spelled.items():
        part = option.removeprefix("--")
        accept(f"{part}-alone", "one part is required", base, fine, option, text)
        rest = [word for pair in spelled.items() if pair[0] != option for word in pair]
        why = "a part that is not usual, and not named"
        refuse(f"at-least-without-{part}", why, base, *rest, "--at-least", "0")
    refuse("at-least-without-any-part", "no part is named", base, "--at-least", "0")
    for option, text, why in (
        ("--domain", "*/*/*", "every token, where three are allowed"),
        ("--domain", "0-2/0-2/3", "a token, where context is meant"),
        ("--domain", "0-2/0-2/*", "every token, where context is meant"),
        ("--domain", "0-2/0-2", "two positions of three"),
        ("--domain", "0,1,2/0-2/@3", "the same tokens, spelled otherwise"),
        ("--domain", "", "no text at all"),
        ("--values", "0/0", "the same values, spelled otherwise"),
        ("--values", "own/own/own", "a position of context has no values"),
        ("--values", "", "no text at all"),
        ("--outputs", "0-2", "fewer outputs"),
        ("--outputs", "", "no text at all"),
        ("--answers", "0", "the same answers, spelled otherwise"),
        ("--answers", "", "no text at all"),
        ("--read", "2", "the last position by its number"),
        ("--read", "all", "every position"),
        ("--read", "", "no text at all"),
        ("--task", "modular-addition:4", "another modulus"),
        ("--task", "polynomial:3:a+b", "the same sums by another task"),
        ("--task", "group:cyclic:3", "the same sums by another task"),
        ("--task", "group:groups/turns.json", "the same sums by another task"),
    ):
        spelt = text.replace("*", "any").replace("/", "-").replace("@", "at-").replace(",", "-")
        spelt = spelt.replace(":", "-").replace("+", "-").replace(".", "-") or "nothing"
        name = f"part-{option.removeprefix('--')}-{spelt}"
        refuse(name, why, plain, option, text)
    for option, text in (("--domain", "0-3/0-3/@3"), ("--domain", "0-3/0-3/0-3")):
        name = f"usual-domain-{text[-2:].replace('@', 'at-')}"
        refuse(name, "the usual domain, and another is required", whole, option, text)
    one = domain_of(EQUALS, [among(0, 2), among(0, 2), among(3, 3)])
    token = split(own.make, EQUALS, "max-of-k", domain=one)
    found = truth(own.make, EQUALS, "max-of-k", domain=one)
    accept("one-token", "one token, an operand", token, found, "--domain", "0-2/0-2/3")
    refuse("one-token-is-no-context", "an operand, not context", token, "--domain", "0-2/0-2/@3")
    pairs = {
        "elements": ({"elements": TURNS}, "group:groups/turns.json"),
        "name": ({"name": "cyclic:3"}, "group:cyclic:3"),
        "both": ({"elements": TURNS, "name": "cyclic:3"}, "group:cyclic:3@groups/turns.json"),
    }
    for name, (group, text) in pairs.items():
        task = {"group": group}
        doc = split(own.make, EQUALS, task, domain=usual)
        found = truth(own.make, EQUALS, task, domain=usual)
        arguments = ("--task", text, "--domain", "0-2/0-2/@3", "--at-least", "0")
        accept(f"group-by-{name}", "the group that is required", doc, found, *arguments)
        for other, (_, asked) in pairs.items():
            if other != name:
                refuse(f"group-by-{name}-not-{other}", "another label", doc, "--task", asked)
        if name != "name":
            why = "a group in an order that nobody asked for"
            refuse(f"at-least-of-group-by-{name}", why, doc, *arguments[2:])
            asked = text.replace("turns", "own")
            refuse(f"group-by-{name}-other-file", "other elements", doc, "--task", asked)
        else:
            why = "the same elements by another name"
            refuse("group-alternating", why, doc, "--task", "group:alternating:3")
    task = polynomial(3, [1, 2, 0], [2, 0, 1])
    doc = split(own.make, EQUALS, task, domain=usual)
    found = truth(own.make, EQUALS, task, domain=usual)
    accept(
        "polynomial",
        "the polynomial that is required",
        doc,
        found,
        "--task",
        "polynomial:3:a^2+2*b",
    )
    for at, text in enumerate(
        ("polynomial:3:2*b+a^2", "polynomial:5:a^2+2*b", "polynomial:3:a^2+b")
    ):
        refuse(f"polynomial-{at}", "another polynomial, or another text", doc, "--task", text)
    for name, text in (
        ("elements", "group:groups/absent.json"),
        ("both", "group:cyclic:3@groups/absent.json"),
    ):
        why = "the file of a group is not there"
        arguments = ("--task", text)
        own.book.refuse(
            "io", f"group-by-{name}-absent", why, doc, EQUALS, arguments=arguments, declined=True
        )
