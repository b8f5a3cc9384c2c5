"""Vectors for the conditions of SPEC-5.3: leaves and cells over the inputs that fulfil one.

`chapter` takes the book and the module `make_vectors`, which imports this file.
"""

# ruff: noqa: E501 (a row of a table is one line)

from __future__ import annotations

from typing import Any

import networks
import questions
import vectors_chain
import vectors_leaves
import vectors_wide
from conditions import fulfils
from models import Model
from vectors_domain import BEHIND, EQUALS, among, context, domain_of

Document = dict[str, Any]


def about(model: Model, domain: Document, condition: Document) -> Any:
    """Return how many of the inputs that count have the right output, and how many there are."""
    last = len(domain["positions"]) - 1
    counted = [
        tokens
        for tokens in networks.inputs(model, domain)
        if fulfils(condition, questions.operands(domain, tokens, last))
    ]
    margins = (networks.margin(model, "max-of-k", tokens, domain) for tokens in counted)
    return sum(bool(margin > 0) for margin in margins), len(counted)


def scoped(make: Any, doc: Document, condition: Any, total: int) -> Document:
    """Return a certificate about a condition that claims nothing."""
    said = doc["statement"]
    told = {"scope": condition, "total": str(total), "correct_upper": str(total)}
    return doc | {"statement": said | told}


def chapter(book: Any, make: Any) -> None:
    """SPEC-5.3, SPEC-9.3."""
    leaves(book, make)
    cells(book, make)
    refused(book, make)


def leaves(book: Any, make: Any) -> None:
    """Leaves over conditions on values that are not the tokens' own."""
    values = [7, -5, 2**31 - 1]
    wide = {"tokens": [[0, 0], [2, 3]], "values": values}
    for name, why, positions, condition in (
        ("leaves-gap", "tokens that are far enough apart", [wide, wide, context(1)], {"min-gap": 13}),
        ("leaves-gap-of-one", "a gap that asks nothing", BEHIND, {"min-gap": 1}),
        ("leaves-gap-largest", "the largest gap there is", [wide, context(0), wide], {"min-gap": 2**31 - 1}),
        ("leaves-copies", "the largest value once", [among(0, 3), context(1), among(0, 3)], {"max-copies": 1}),
        ("leaves-copies-all", "the largest value everywhere", [among(0, 3)] * 3, {"max-copies": 3}),
    ):  # fmt: skip
        domain = domain_of(EQUALS, positions)
        if any("values" in place and place["values"] == values for place in positions):
            domain |= {"answers": [*values, 0]}
        right, total = about(EQUALS, domain, condition)
        whole = networks.document(EQUALS, "max-of-k", domain=domain)
        doc = vectors_leaves.tight(make, EQUALS, scoped(make, whole, condition, total))
        truth = make.oracle.Truth(right, total, (), (), (), {})
        book.accept("SPEC-5.3", name, why, EQUALS, doc, exact=True, truth=truth)


def cells(book: Any, make: Any) -> None:
    """Cells over conditions, each cell brute force."""
    model = make.NOISY
    vocab, n = model.config["d_vocab"], model.config["n_ctx"]
    domain = domain_of(model)
    for name, why, condition in (
        ("cells-gap", "no token next to the largest", {"min-gap": 2}),
        ("cells-gap-all", "a gap that only equal tokens have", {"min-gap": vocab}),
        ("cells-copies", "the largest token once", {"max-copies": 1}),
        ("cells-copies-all", "the largest token everywhere", {"max-copies": n}),
    ):
        right, total = about(model, domain, condition)
        doc = make.document(model, make.completed(vocab, [], "brute-force"))
        doc = scoped(make, doc, condition, total)
        for cell in doc["proof"]["cells"]:
            cell["failures"] = ["0", str(vocab**n)]
        doc = vectors_leaves.tight(make, model, doc)
        truth = make.oracle.Truth(right, total, (), (), (), {})
        book.accept("SPEC-5.3", name, why, model, doc, exact=True, truth=truth)
        lower = make.put(doc, "statement/correct_lower", str(right + 1))
        book.refuse(
            "SPEC-5.6", f"{name}-lower-too-large", "one input more than is proved", lower, model
        )
        uniform = make.put(doc, "statement/total", str(vocab**n))
        book.refuse("SPEC-5.5", f"{name}-total-of-all", "the number of all inputs", uniform, model)


def refused(book: Any, make: Any) -> None:
    """What is no condition, and proofs that know none."""
    whole = networks.document(EQUALS, "max-of-k", domain=domain_of(EQUALS))
    for name, why, scope in (
        ("scope-empty", "no kind of scope", {}),
        ("scope-two-kinds", "two kinds of scope", {"max-copies": 1, "min-gap": 2}),
        ("gap-0", "a gap of 0", {"min-gap": 0}),
        ("gap-2-31", "a gap of 2^31", {"min-gap": 2**31}),
        ("copies-0", "no copies", {"max-copies": 0}),
        ("copies-more-than-operands", "more copies than operands", {"max-copies": 4}),
    ):
        book.refuse(
            "SPEC-5.3" if len(scope) != 1 else "SPEC-3.3",
            name,
            why,
            scoped(make, whole, scope, 64),
            EQUALS,
        )
    context_too = networks.document(
        EQUALS, "max-of-k", domain=domain_of(EQUALS, [*BEHIND[:2], context(3)])
    )
    why = "context is no operand"
    book.refuse(
        "SPEC-3.3",
        "copies-of-context",
        why,
        scoped(make, context_too, {"max-copies": 3}, 3),
        EQUALS,
    )
    for name, why, scope, kind in (
        ("gap-string", "a gap that is a string", dict[str, Any]({"min-gap": "2"}), "SPEC-3.3"),
        ("gap-other-word", "a word of another's", {"max-gap": 2}, "SPEC-3.4"),
    ):
        book.refuse(kind, name, why, scoped(make, whole, scope, 64), EQUALS)
    doc = scoped(make, whole, {"min-gap": 1}, 64)
    good = vectors_leaves.tight(make, EQUALS, doc)
    right, total = about(EQUALS, domain_of(EQUALS), {"min-gap": 1})
    truth = make.oracle.Truth(right, total, (), (), (), {})
    book.accept("SPEC-9.3", "scope-min-gap", "the condition the user requires", EQUALS, good, exact=True,
                truth=truth, arguments=("--scope", "min-gap:1"))  # fmt: skip
    for name, asked in (("min-gap-other", "min-gap:2"), ("min-gap-for-uniform", "uniform")):
        book.refuse("SPEC-9.3", f"scope-{name}", "another scope than the user requires", good, EQUALS,
                    arguments=("--scope", asked))  # fmt: skip
    both = networks.document(EQUALS, {"modular-addition": 3}, domain=domain_of(EQUALS, BEHIND))
    condition = scoped(make, both, {"max-copies": 1}, 6)
    condition["proof"] = {
        key: value for key, value in condition["proof"].items() if key != "leaves"
    }
    condition["proof"]["sums"] = {"rule": "exact"}
    book.refuse(
        "SPEC-5.3",
        "sums-over-a-condition",
        "sums know no condition",
        condition,
        EQUALS,
        declined=True,
    )
    unconditional(book, make)


def unconditional(book: Any, make: Any) -> None:
    """Chains and wide cells that nothing but their scope is wrong with."""
    line = vectors_chain.model(vectors_chain.LINE)
    chain = vectors_chain.document(make, line, vectors_chain.cells_of(4))
    heads = vectors_wide.two_heads(5)
    wide = vectors_wide.boxed(make, heads, make.completed(3, [], "brute-force"))
    for kind, model, doc in (("chains", line, chain), ("wide cells", heads, wide)):
        for name, condition in (("gap", {"min-gap": 2}), ("copies", {"max-copies": 1})):
            _, total = about(model, domain_of(model), condition)
            book.refuse(
                "SPEC-5.3",
                f"{kind.split()[0]}-over-{name}",
                f"a proof of {kind} over a condition",
                scoped(make, doc, condition, total),
                model,
                declined=True,
            )
