"""Write `tests/vectors`: one folder per clause, certificates to accept and certificates with one
defect each.

    python tests/make_vectors.py            writes the files
    python tests/make_vectors.py --check    exits with 1 if a file would change

Beside each certificate `NAME.json` a line of `expect.json` in the same folder says which model it
is about, what the
verdict has to be, and why.  A rejected certificate differs from one that is accepted in exactly one
respect: its other
claims are true, its hash is that of the model it comes with, and its operations suffice.

What is accepted claims exactly what is derived, so that every claim is as strong as it may be.  The
two counts are
compared with `oracle.truth` here, before anything is written: equal where the record says `exact`,
else on the safe side.
The margin, the operations and the outcomes of an accepted certificate are the checker's: they are
there to notice change.
"""

# ruff: noqa: E402, E501 (the checker is found by path; a row of a table is one line)

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS.parent) not in sys.path:
    sys.path.insert(0, str(TESTS))
    import conftest  # noqa: F401  (run as a script: it puts the checker and the oracles on the path)

import forests
import models
import mutators
import oracle
import vectors_chain
import vectors_conditions
import vectors_domain
import vectors_float32
import vectors_leaves
import vectors_modular
import vectors_paths
import vectors_wide
from models import ATTENTION, Model, Raw, Seeded

from checker.__main__ import facts
from checker.check import Theorem, check, parse, require_shown

VECTORS = TESTS / "vectors"
Document = dict[str, Any]
Weights = list[list[int]]
ZERO = ["0", "0"]


# --- models -----------------------------------------------------------------------


def sharp(vocab: int = 4, k: int = 3, **changes: Any) -> Model:
    """Return a model that is right everywhere, with a margin in every cell."""
    config = models.config_of(vocab=vocab, k=k, d_model=2, d_head=2)
    tensors: dict[str, Any] = {
        "embed.W_E": [[t, 1] for t in range(vocab)],
        "pos_embed.W_pos": [[0, 0]] * k,
        ATTENTION + "W_Q": [[[0, 0], [16, 0]]],
        ATTENTION + "W_K": [[[1, 0], [0, 0]]],
        ATTENTION + "W_V": [[[1, 0], [0, 1]]],
        ATTENTION + "W_O": [[[32, 0], [0, 32]]],
        "unembed.W_U": [[2 * j for j in range(vocab)], [-j * j for j in range(vocab)]],
    }
    return Model(config, tensors | changes)


def hollow() -> Model:
    """Return a model of rank one in which W_E and W_U touch no coordinate in common."""
    tensors: dict[str, Any] = {
        "embed.W_E": [[0, 0, 0, 0], [1, 0, 0, 0]],
        "pos_embed.W_pos": [[0, 0, 1, 1]] * 2,
        ATTENTION + "W_Q": [[[0, 0]] * 3 + [[1, 0]]],
        ATTENTION + "W_K": [[[16, 0]] + [[0, 0]] * 3],
        ATTENTION + "W_V": [[[1, 0]] + [[0, 0]] * 3],
        ATTENTION + "W_O": [[[0, 1, 0, 0], [0, 0, 0, 0]]],
        "unembed.W_U": [[0, 0], [0, 2], [0, -1], [0, 0]],
    }
    return Model(models.config_of(vocab=2, k=2, d_model=4, d_head=2), tensors)


def flat(vocab: int, k: int) -> Model:
    """Return a model whose logits are all zero: every input is a tie."""
    config = models.config_of(vocab=vocab, k=k, d_model=1, d_head=1)
    tensors = {
        name: models.filled(models.shapes(config)[name], lambda: 0) for name in models.WEIGHTS
    }
    return Model(config, tensors)


def noisy(seed: int, dtype: str = "F32", **limits: Any) -> Model:
    """Return a model that is mostly right."""
    return models.good_model(
        random.Random(seed), dtype=dtype, **{"vocab": (4, 4), "k": (3, 3), "wider": False, **limits}
    )


PAIR, SHARP, NOISY = models.pair(), sharp(), noisy(345)


# --- certificates -----------------------------------------------------------------


def root(
    maximum: int, queries: list[list[int]], method: str, *, mu: list[str] | None = None, **keys: Any
) -> Document:
    """Return a root cell; see `child`."""
    return {"maximum": maximum, "mu": mu or ZERO, **child(queries, method, **keys)}


def child(queries: list[list[int]], method: str, **keys: Any) -> Document:
    """Return a cell without a claim: `document` adds the weakest, `tightened` the strongest."""
    return {"queries": queries, "method": method, **keys}


def completed(vocab: int, cells: list[Document], method: str = "brute-force") -> list[Document]:
    """Return the cells and, for every maximum and query that no root holds, a cell of its own."""
    held = {
        (c["maximum"], q)
        for c in cells
        if "maximum" in c
        for a, b in c["queries"]
        for q in range(a, b + 1)
    }
    missing = [(m, q) for m in range(vocab) for q in range(m + 1) if (m, q) not in held]
    if method != "skip":
        return [*cells, *(root(m, [[q, q]], method) for m, q in missing)]
    pools = {m: [[q, q] for maximum, q in missing if maximum == m != q] for m in range(vocab)}
    skipped = [root(m, pool, method) for m, pool in pools.items() if pool]
    return [*cells, *skipped, *(root(m, [[q, q]], method) for m, q in missing if m == q)]


def document(
    model: Model, cells: list[Document], weights: Weights | None = None, precision: int = 64
) -> Document:
    """Return a certificate that claims as little as possible."""
    rows = weights or [[1] * model.config["d_vocab"]] * model.config["n_ctx"]
    total = str(models.total_weight(rows))
    claims = {"extreme": {"margin": ZERO}, "split": {}, "screen": {}, "skip": {}}
    loose = [{**claims.get(c["method"], {"failures": ["0", total]}), **c} for c in cells]
    statement = {
        "architecture": model.config,
        "correct_lower": "0",
        "correct_upper": total,
        "domain": models.domain_of(model.config),
        "model": f"sha256:{sha256(model.bytes).hexdigest()}",
        "scope": "uniform"
        if weights is None
        else {"product": [[str(w) for w in row] for row in rows]},
        "semantics": "real",
        "task": "max-of-k",
        "total": total,
    }
    proof = {
        "cells": loose,
        "operations": str(10**11),
        "precision": precision,
        "strategy": "vector",
    }
    return copy.deepcopy(
        {"format": "certify.certificate/2", "proof": proof, "statement": statement}
    )


def theorem_of(model: bytes, certificate: bytes) -> Theorem:
    """Return what the checker proves; it must not refuse."""
    return check(parse(model, certificate), lambda done, declared: None)


def dyadic(units: int) -> list[str]:
    """Return `units * 2^-20` in lowest terms."""
    power = (units & -units).bit_length() - 1 if units else 0
    return [str(units >> power), str(power - 20)] if units else ZERO


def tightened(model: Model, doc: Document) -> Document:
    """Return the certificate with every claim as strong, and the operations as few, as the checker
    accepts.
    """
    theorem = theorem_of(model.bytes, mutators.encode(doc))
    tight = copy.deepcopy(doc)
    leaves = [cell for cell in tight["proof"]["cells"] if "children" not in cell]
    for cell, outcome in zip(leaves, theorem.outcomes, strict=True):
        if cell["method"] == "extreme":
            cell["margin"] = dyadic(outcome.margin or 0)
        elif cell["method"] != "skip":
            cell["failures"] = [str(outcome.lower), str(outcome.upper)]
    tight["proof"]["operations"] = str(theorem.ledger.total)
    tight["statement"] |= {
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    return tight


def proved(
    model: Model, cells: list[Document], weights: Weights | None = None, precision: int = 64
) -> Document:
    """Return a certificate with the strongest claims."""
    return tightened(model, document(model, cells, weights, precision))


def put(doc: Document, path: str, value: Any) -> Document:
    """Return a copy with the value at `a/0/b` replaced or added."""
    changed = copy.deepcopy(doc)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = changed
    for step in way:
        place = place[step]
    place[last] = value
    return changed


def got(doc: Document, path: str) -> Any:
    """Return the value at `a/0/b`."""
    place: Any = doc
    for step in path.split("/"):
        place = place[int(step) if step.isdigit() else step]
    return place


def cut(doc: Document, path: str) -> Document:
    """Return a copy without the value at `a/0/b`."""
    changed = copy.deepcopy(doc)
    way, _, last = path.rpartition("/")
    place: Any = got(changed, way) if way else changed
    del place[int(last) if last.isdigit() else last]
    return changed


def added(doc: Document, path: str, by: int) -> Document:
    """Return a copy with an integer string changed by so much."""
    return put(doc, path, str(int(got(doc, path)) + by))


# --- the book ---------------------------------------------------------------------


class Book:
    """The files to write, and what is expected of each."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.expect: dict[str, dict[str, Document]] = {}
        self.shared: dict[bytes, str] = {}

    def share(self, name: str, data: bytes) -> None:
        """Add a model that several vectors use."""
        self.shared[data] = f"models/{name}.safetensors"
        self.files[f"models/{name}.safetensors"] = data

    def add(
        self, folder: str, name: str, model: bytes | str, certificate: bytes | str, record: Document
    ) -> None:
        """Add a vector; a `str` names a file that is not written, relative to the vectors.  Equal
        files are written once.
        """
        table = self.expect.setdefault(folder, {})
        if name in table:
            raise ValueError(f"{folder}/{name} is there twice")
        own = {"model": f"{folder}/{name}.safetensors", "certificate": f"{folder}/{name}.json"}
        for key, data in (("model", model), ("certificate", certificate)):
            path = data if isinstance(data, str) else self.shared.setdefault(data, own[key])
            if path == own[key]:
                self.files[path] = data if isinstance(data, bytes) else b""
            else:
                record = {**record, key: path}
        table[name] = record

    def accept(
        self,
        folder: str,
        name: str,
        why: str,
        model: Model,
        doc: Document,
        *,
        exact: bool = False,
        arguments: tuple[str, ...] = (),
        truth: oracle.Truth | None = None,
    ) -> None:
        """Add a certificate that must be accepted, after comparing it with the truth, by default
        that of Max-of-K.
        """
        certificate = mutators.encode(doc)
        theorem, scope = theorem_of(model.bytes, certificate), doc["statement"]["scope"]
        require_shown(theorem)
        product = "product" in scope
        weights = [[int(w) for w in row] for row in scope["product"]] if product else None
        truth = truth or oracle.truth(model.tensors, model.config, weights)
        lower, upper = theorem.correct_lower, theorem.correct_upper
        if not lower <= truth.correct <= upper or truth.total != int(doc["statement"]["total"]):
            raise AssertionError(f"{folder}/{name}: {lower} <= {truth.correct} <= {upper} is false")
        if exact and lower != upper:
            raise AssertionError(
                f"{folder}/{name} should be exact: {lower} <= {truth.correct} <= {upper}"
            )
        ledger, said = theorem.ledger, facts(theorem)
        outcomes = "".join(f"{o.lower},{o.upper},{o.size},{o.margin};" for o in theorem.outcomes)
        record: Document = {
            "verdict": "VERIFIED",
            "why": why,
            "correct_lower": str(lower),
            "correct_upper": str(upper),
            "correct": str(truth.correct),
            "exact": exact,
            "margin_lower": said["margin_lower"],
            "operations": [ledger.mul, ledger.add, ledger.cmp, ledger.exp],
            "outcomes": outcomes if len(outcomes) < 200 else sha256(outcomes.encode()).hexdigest(),
        }
        self.add(
            folder,
            f"accept-{name}",
            model.bytes,
            certificate,
            record | ({"arguments": [*arguments]} if arguments else {}),
        )

    def refuse(
        self,
        clause: str,
        name: str,
        why: str,
        certificate: Document | bytes | str,
        model: Model | bytes | str = PAIR,
        *,
        arguments: tuple[str, ...] = (),
        declined: bool = False,
    ) -> None:
        """Add a certificate that must be refused for this clause."""
        data = mutators.encode(certificate) if isinstance(certificate, dict) else certificate
        record: Document = {
            "verdict": "DECLINED" if declined else "REJECTED",
            "clause": clause,
            "why": why,
        }
        record |= {"arguments": [*arguments]} if arguments else {}
        self.add(
            clause,
            f"reject-{name}",
            model.bytes if isinstance(model, Model) else model,
            data,
            record,
        )

    def written(self) -> dict[str, bytes]:
        """Return every file by its path under `tests/vectors`."""
        tables = {}
        for folder, table in self.expect.items():
            lines = ",\n".join(
                f"{json.dumps(name)}: {json.dumps(record)}"
                for name, record in sorted(table.items())
            )
            tables[f"{folder}/expect.json"] = f"{{\n{lines}\n}}\n".encode()
        return self.files | tables


PAIR_CELLS = [
    root(0, [[0, 0]], "extreme", layout=[]),
    root(1, [[0, 0]], "brute-force"),
    root(1, [[1, 1]], "enumerate", layout=[[1, 1]]),
]
BASE = proved(PAIR, PAIR_CELLS)
TEXT = mutators.encode(BASE)
MINI = proved(PAIR, completed(2, [], "skip"))


def forged(doc: Document, data: bytes) -> Document:
    """Return the certificate with the hash of damaged model bytes, so that only the damage can be
    the reason.
    """
    return put(doc, "statement/model", f"sha256:{sha256(data).hexdigest()}")


# --- encoding: SPEC-3 -------------------------------------------------------------


def encoding(book: Book) -> None:
    """SPEC-3.2 and SPEC-3.3."""
    text = TEXT.decode()

    def swapped(old: str, new: str) -> bytes:
        if text.count(old) != 1:
            raise ValueError(f"{old} is there {text.count(old)} times")
        return text.replace(old, new).encode()

    book.accept(
        "SPEC-3.2",
        "canonical",
        "the certificate that the others in this folder spell differently",
        PAIR,
        BASE,
        exact=True,
    )
    spelled: dict[str, tuple[bytes, str]] = {
        "duplicate-key": (
            swapped('"total":"4"', '"total":"4","total":"4"'),
            "a key twice with the same value",
        ),
        "byte-order-mark": (b"\xef\xbb\xbf" + TEXT, "a byte-order mark"),
        "utf-16": (text.encode("utf-16"), "UTF-16"),
        "crlf": (TEXT[:-1] + b"\r\n", "a carriage return before the newline"),
        "no-newline": (TEXT[:-1], "no newline at the end"),
        "trailing-byte": (TEXT + b"\x00", "a byte after the newline"),
        "space": (swapped('"total":"4"', '"total": "4"'), "a space after a colon"),
        "keys-not-sorted": (
            swapped('"semantics":"real","task":"max-of-k"', '"task":"max-of-k","semantics":"real"'),
            "unsorted keys",
        ),
        "needless-escape": (
            swapped('"max-of-k"', '"\\u006dax-of-k"'),
            "a letter written as an escape",
        ),
        "not-ascii": (
            swapped('"vector"', '"v\u00e9ctor"'),
            "a letter that is not ASCII, not escaped",
        ),
        "leading-zero": (
            swapped('"precision":64', '"precision":064'),
            "a JSON number with a leading zero",
        ),
        "empty": (b"", "no bytes at all"),
        "unclosed": (TEXT[:-2] + b"\n", "the last brace is missing"),
    }
    for name, (data, why) in spelled.items():
        book.refuse("SPEC-3.2", name, why, data)
    header, payload = mutators.split_safetensors(PAIR.bytes)
    table = json.dumps(header, separators=(",", ":"))
    entry = json.dumps(header["unembed.W_U"], separators=(",", ":"))
    for name, new, why in (
        (
            "model-duplicate-tensor",
            f'{table[:-1]},"unembed.W_U":{entry}}}',
            "the header of the model names a tensor twice",
        ),
        (
            "model-not-ascii",
            table.replace('"dtype"', '"dtyp\u00e9"', 1),
            "the header of the model is not ASCII",
        ),
        ("model-null-after-header", table + "\x00", "a null byte behind the header of the model"),
    ):
        data = models.safetensors_bytes(new.encode(), payload)
        book.refuse("SPEC-3.2", name, why, forged(MINI, data), data)
    for name, config, why in (
        ("config-spaces", json.dumps(PAIR.config, sort_keys=True), "the config has spaces"),
        (
            "config-duplicate-key",
            models.canonical(PAIR.config)[:-1] + ',"n_ctx":2}',
            "the config has a key twice",
        ),
    ):
        data = with_metadata({"format": models.FORMAT, "config": config})
        book.refuse("SPEC-3.2", name, why, forged(MINI, data), data)
    scope_file(book)
    numbers(book, swapped)


def with_metadata(metadata: Any) -> bytes:
    """Return the pair model with other metadata."""
    header, payload = mutators.split_safetensors(PAIR.bytes)
    return models.safetensors_bytes({**header, "__metadata__": metadata}, payload)


def numbers(book: Book, swapped: Callable[[str, str], bytes]) -> None:
    """SPEC-3.3."""
    wide = proved(PAIR, [*PAIR_CELLS[:2], root(1, [[1, 1]], "skip", mu=["1", "4096"])])
    book.accept("SPEC-3.3", "largest-exponent", "a dyadic with exponent 4096, and one with a negative mantissa", PAIR,
                put(wide, "proof/cells/0/margin", ["-1", "-4096"]))  # fmt: skip
    literals = {
        "float": ("64.0", "a fraction, though it is whole"),
        "nan": ("NaN", "NaN"),
        "minus-zero": ("-0", "minus zero"),
        "eleven-digits": ("10000000064", "a JSON integer of eleven digits"),
        "true": ("true", "true is not 1"),
        "integer-as-string": ('"64"', "a string where a JSON integer is due"),
    }
    for name, (literal, why) in literals.items():
        book.refuse("SPEC-3.3", name, why, swapped('"precision":64', f'"precision":{literal}'))
    strings = {
        "underscore": ("4_0", "an underscore, which int() would take"),
        "full-width": ("\uff14", "a full-width digit, which int() would take"),
        "leading-zero": ("04", "a leading zero"),
        "minus-zero-string": ("-0", "minus zero in a string"),
        "no-digits": ("", "an empty string"),
    }
    for name, (value, why) in strings.items():
        book.refuse("SPEC-3.3", name, why, put(BASE, "statement/total", value))
    dyadics = {
        "even-mantissa": (["2", "0"], "an even mantissa"),
        "zero-with-exponent": (["0", "1"], "a second zero"),
        "exponent-4097": (["1", "4097"], "an exponent past the limit"),
        "dyadic-of-three": (["1", "0", "0"], "a dyadic of three parts"),
    }
    for name, (dyadic_value, why) in dyadics.items():
        book.refuse("SPEC-3.3", name, why, put(BASE, "proof/cells/1/mu", dyadic_value))
    ranges: dict[str, tuple[str, Any, str]] = {
        "maximum-too-large": ("proof/cells/2/maximum", 2, "a maximum that is no token"),
        "maximum-negative": ("proof/cells/2/maximum", -1, "a negative maximum, which Python would count from the end"),
        "query-too-large": ("proof/cells/2/queries", [[1, 2]], "a query above the maximum"),
        "length-zero": ("proof/cells/2/layout", [[0, 1], [1, 1]], "a block of no tokens"),
        "count-zero": ("proof/cells/2/layout", [[1, 0], [1, 1]], "no blocks of one token"),
    }  # fmt: skip
    for name, (path, new, why) in ranges.items():
        book.refuse("SPEC-3.3", name, why, put(BASE, path, new))
    for name, children, why in (
        ("children-zero", 0, "a split into nothing"),
        ("children-million", 10**6 + 1, "too many children"),
    ):
        cells = [*PAIR_CELLS[:2], root(1, [[1, 1]], "split", layout=[[1, 1]], children=children)]
        book.refuse("SPEC-3.3", name, why, document(PAIR, cells))
    for name, share, why in (
        ("bins-negative", [-1, [0]], "a negative number of bins"),
        ("bins-too-large", [(1 << 24) + 1, [0]], "a number of bins out of bounds"),
        ("answer-too-large", [1, [0, 2]], "an answer that is no output"),
        ("answer-negative", [1, [-2]], "a negative answer, which Python would count from the end"),
    ):
        book.refuse(
            "SPEC-3.3",
            name,
            why,
            document(
                PAIR, [*PAIR_CELLS[:2], root(1, [[1, 1]], "count", layout=[[1, 1]], blocks=[share])]
            ),
        )
    for name, group, why in (
        ("copies-negative", [-1, []], "a negative number of copies"),
        (
            "copies-past-the-free-positions",
            [2, [[0, 0]]],
            "more copies than there are free positions",
        ),
        ("copies-block-4096", [1, [[0, 4096]]], "a block past the largest number of blocks"),
    ):
        book.refuse("SPEC-3.3", name, why, put(COPIED, "proof/cells/2/groups", [group]))
    below = proved(
        SHARP,
        completed(
            4, [root(3, [[0, 2]], "copies", layout=[[3, 1]], groups=[[1, [[0, 0]]]])], "skip"
        ),
    )
    book.refuse("SPEC-3.3", "copies-leave-no-room-for-the-maximum", "two copies at two free positions, one of which holds the maximum",
                put(below, "proof/cells/0/groups/0/0", 2), SHARP)  # fmt: skip
    wide = Model(PAIR.config | {"d_vocab_out": 3}, PAIR.tensors | {"unembed.W_U": [[0, 1, 0]]})
    for maximum in (2,):
        doc = document(wide, [*completed(2, [], "skip"), root(maximum, [[0, 0]], "skip")])
        book.refuse(
            "SPEC-3.3",
            f"maximum-is-answer-{maximum}",
            "a maximum that is an answer, or not even that, but no token",
            doc,
            wide,
        )
    for name, change in (
        ("d-vocab-zero", {"d_vocab": 0}),
        ("n-ctx-true", {"n_ctx": True}),
    ):
        data = with_metadata(
            {"format": models.FORMAT, "config": models.canonical(PAIR.config | change)}
        )
        book.refuse(
            "SPEC-3.3", name, "a size of the config out of bounds", forged(MINI, data), data
        )
    for name, key, value, why in (
        ("offset-negative", "data_offsets", [-4, 0], "a negative offset"),
        ("offsets-true", "data_offsets", [False, True], "booleans as offsets"),
        ("offset-alone", "data_offsets", [0], "one offset"),
        (
            "shape-negative",
            "shape",
            [-2, -1],
            "a shape of two negative numbers, whose product is right",
        ),
    ):
        data = with_entry("embed.W_E", {key: value})
        book.refuse("SPEC-3.3", f"model-{name}", why, forged(MINI, data), data)


def with_entry(name: str, change: Document) -> bytes:
    """Return the pair model with a changed entry in its header."""
    header, payload = mutators.split_safetensors(PAIR.bytes)
    return models.safetensors_bytes({**header, name: {**header[name], **change}}, payload)


COUNTED = proved(
    PAIR,
    [
        *PAIR_CELLS[:2],
        root(1, [[1, 1]], "count", layout=[[1, 1]], blocks=[[8, []]], lower=[[8, [0]]]),
    ],
)
COPIED = proved(
    PAIR,
    [
        *PAIR_CELLS[:2],
        root(1, [[1, 1]], "copies", layout=[[1, 1]], groups=[[0, []], [1, [[0, 0]]]]),
    ],
)
SCREENED = proved(
    PAIR,
    [
        PAIR_CELLS[0],
        root(1, [[0, 1]], "screen", layout=[[1, 1]], children=2),
        *(child([[q, q]], "brute-force") for q in (0, 1)),
    ],
)
SPLIT = proved(
    PAIR,
    [
        *PAIR_CELLS[:2],
        root(1, [[1, 1]], "split", layout=[[1, 1]], children=1),
        child([[1, 1]], "extreme", layout=[[1, 1]]),
    ],
)


def structure(book: Book) -> None:
    """SPEC-3.4."""
    book.accept("SPEC-3.4", "every-optional-key", "lower is present", PAIR, COUNTED)
    for name, path in (
        ("root", "comment"), ("cell", "proof/cells/0/note"),
        ("failures-of-an-extreme", "proof/cells/0/failures"),
        ("children-of-a-leaf", "proof/cells/2/children"),
        ("lower-of-an-enumeration", "proof/cells/2/lower"), ("order", "proof/cells/2/order"), ("groups-of-an-enumeration", "proof/cells/2/groups"), ("escaped-key", "proof/cells/0/m\u00f6thod"),
    ):  # fmt: skip
        book.refuse(
            "SPEC-3.4", f"extra-key-{name}", "a key that has no place here", put(BASE, path, ZERO)
        )
    book.refuse(
        "SPEC-3.4",
        "maximum-of-a-child",
        "only a root names its maximum",
        put(SPLIT, "proof/cells/3/maximum", 1),
    )
    for path in ("statement/scope", "proof/cells/0/margin", "proof/cells/0/maximum", "proof/cells/1/failures"):  # fmt: skip
        name = path.replace("/", "-").replace("_", "-")
        book.refuse("SPEC-3.4", f"missing-{name}", "a key is missing", cut(BASE, path))
    book.refuse(
        "SPEC-3.4", "missing-method", "a cell without a method", cut(BASE, "proof/cells/0/method")
    )
    book.refuse(
        "SPEC-3.4", "missing-blocks", "a count without blocks", cut(COUNTED, "proof/cells/2/blocks")
    )
    book.refuse(
        "SPEC-3.4", "missing-groups", "copies without groups", cut(COPIED, "proof/cells/2/groups")
    )
    book.refuse(
        "SPEC-3.4",
        "missing-children-of-a-screen",
        "a screen without children",
        cut(SCREENED, "proof/cells/1/children"),
    )
    book.refuse(
        "SPEC-3.4",
        "failures-of-a-screen",
        "a screen claims nothing",
        put(SCREENED, "proof/cells/1/failures", ["0", "1"]),
    )
    book.refuse(
        "SPEC-3.4",
        "missing-children",
        "a split without children",
        cut(SPLIT, "proof/cells/2/children"),
    )
    kinds: dict[str, tuple[str, Any]] = {
        "certificate-list": ("", [BASE]),
        "cell-null": ("proof/cells/0", None),
        "method-number": ("proof/cells/0/method", 1), "total-number": ("statement/total", 4),
        "scope-word": ("statement/scope", "product"),
        "weights-numbers": ("statement/scope", {"product": [[1, 1], [1, 1]]}),
        "layout-of-three": ("proof/cells/2/layout", [[1, 1, 1]]),
        "layout-null": ("proof/cells/2/layout", None),
        "mu-of-numbers": ("proof/cells/0/mu", [0, 0]),
        "failures-of-three": ("proof/cells/1/failures", ["1", "1", "1"]),
        "failures-of-numbers": ("proof/cells/1/failures", [1, 1]),
    }  # fmt: skip
    for name, (path, value) in kinds.items():
        why = "a value of another kind than is due"
        book.refuse(
            "SPEC-3.4", name, why, put(BASE, path, value) if path else mutators.encode(value)
        )
    for name, key, shares in (
        ("blocks-object", "blocks", {}), ("share-of-three", "blocks", [[8, [], []]]),
        ("share-of-one", "lower", [[8]]), ("share-answers-number", "blocks", [[8, 0]]), ("lower-null", "lower", None),
    ):  # fmt: skip
        book.refuse(
            "SPEC-3.4",
            name,
            "a share is [bins, [answers]]",
            put(COUNTED, f"proof/cells/2/{key}", shares),
        )
    for name, groups in (
        ("groups-object", {}), ("group-of-three", [[1, [[0, 0]], []]]), ("group-blocks-number", [[1, 0]]),
        ("group-block-alone", [[1, [0]]]),
    ):  # fmt: skip
        book.refuse(
            "SPEC-3.4",
            name,
            "a group is [copies, [[first, last]]]",
            put(COPIED, "proof/cells/2/groups", groups),
        )
    header, payload = mutators.split_safetensors(PAIR.bytes)
    entry, metadata = header["embed.W_E"], header["__metadata__"]
    for name, new in (
        ("metadata-missing", {k: v for k, v in header.items() if k != "__metadata__"}),
        ("metadata-extra-key", {**header, "__metadata__": {**metadata, "author": "nobody"}}),
        ("config-list", {**header, "__metadata__": {**metadata, "config": "[]"}}),
        ("entry-extra-key", {**header, "embed.W_E": {**entry, "stride": [1, 1]}}),
    ):
        data = models.safetensors_bytes(new, payload)
        book.refuse("SPEC-3.4", f"model-{name}", "the header of the model lacks a key, has one too many, or the wrong kind of value",
                    forged(MINI, data), data)  # fmt: skip
    for field in ("act_fn", "d_vocab"):
        config = {k: v for k, v in PAIR.config.items() if k != field}
        data = with_metadata({"format": models.FORMAT, "config": models.canonical(config)})
        book.refuse(
            "SPEC-3.4",
            f"config-without-{field.replace('_', '-')}",
            "a field of the config is missing",
            forged(MINI, data),
            data,
        )


def limits(book: Book) -> None:
    """SPEC-3.5."""

    def declined(
        name: str, why: str, certificate: Document | bytes, model: Model | bytes = PAIR
    ) -> None:
        book.refuse("SPEC-3.5", name, why, certificate, model, declined=True)

    for precision in (64, 4096):
        book.accept(
            "SPEC-3.5",
            f"precision-{precision}",
            "precision at its limit",
            PAIR,
            proved(PAIR, PAIR_CELLS, precision=precision),
            exact=True,
        )
    for precision in (63, 4097):
        declined(
            f"precision-{precision}",
            "precision past its limit",
            put(BASE, "proof/precision", precision),
        )
    for bins in (4096, 4097):
        for key in ("blocks", "lower"):
            wide = put(COUNTED, f"proof/cells/2/{key}", [[bins, [0]]])
            if bins > 4096:
                declined(f"bins-4097-{key}", "bins past their limit", wide)
            else:
                loose = put(
                    put(wide, "proof/operations", str(10**11)), "proof/cells/2/failures", ["0", "2"]
                )
                book.accept(
                    "SPEC-3.5",
                    f"bins-4096-{key}",
                    "bins at their limit",
                    PAIR,
                    put(loose, "statement/correct_lower", "0"),
                )
    deep: Any = "4"
    for _ in range(15):
        deep = [deep]
    declined("nested-17", "seventeen levels", put(BASE, "statement/total", deep))
    book.refuse(
        "SPEC-3.4",
        "nested-16",
        "sixteen levels are no reason to decline, but a list is no total",
        put(BASE, "statement/total", deep[0]),
    )
    declined("nested-deeply", "a hundred levels", b"[" * 100 + b"]" * 100 + b"\n")
    book.refuse("SPEC-3.2", "brackets-in-a-string", "brackets in a string are not nesting: what is wrong is the second newline",
                mutators.encode(put(BASE, "proof/strategy", '"' + "[" * 40 + '\\"')) + b"\n")  # fmt: skip

    def chain(depth: int) -> Document:
        links = [child([[1, 1]], "split", layout=[[1, 1]], children=1)] * depth
        cells = [
            {"maximum": 1, "mu": ZERO, **links[0]},
            *links[1:],
            child([[1, 1]], "extreme", layout=[[1, 1]]),
        ]
        return document(PAIR, [*PAIR_CELLS[:2], *cells])

    book.accept(
        "SPEC-3.5",
        "split-32-deep",
        "splits at their limit",
        PAIR,
        tightened(PAIR, chain(32)),
        exact=True,
    )
    declined("split-33-deep", "one split too many", chain(33))
    big = [[2**128 - 2, 1], [1, 1]]
    book.accept(
        "SPEC-3.5",
        "scope-below-2-128",
        "weights at their limit",
        PAIR,
        proved(PAIR, PAIR_CELLS, big),
        exact=True,
    )
    declined(
        "scope-2-128",
        "the weights of a position sum to 2^128",
        document(PAIR, PAIR_CELLS, [[2**128 - 1, 1], [1, 1]]),
    )
    declined(
        "scope-2-128-at-the-end",
        "the weights of the last position sum to 2^128",
        document(PAIR, PAIR_CELLS, [[1, 1], [2**127, 2**127]]),
    )
    for field, size in (("d_vocab_out", 1025), ("d_model", 1025), ("n_ctx", 65)):
        data = with_metadata(
            {"format": models.FORMAT, "config": models.canonical(PAIR.config | {field: size})}
        )
        declined(
            f"config-{field.replace('_', '-')}-{size}",
            "an architecture past the limits",
            forged(MINI, data),
            data,
        )
    for field, size in (("d_model", 1024), ("n_ctx", 64)):
        data = with_metadata(
            {"format": models.FORMAT, "config": models.canonical(PAIR.config | {field: size})}
        )
        book.refuse(
            "SPEC-4.3",
            f"config-{field.replace('_', '-')}-{size}",
            "a size at its limit, and tensors of other shapes",
            forged(MINI, data),
            data,
        )
    header, payload = mutators.split_safetensors(PAIR.bytes)
    for name, length in (("header-past-1-mib", (1 << 20) + 1), ("header-of-2-63", 1 << 63)):
        data = length.to_bytes(8, "little") + PAIR.bytes[8:]
        declined(name, "a header declared longer than 1 MiB", forged(MINI, data), data)
    data = (1 << 20).to_bytes(8, "little") + PAIR.bytes[8:]
    book.refuse(
        "SPEC-4.1",
        "header-of-1-mib",
        "a header declared as long as allowed, and not there",
        forged(MINI, data),
        data,
    )
    for name, where in (("model-nested", "shape"), ("model-nested-offsets", "data_offsets")):
        nested: Any = []
        for _ in range(15):
            nested = [nested]
        declined(name, "the header of the model nests too deep", BASE, models.safetensors_bytes(
            {**header, "embed.W_E": {**header["embed.W_E"], where: nested}}, payload))  # fmt: skip
    tuples(book)


def tuples(book: Book) -> None:
    """Enumerations that are too large; the model has no weights, so every answer is left."""
    for name, vocab, n, clause, why in (
        (
            "enumeration-of-2-29-tuples",
            2,
            30,
            "SPEC-8.2",
            "masks that fit are no reason to decline, but the work is",
        ),
        (
            "enumeration-of-2-32-tuples",
            2,
            33,
            "SPEC-3.5",
            "masks of 2^32 bits and the sums beside them",
        ),
        ("enumeration-of-4-63-tuples", 4, 64, "SPEC-3.5", "more prefixes than there are addresses"),
    ):
        model, top = flat(vocab, n), vocab - 1
        cells = [root(top, [[0, 0]], "enumerate", layout=[[1, top]])]
        doc = put(document(model, completed(vocab, cells, "skip")), "proof/operations", "100000")
        book.refuse(clause, name, why, doc, model, declined=True)
    for count, clause in ((4097, "SPEC-3.5"), (4096, "SPEC-3.4")):
        why = (
            "more items than any list may have"
            if count > 4096
            else "4 096 items are no reason to decline, but they are no groups"
        )
        doc = put(COPIED, "proof/cells/2/groups", [0] * count)
        book.refuse(clause, f"groups-of-{count}", why, doc, declined=count > 4096)


# --- model: SPEC-4 ----------------------------------------------------------------


def containers(book: Book) -> None:
    """SPEC-4.1 and SPEC-4.2."""
    header, payload = mutators.split_safetensors(PAIR.bytes)
    names = [name for name in header if name != "__metadata__"]
    for dtype in ("F16", "BF16", "F64"):
        model = replace(PAIR, dtype=dtype)
        book.accept(
            "SPEC-4.1",
            f"dtype-{dtype.lower()}",
            f"the same numbers as {dtype}",
            model,
            proved(model, PAIR_CELLS),
            exact=True,
        )
    mixed = replace(
        PAIR, dtype=dict(zip(sorted(PAIR.tensors), ["F16", "BF16", "F64", "F32"] * 2, strict=False))
    )
    book.accept(
        "SPEC-4.1",
        "dtypes-mixed",
        "one dtype per tensor",
        mixed,
        proved(mixed, PAIR_CELLS),
        exact=True,
    )

    def refused(name: str, why: str, data: bytes, *, declined: bool = False) -> None:
        book.refuse("SPEC-4.1", name, why, forged(MINI, data), data, declined=declined)

    for dtype in ("I32",):
        refused(f"dtype-{dtype.lower().replace('_', '-')}" + ("-small" if dtype == "f32" else ""), "an unknown dtype",
                with_entry("embed.W_E", {"dtype": dtype}), declined=True)  # fmt: skip
    refused("too-short", "seven bytes", PAIR.bytes[:7])
    refused("no-header", "a length of zero and nothing else", bytes(8))
    refused("truncated-header", "the header ends before its length", PAIR.bytes[:40])
    text = json.dumps(header, separators=(",", ":")).encode()
    refused(
        "header-leading-space",
        "the header does not begin with a brace",
        models.safetensors_bytes(b" " + text, payload),
    )
    refused("trailing-byte", "a byte behind the payload", PAIR.bytes + b"\x00")
    refused("payload-truncated", "the last byte is missing", PAIR.bytes[:-1])
    refused(
        "size-too-large",
        "one byte more than the shape",
        with_entry(
            names[-1], {"data_offsets": [header[names[-1]]["data_offsets"][0], len(payload) + 1]}
        ),
    )
    refused(
        "dtype-of-another-size",
        "F64 with the bytes of F32",
        with_entry("embed.W_E", {"dtype": "F64"}),
    )
    refused(
        "offsets-of-three",
        "three offsets",
        with_entry("embed.W_E", {"data_offsets": [*header["embed.W_E"]["data_offsets"], 99]}),
    )
    refused(
        "four-axes", "a shape of four axes", with_entry(ATTENTION + "W_O", {"shape": [1, 1, 1, 1]})
    )
    refused(
        "overlap",
        "two tensors share their bytes",
        with_entry(names[1], {"data_offsets": header[names[0]]["data_offsets"]}),
    )
    first = header[names[0]]["data_offsets"]
    shifted = {name: ({**entry, "data_offsets": [x + 4 for x in entry["data_offsets"]]} if name != "__metadata__" and entry["data_offsets"][0] >= first[1] else entry)
               for name, entry in header.items()}  # fmt: skip
    refused(
        "hole",
        "four bytes that belong to no tensor",
        models.safetensors_bytes(shifted, payload[: first[1]] + bytes(4) + payload[first[1] :]),
    )
    moved = {
        name: (
            {**entry, "data_offsets": [x + 4 for x in entry["data_offsets"]]}
            if name != "__metadata__"
            else entry
        )
        for name, entry in header.items()
    }
    refused(
        "hole-at-the-start",
        "four bytes before the first tensor",
        models.safetensors_bytes(moved, bytes(4) + payload),
    )
    special = mutators.SPECIAL_PATTERNS
    patterns = {
        "F32": special["F32"][1:5:3],
        "F16": special["F16"][4:5],
        "BF16": special["BF16"][5:],
        "F64": special["F64"][1:2],
    }
    for dtype, found in patterns.items():
        for bits in found:
            model = replace(models.pair(**{"unembed.W_U": [[0, Raw(bits)]]}), dtype=dtype)
            book.refuse(
                "SPEC-4.2",
                f"{dtype.lower()}-{bits:x}",
                "a NaN or an infinity",
                document(model, PAIR_CELLS),
                model,
            )
    largest = models.pair(**{"unembed.W_U": [[0, models.fraction_of_bits(0x7F7FFFFF, "F32")]]})
    book.accept(
        "SPEC-4.2",
        "largest-finite",
        "the largest finite number",
        largest,
        proved(largest, PAIR_CELLS),
        exact=True,
    )
    tiny = models.pair(**{"unembed.W_U": [[-0.0, models.fraction_of_bits(1, "F32")]]})
    book.accept(
        "SPEC-4.2",
        "subnormal-and-minus-zero",
        "the smallest subnormal number and minus zero",
        tiny,
        proved(tiny, PAIR_CELLS),
        exact=True,
    )


def architectures(book: Book) -> None:
    """SPEC-4.3 and SPEC-4.4."""

    def refused(
        name: str, why: str, data: bytes, doc: Document | None = None, *, declined: bool = True
    ) -> None:
        book.refuse("SPEC-4.3", name, why, forged(doc or MINI, data), data, declined=declined)

    def configured(**change: Any) -> tuple[bytes, Document]:
        config = PAIR.config | change
        return with_metadata({"format": models.FORMAT, "config": models.canonical(config)}), put(
            MINI, "statement/architecture", config
        )

    config = models.canonical(PAIR.config)
    for name, version in (("format-2", "certify.model/2"), ("format-unknown", "pt")):
        refused(
            name,
            "another format of the model",
            with_metadata({"format": version, "config": config}),
        )
    fields: dict[str, list[Any]] = {
        "act_fn": ["tanh"],
        "attention_dir": ["backward"],
        "attn_only": [1],
        "n_heads": [2],
        "n_layers": [2],
        "normalization_type": ["LN", "RMS"],
        "positional_embedding_type": ["rotary"],
        "d_mlp": [4],
        "eps": ["0x1.0p-17"],
        "readout": ["first"],
        "attention_mix": ["0x1.8p+0"],
    }
    lacking = {("n_heads", 2), ("n_layers", 2), ("normalization_type", "LN")}
    for field, values in fields.items():
        for value in values:
            name = f"config-{field.replace('_', '-') or 'empty-name'}-{str(value).strip('[]').strip(chr(39)).lower()}"
            changed, missing = (
                configured(**{field: value}),
                (field, str(value)) in {(a, str(b)) for a, b in lacking},
            )
            why = (
                "tensors or a field that this value asks for are not there"
                if missing
                else "a value that is not supported"
            )
            refused(name, why, *changed, declined=not missing)
    for direction, activation in (("bidirectional", "relu"), ("causal", "gelu_new")):
        model = Model(
            PAIR.config | {"attention_dir": direction, "act_fn": activation}, PAIR.tensors
        )
        book.accept(
            "SPEC-4.3",
            f"config-{direction}-{activation.replace('_', '-')}",
            "values that change nothing",
            model,
            proved(model, PAIR_CELLS),
            exact=True,
        )
    narrow = Model(PAIR.config | {"d_vocab_out": 1}, PAIR.tensors | {"unembed.W_U": [[0]]})
    book.refuse(
        "SPEC-5.2",
        "fewer-answers-than-tokens",
        "d_vocab_out below d_vocab",
        document(narrow, PAIR_CELLS),
        narrow,
        declined=True,
    )
    second = {
        name.replace("blocks.0", "blocks.1"): tensor
        for name, tensor in PAIR.tensors.items()
        if "blocks" in name
    }
    heads = {
        name: tensor * 2 if "attn" in name else tensor for name, tensor in PAIR.tensors.items()
    }
    for field, value, tensors in (
        ("n_layers", 2, PAIR.tensors | second),
        ("n_heads", 2, heads),
        ("normalization_type", "LNPre", PAIR.tensors),
        ("attention_mix", "0x1.0p+0", PAIR.tensors),
        ("readout", "last", PAIR.tensors),
    ):
        more = {"eps": "0x1.0p-17"} if field == "normalization_type" else {}
        model = Model(PAIR.config | {field: value} | more, tensors)
        name = f"config-{field.replace('_', '-')}"
        book.refuse(
            "SPEC-4.4",
            name,
            "an architecture without a path decomposition",
            document(model, PAIR_CELLS),
            model,
            declined=True,
        )
    header, payload = mutators.split_safetensors(PAIR.bytes)
    for name in ("blocks.0.attn.mask", "embed.w_e"):
        entry = {"dtype": "F32", "shape": [1], "data_offsets": [len(payload), len(payload) + 4]}
        refused(f"extra-tensor-{name.replace('.', '-').replace('_', '-').lower()}", "a tensor this page does not name",
                models.safetensors_bytes({**header, name: entry}, payload + bytes(4)))  # fmt: skip
    for name in ("embed.W_E", "unembed.W_U"):
        lacking = models.safetensors_bytes(*mutators.remove_tensor(header, payload, name))
        refused(
            f"missing-{name.replace('.', '-').replace('_', '-').lower()}",
            "a tensor that must be there is not",
            lacking,
            declined=False,
        )
    shapes = {
        "embed.W_E": [1, 2],
        "pos_embed.W_pos": [2],
        ATTENTION + "W_Q": [1, 1],
        "unembed.W_U": [2, 1],
    }
    for name, shape in shapes.items():
        refused(f"shape-of-{name.replace('.', '-').replace('_', '-').lower()}", "the right number of elements in another shape",
                with_entry(name, {"shape": shape}), declined=False)  # fmt: skip
    for name, value in (("unembed.b_U", [0]), (ATTENTION + "b_Q", [0])):
        odd = models.pair(**{name: value})
        refused(
            f"shape-of-{name.rpartition('.')[2].replace('_', '-').lower()}",
            "a bias of another shape",
            odd.bytes,
            document(odd, PAIR_CELLS),
            declined=False,
        )
    for bias, value in (
        (ATTENTION + "b_Q", [[3]]),
        (ATTENTION + "b_K", [[3]]),
        (ATTENTION + "b_V", [[1]]),
        (ATTENTION + "b_O", [-1]),
        ("unembed.b_U", [0, 1]),
    ):
        model = models.pair(**{bias: value})
        book.accept(
            "SPEC-4.4",
            f"bias-{bias[-1].lower()}",
            f"{bias} is not zero",
            model,
            proved(model, [*PAIR_CELLS[1:], root(0, [[0, 0]], "brute-force")]),
            exact=True,
        )
    for name, model, why in (
        ("positions", models.pair(**{"pos_embed.W_pos": [[1], [-2]]}), "positions enter scores, values and the direct path"),
        ("one-position", Model(PAIR.config | {"n_ctx": 1}, PAIR.tensors | {"pos_embed.W_pos": [[0]]}), "n = 1: there are no free positions"),
        ("one-token", Model(models.config_of(vocab=1, k=2, d_model=1, d_head=1), models.pair(**{"embed.W_E": [[1]], "unembed.W_U": [[0]]}).tensors),
         "one token and one answer: nothing can be wrong"),
        ("one-token-two-answers", Model(models.config_of(vocab=1, k=2, d_model=1, d_head=1, outputs=2), models.pair(**{"embed.W_E": [[1]]}).tensors),
         "one token, and an answer that beats it"),
        ("more-answers", Model(PAIR.config | {"d_vocab_out": 3}, PAIR.tensors | {"unembed.W_U": [[0, 1, Fraction(-1, 2)]]}), "an answer that is no token"),
        ("more-answers-tie", Model(PAIR.config | {"d_vocab_out": 3}, PAIR.tensors | {"unembed.W_U": [[0, 1, 1]]}), "an answer that is no token ties"),
        ("d-head-2", Model(PAIR.config | {"d_head": 2}, PAIR.tensors | {ATTENTION + f"W_{m}": [[[1, 1]]] for m in "QKV"} | {ATTENTION + "W_O": [[[1], [1]]]}),
         "scores are divided by an irrational number"),
        ("d-head-4", Model(PAIR.config | {"d_head": 4}, PAIR.tensors | {ATTENTION + f"W_{m}": [[[1, 1, 0, 0]]] for m in "QKV"}
                           | {ATTENTION + "W_O": [[[1], [1], [0], [0]]]}), "scores are divided by exactly 2"),
    ):  # fmt: skip
        cells = completed(model.config["d_vocab"], [])
        book.accept("SPEC-4.4", name, why, model, proved(model, cells), exact=True)


# --- statement: SPEC-5 ------------------------------------------------------------


def statements(book: Book) -> None:
    """SPEC-5.1 to SPEC-5.6."""
    book.accept("SPEC-5.6", "numbers-proved", "the strongest claims", PAIR, BASE, exact=True)
    modest = put(put(BASE, "statement/correct_lower", "-7"), "statement/correct_upper", "1000")
    book.accept(
        "SPEC-5.6",
        "numbers-modest",
        "claims weaker than what is proved; the verdict says what is proved",
        PAIR,
        modest,
        exact=True,
    )
    book.refuse(
        "SPEC-5.6",
        "lower-too-large",
        "one more input than is proved correct",
        added(BASE, "statement/correct_lower", 1),
    )
    book.refuse(
        "SPEC-5.6",
        "upper-too-small",
        "one input fewer than may be correct",
        added(BASE, "statement/correct_upper", -1),
    )
    book.refuse(
        "SPEC-5.6",
        "all-correct",
        "perfect accuracy with a proof of less",
        put(BASE, "statement/correct_lower", "4"),
    )
    book.refuse(
        "SPEC-5.6",
        "skipped-lower",
        "one correct input from a proof that shows none",
        put(MINI, "statement/correct_lower", "1"),
    )
    book.refuse(
        "SPEC-5.6",
        "skipped-upper",
        "one wrong input from a proof that shows none",
        put(MINI, "statement/correct_upper", "3"),
    )
    for version in ("certify.certificate/1", "certify.certificate/3", "certify.scope/1"):
        book.refuse(
            "SPEC-5.1",
            f"format-{version.replace('/', '-').replace('.', '-')}",
            "another format",
            put(BASE, "format", version),
            declined=True,
        )
    digest = got(BASE, "statement/model")
    for name, value in (
        ("other-hash", digest[:-1] + ("0" if digest[-1] != "0" else "1")), ("hash-in-capitals", "sha256:" + digest[7:].upper()),
        ("other-hash-function", digest.replace("sha256", "sha512")),
    ):  # fmt: skip
        book.refuse(
            "SPEC-5.1",
            name,
            "the hash is not that of the model file",
            put(BASE, "statement/model", value),
        )
    other = models.pair(**{"pos_embed.W_pos": [[0], [Fraction(1, 2**60)]]})
    book.refuse(
        "SPEC-5.1",
        "right-proof-of-another-model",
        "a true certificate of a model that differs in one weight",
        BASE,
        other,
    )
    book.refuse("SPEC-5.1", "same-weights-other-file", "the same weights in a file with a space more in its header", BASE,
                models.safetensors_bytes(json.dumps(mutators.split_safetensors(PAIR.bytes)[0]).encode(), mutators.split_safetensors(PAIR.bytes)[1]))  # fmt: skip
    for task in ("max-of-K", "sorting", "max-of-k\ns VERIFIED"):
        book.refuse("SPEC-5.2", f"task-{task.partition(chr(10))[0].replace('K', 'capital') or 'empty'}{'-and-a-verdict' if chr(10) in task else ''}",
                    "another task", put(BASE, "statement/task", task), declined=True)  # fmt: skip
    for semantics in ("float32", ""):
        book.refuse("SPEC-5.4", f"semantics-{semantics.replace('R', 'capital-r') or 'empty'}", "another arithmetic",
                    put(BASE, "statement/semantics", semantics), declined=True)  # fmt: skip
    for name, change in (("n-ctx", {"n_ctx": 1}), ("d-head", {"d_head": 2}), ("attention-dir", {"attention_dir": "bidirectional"}),
                         ("attn-only-1", {"attn_only": 1}), ("extra", {"d_mlp": 0})):  # fmt: skip
        book.refuse(
            "SPEC-5.5",
            f"architecture-{name}",
            "the architecture is not the model's",
            put(BASE, "statement/architecture", PAIR.config | change),
        )
    book.refuse(
        "SPEC-5.5",
        "architecture-null",
        "no architecture",
        put(BASE, "statement/architecture", None),
    )
    for by in (1, -1):
        book.refuse(
            "SPEC-5.5",
            f"total-{'plus' if by > 0 else 'minus'}-{abs(by)}",
            "the total is not the number of inputs",
            added(BASE, "statement/total", by),
        )
    scopes(book)


SCOPE: Weights = [[2, 3], [5, 7]]


def scopes(book: Book) -> None:
    """SPEC-5.3."""
    doc = proved(PAIR, PAIR_CELLS, SCOPE)
    book.accept("SPEC-5.3", "product", "weights 2:3 and 5:7, so 45 of 60", PAIR, doc, exact=True)
    for name, weights, why in (
        ("zero-weights", [[0, 3], [5, 0]], "tokens that count nothing"),
        (
            "wrong-inputs-weigh-nothing",
            [[1, 0], [1, 1]],
            "the inputs that fail have no weight: all of the rest is correct",
        ),
        ("all-on-the-wrong-input", [[0, 9], [9, 0]], "only the input that fails has weight"),
        ("ones", [[1, 1], [1, 1]], "equal to uniform, but another label"),
        ("huge", [[10**35, 1], [1, 10**35]], "weights of thirty-five digits"),
    ):
        book.accept("SPEC-5.3", name, why, PAIR, proved(PAIR, PAIR_CELLS, weights), exact=True)
    rows = got(doc, "statement/scope/product")
    for name, value, why in (
        ("too-few-positions", rows[:1], "one row for two positions"), ("too-many-positions", [*rows, ["1", "1"]], "three rows for two positions"),
        ("row-too-short", [rows[0], ["12"]], "one weight for two tokens"),
        ("row-too-long", [rows[0], ["5", "7", "0"]], "three weights for two tokens"),
        ("negative-weight", [["-1", "6"], rows[1]], "a negative weight in a row with the right sum"),
        ("negative-weight-at-the-end", [rows[0], ["13", "-1"]], "a negative weight in the last row"),
        ("zero-sum", [["0", "0"], rows[1]], "a row without weight"), ("zero-sum-at-the-end", [rows[0], ["0", "0"]], "the last row without weight"),
    ):  # fmt: skip
        book.refuse("SPEC-5.3", name, why, put(doc, "statement/scope/product", value))
    book.refuse(
        "SPEC-3.3",
        "weight-leading-zero",
        "a weight with a leading zero",
        put(doc, "statement/scope/product/0/0", "02"),
    )
    book.refuse(
        "SPEC-5.5",
        "total-of-uniform-scope",
        "the number of inputs where their weight is due",
        put(doc, "statement/total", "4"),
    )
    book.refuse(
        "SPEC-5.6",
        "scope-lower-too-large",
        "one unit of weight more than is proved",
        added(doc, "statement/correct_lower", 1),
    )
    book.refuse(
        "SPEC-5.6",
        "scope-upper-too-small",
        "one unit of weight less than may be correct",
        added(doc, "statement/correct_upper", -1),
    )


def scope_file(book: Book) -> None:
    """Scope files on the command line: SPEC-3.2, SPEC-5.3, SPEC-9.3."""
    doc = proved(PAIR, PAIR_CELLS, SCOPE)
    good = models.scope_bytes(SCOPE)
    scope_files = {
        "right": good,
        "other": models.scope_bytes([[2, 3], [5, 8]]),
        "spaced": good.replace(b":", b": "),
        "format-2": good.replace(b"scope/1", b"scope/2"),
        "extra-key": good.replace(b"}", b',"x":1}'),
    }
    for name, data in scope_files.items():
        book.files[f"scopes/{name}.json"] = data

    def required(name: str) -> tuple[str, ...]:
        return ("--scope", f"product:scopes/{name}.json")

    book.accept(
        "SPEC-9.3",
        "scope-file",
        "the scope the user requires",
        PAIR,
        doc,
        exact=True,
        arguments=required("right"),
    )
    book.refuse(
        "SPEC-9.3",
        "scope-file-other",
        "other weights than the user requires",
        doc,
        arguments=required("other"),
    )
    book.refuse(
        "SPEC-9.3",
        "scope-file-for-uniform",
        "uniform, and the user requires a product",
        BASE,
        arguments=required("right"),
    )
    book.refuse(
        "SPEC-3.2",
        "scope-file-spaced",
        "the scope file is not canonical",
        doc,
        arguments=required("spaced"),
    )
    book.refuse(
        "SPEC-3.4",
        "scope-file-extra-key",
        "the scope file has a key too many",
        doc,
        arguments=required("extra-key"),
    )
    book.refuse(
        "SPEC-5.3",
        "scope-file-format-2",
        "the scope file has another format",
        doc,
        arguments=required("format-2"),
        declined=True,
    )
    book.refuse(
        "io",
        "scope-file-absent",
        "the scope file is not there",
        doc,
        arguments=required("absent"),
        declined=True,
    )


# --- proof: SPEC-7 and SPEC-8 ----------------------------------------------------------


def tiling(book: Book) -> None:
    """SPEC-7 to SPEC-7.5."""
    book.accept(
        "SPEC-7",
        "name-of-64",
        "a name of 64 characters",
        PAIR,
        put(BASE, "proof/strategy", "x" * 64),
        exact=True,
    )
    book.accept(
        "SPEC-7", "name-empty", "an empty name", PAIR, put(BASE, "proof/strategy", ""), exact=True
    )
    for name, value in (
        ("name-of-65", "x" * 65),
        ("name-with-a-newline", "x\ns VERIFIED"),
        ("name-with-an-escape", "\x1b[2K"),
        ("name-of-a-surrogate", "\ud800"),
    ):
        book.refuse(
            "SPEC-7",
            name,
            "the name is too long or not printable",
            put(BASE, "proof/strategy", value),
        )
    three = sharp(3, 2)
    whole = proved(three, completed(3, [root(2, [[0, 1]], "enumerate", layout=[[1, 2]])]))
    book.accept(
        "SPEC-7.1",
        "three-tokens",
        "the certificate that the others in this folder damage",
        three,
        whole,
        exact=True,
    )
    backwards = put(whole, "proof/cells", got(whole, "proof/cells")[::-1])
    book.accept(
        "SPEC-7.1", "roots-backwards", "roots may come in any order", three, backwards, exact=True
    )
    cells = got(whole, "proof/cells")
    at = {(c["maximum"], c["queries"][0][0]): i for i, c in enumerate(cells)}

    def tiled(name: str, why: str, new: list[Document], **claims: str) -> None:
        doc = put(put(whole, "proof/cells", new), "proof/operations", str(10**11))
        book.refuse(
            "SPEC-7.1",
            name,
            why,
            put(
                doc,
                "statement/correct_lower",
                claims.get("lower", got(whole, "statement/correct_lower")),
            ),
            three,
        )

    tiled("no-cells", "an empty proof", [], lower="0")
    tiled("missing-maximum", "no cell for the maximum 0", [c for c in cells if c["maximum"] != 0])
    tiled(
        "missing-query",
        "no cell for maximum 1 with query 0",
        [c for i, c in enumerate(cells) if i != at[1, 0]],
    )
    tiled(
        "missing-query-of-the-maximum",
        "no cell for maximum 2 with query 2",
        [c for i, c in enumerate(cells) if i != at[2, 2]],
    )
    tiled("duplicate-root", "the same cell twice", [*cells, cells[at[1, 0]]])
    tiled("duplicate-for-missing", "one cell twice in the place of another of the same size",
          [cells[at[1, 0]] if i == at[1, 1] else c for i, c in enumerate(cells)])  # fmt: skip
    single = got(proved(three, completed(3, [])), "proof/cells")
    held = {(c["maximum"], c["queries"][0][0]): c for c in single}
    for name, lost, twice in (
        ("same-size", (2, 1), (2, 0)),
        ("same-size-elsewhere", (2, 1), (1, 0)),
    ):
        tiled(
            f"duplicate-of-the-{name}",
            "a cell twice and another not at all, so that the sizes add up",
            [held[twice if at == lost else at] for at in held],
        )
    tiled(
        "overlapping-roots",
        "two roots share a query",
        [*cells, {**root(2, [[1, 1]], "brute-force"), "failures": ["0", "1"]}],
    )

    def split(
        name: str,
        why: str,
        queries: list[list[int]],
        parts: list[list[list[int]]],
        children: int,
        rest: list[Document] | None = None,
    ) -> None:
        below = [child(part, "skip") for part in parts]
        new = [root(2, queries, "split", layout=[[1, 2]], children=children), *below, *(rest or [])]
        doc = document(three, completed(3, new, "skip"))
        moved = got(doc, "proof/cells")
        if rest is None and children > len(parts):
            doc = put(doc, "proof/cells", [*moved[len(new) :], *moved[: len(new)]])
        book.refuse("SPEC-7.1", name, why, doc, three)

    split("truncated-children", "the list ends before the second child", [[0, 1]], [[[0, 1]]], 2)
    split("no-children", "the list ends before the first child", [[0, 1]], [], 1)
    split(
        "child-outside-parent",
        "a child holds a query that its parent does not",
        [[0, 0]],
        [[[0, 1]]],
        1,
    )
    split("children-leave-a-query-out", "the children do not hold query 1", [[0, 1]], [[[0, 0]]], 1)
    split("children-overlap", "two children share a query", [[0, 1]], [[[0, 1]], [[1, 1]]], 2)
    split("child-twice", "one child twice", [[0, 1]], [[[0, 0]], [[0, 0]]], 2)
    split("child-elsewhere", "a child with another query", [[0, 0]], [[[1, 1]]], 1)
    queries(book, three, whole, at)


def queries(book: Book, three: Model, whole: Document, at: dict[tuple[int, int], int]) -> None:
    """SPEC-7.2 to SPEC-7.5."""
    pooled = f"proof/cells/{at[2, 0]}"
    book.accept(
        "SPEC-7.2",
        "adjacent-ranges",
        "two ranges that touch",
        three,
        put(whole, f"{pooled}/queries", [[0, 0], [1, 1]]),
        exact=True,
    )
    four = sharp(4, 2)
    gap = completed(
        4,
        [
            root(3, [[0, 0], [2, 2]], "enumerate", layout=[[1, 3]]),
            root(3, [[1, 1]], "extreme", layout=[[3, 1]]),
        ],
    )
    book.accept(
        "SPEC-7.2",
        "ranges-with-a-gap",
        "a set of queries with a gap",
        four,
        proved(four, gap),
        exact=True,
    )
    for name, value, why in (
        ("empty", [], "no queries"), ("overlap", [[0, 1], [1, 1]], "ranges that share a query"),        ("descending", [[1, 1], [0, 0]], "ranges that descend"), ("backwards", [[1, 0]], "a range backwards"),
        ("backwards-behind-another", [[0, 1], [2, 1]], "an empty range at the end"), ("mixed", [[0, 2]], "the maximum among smaller queries"),
        ("mixed-ranges", [[0, 1], [2, 2]], "the maximum behind smaller queries"),
    ):  # fmt: skip
        book.refuse("SPEC-7.2", name, why, put(whole, f"{pooled}/queries", value), three)
    runs = put(whole, f"{pooled}/layout", [[1, 1], [1, 1]])
    book.accept("SPEC-7.3", "runs", "two runs of one block each", three, runs, exact=True)
    pools = root(3, [[0, 1]], "enumerate", layout=[[1, 1], [2, 1]])
    book.accept(
        "SPEC-7.3",
        "unequal-blocks",
        "the tokens 1 and 2 in one block",
        NOISY,
        proved(NOISY, completed(4, [pools])),
    )
    for name, value, why in (
        ("layout-short", [[1, 1]], "the blocks leave token 1 out"), ("layout-long", [[1, 3]], "the blocks hold one token too many"),
        ("layout-empty", [], "no blocks"), ("layout-one-long-block", [[3, 1]], "a block with the maximum in it"),
        ("layout-two-runs", [[1, 2], [1, 1]], "the second run holds one token too many"),
        ("layout-two-short-blocks", [[1, 1], [2, 1]], "the second block holds the maximum"),
    ):  # fmt: skip
        book.refuse("SPEC-7.3", name, why, put(whole, f"{pooled}/layout", value), three)
    for name, mu in (
        ("mu-minus-1", ["-1", "0"]),
        ("mu-barely-negative", ["-1", "-4096"]),
    ):
        book.refuse(
            "SPEC-7.4",
            name,
            "a negative mu turns wrong inputs into right ones",
            put(BASE, "proof/cells/1/mu", mu),
        )
    for name, mu in (
        ("one-logit", ["1", "0"]),
        ("finer-than-the-model", ["1", "-300"]),
        ("hopeless", ["1", "100"]),
    ):
        cells = [
            root(2, [[0, 1]], "enumerate", layout=[[1, 2]], mu=mu),
            root(1, [[0, 0]], "extreme", layout=[[1, 1]]),
        ]
        shown = "a margin of mu is shown, or the input counts as possibly wrong"
        book.accept("SPEC-7.4", f"mu-{name}", shown, three, proved(three, completed(3, cells)))
    for method in ("magic", "Extreme"):
        book.refuse("SPEC-7.5", f"method-{method.strip().replace('E', 'capital-e').replace('_', '-') or 'empty'}{'-newline' if chr(10) in method else ''}",
                    "an unknown method", put(BASE, "proof/cells/0/method", method), declined=True)  # fmt: skip


def methods(book: Book) -> None:
    """SPEC-7.6 to SPEC-7.13, what is accepted."""

    def accepted(
        clause: str,
        name: str,
        why: str,
        model: Model,
        cells: list[Document],
        *,
        exact: bool = False,
        precision: int = 64,
    ) -> Document:
        doc = proved(model, completed(model.config["d_vocab"], cells), precision=precision)
        book.accept(clause, name, why, model, doc, exact=exact)
        return doc

    accepted("SPEC-7.6", "extreme", "one pooled cell, and one of the maximum itself", SHARP,
             [root(3, [[3, 3]], "extreme", layout=[[3, 1]]), root(3, [[0, 2]], "extreme", layout=[[1, 3]])], exact=True)  # fmt: skip
    accepted("SPEC-7.6", "extreme-needs-the-forced-maximum", "beaten only because some free position holds the maximum", sharp(3, 2),
             [root(2, [[0, 1]], "extreme", layout=[[1, 2]])], exact=True)  # fmt: skip
    tree = [root(3, [[0, 2]], "split", layout=[[3, 1]], children=2, mu=["1", "-3"]), child([[0, 1]], "split", layout=[[1, 3]], children=2),
            child([[0, 0]], "enumerate", layout=[[2, 1], [1, 1]]), child([[1, 1]], "brute-force"), child([[2, 2]], "count", layout=[[1, 3]], blocks=[[64, []]])]  # fmt: skip
    accepted("SPEC-7.7", "split", "a split within a split, with a margin for all", SHARP, tree)
    accepted("SPEC-7.7", "split-of-a-noisy-model", "the same on a model that errs", NOISY, tree)
    inherits = [
        root(3, [[0, 2]], "split", layout=[[1, 3]], children=1),
        child([[0, 2]], "extreme", layout=[[3, 1]]),
    ]
    accepted(
        "SPEC-7.7",
        "child-keeps-what-is-removed",
        "the child's layout alone would prove less",
        sharp(4, 3),
        inherits,
        exact=True,
    )
    singles = [
        root(m, [[q, q]], "enumerate", layout=[[1, m]] if m else [])
        for m in range(4)
        for q in range(m + 1)
    ]
    accepted(
        "SPEC-7.8",
        "enumerate-exact",
        "single queries and tokens: the exact number",
        NOISY,
        singles,
        exact=True,
    )
    accepted("SPEC-7.8", "enumerate-pooled", "pooled queries and tokens", NOISY,
             [root(3, [[0, 2]], "enumerate", layout=[[2, 1], [1, 1]]), root(2, [[0, 1]], "enumerate", layout=[[1, 2]])])  # fmt: skip
    accepted("SPEC-7.8", "enumerate-with-a-margin", "mu > 0: no tie rule, inputs with small margins count as possibly wrong", NOISY,
             [root(3, [[q, q]], "enumerate", layout=[[1, 3]], mu=["3", "-2"]) for q in range(4)])  # fmt: skip
    for name, seed in (("cancelling", 39), ("cancelling-again", 207)):
        model = models.cancelling_model(random.Random(seed), dtype="F32", vocab=(3, 3), k=(3, 3))
        accepted(
            "SPEC-7.8",
            f"ties-{name}",
            "ties that no enclosure of an exponential can see",
            model,
            [],
            exact=True,
        )
    tied = models.pair(**{"unembed.W_U": [[1, 1]]})
    accepted("SPEC-7.8", "ties-everywhere", "equal unembedding columns: every input is wrong", tied,
             [root(1, [[1, 1]], "enumerate", layout=[[1, 1]]), root(0, [[0, 0]], "enumerate", layout=[])], exact=True)  # fmt: skip
    close = models.pair(**{ATTENTION + "W_Q": [[[Fraction(1, 2**100)]]], ATTENTION + "b_O": [-1]})
    accepted(
        "SPEC-7.8",
        "more-precision-decides",
        "weights that agree to a hundred bits",
        close,
        [],
        exact=True,
    )
    close = models.pair(**{ATTENTION + "W_Q": [[[-Fraction(1, 2**100)]]], ATTENTION + "b_O": [-1]})
    accepted(
        "SPEC-7.8",
        "more-precision-decides-against",
        "the same with the other sign",
        close,
        [],
        exact=True,
    )
    open_ = Model(
        PAIR.config,
        models.pair(**{"embed.W_E": [[-(2**20)], [2**20]], ATTENTION + "W_V": [[[-1]]]}).tensors,
    )
    accepted(
        "SPEC-7.8",
        "still-open-at-4096-bits",
        "a weight of exp(-2^41) decides: counted in the upper bound only",
        open_,
        [],
    )
    accepted("SPEC-7.9", "count", "one share for all answers", NOISY,
             [root(3, [[0, 2]], "count", layout=[[1, 3]], blocks=[[256, []]]), root(3, [[3, 3]], "count", layout=[[1, 3]], blocks=[[256, []]])])  # fmt: skip
    accepted("SPEC-7.9", "count-shares", "a share per answer, then the rest; no bins for one", NOISY,
             [root(3, [[q, q]], "count", layout=[[1, 3]], blocks=[[0, [0]], [99, [2]], [7, []]]) for q in range(4)])  # fmt: skip
    accepted("SPEC-7.9", "count-names-beaten-answers", "answers named twice, or the right answer, or beaten ones", NOISY,
             [root(3, [[0, 2]], "count", layout=[[2, 1], [1, 1]], blocks=[[32, [3, 2, 2]], [16, [2, 1]], [8, [0]], [4, []]])])  # fmt: skip
    accepted("SPEC-7.9", "count-of-a-beaten-cell", "nothing is left, so no blocks are needed", SHARP,
             [root(3, [[3, 3]], "count", layout=[[1, 3]], blocks=[])], exact=True)  # fmt: skip
    lower = [
        root(
            3,
            [[q, q]],
            "count",
            layout=[[1, 3]],
            blocks=[[512, []]],
            lower=[[256, [0]], [256, [1, 2]], [9, [3]]],
        )
        for q in range(4)
    ]
    accepted("SPEC-7.10", "count-lower", "certain failures, answer by answer", NOISY, lower)
    for seed in (5,):
        model = models.spiky_model(random.Random(seed), dtype="F32", vocab=(4, 4), k=(3, 3))
        cells = [root(m, [[q, q]], "count", layout=[[1, m]] if m else [], blocks=[[512, []]], lower=[[512, [j]] for j in range(4)])
                 for m in range(4) for q in range(m + 1)]  # fmt: skip
        accepted(
            "SPEC-7.10",
            f"count-lower-spiky-{seed}",
            "a model that favours one answer",
            model,
            cells,
        )
    accepted("SPEC-7.11", "skip", "of what is skipped nothing is shown", PAIR,
             [*PAIR_CELLS[:2], root(1, [[1, 1]], "skip")])  # fmt: skip
    accepted(
        "SPEC-7.11",
        "skip-some",
        "one cell is left out",
        NOISY,
        [root(3, [[0, 2]], "skip"), root(2, [[0, 1]], "skip", mu=["1", "10"])],
    )
    accepted("SPEC-7.12", "brute-force", "every input by itself", NOISY, [], exact=True)
    accepted("SPEC-7.12", "brute-force-with-a-margin", "every input by itself, margin at least 1/2", NOISY,
             [root(m, [[q, q]], "brute-force", mu=["1", "-1"]) for m in range(4) for q in range(m + 1)])  # fmt: skip
    accepted("SPEC-7.12", "brute-force-under-a-split", "answers removed by the parent stay removed", NOISY,
             [root(3, [[0, 2]], "split", layout=[[1, 3]], children=3), *(child([[q, q]], "brute-force") for q in range(3))], exact=True)  # fmt: skip


def refused_methods(book: Book) -> None:
    """SPEC-7.6 to SPEC-7.13, what is rejected."""
    book.refuse(
        "SPEC-7.6",
        "wrong-input",
        "the one input of the cell is answered wrongly",
        document(PAIR, completed(2, [root(1, [[0, 0]], "extreme", layout=[[1, 1]])], "skip")),
    )
    three = sharp(3, 2)
    mild = sharp(**{ATTENTION + "W_Q": [[[0, 0], [4, 0]]], ATTENTION + "W_O": [[[16, 0], [0, 16]]]})
    coarse = completed(4, [root(3, [[0, 2]], "extreme", layout=[[3, 1]])], "skip")
    book.refuse(
        "SPEC-7.6",
        "pooled-too-coarsely",
        "true of every input, but not shown by one block",
        document(mild, coarse),
        mild,
    )
    book.refuse(
        "SPEC-7.6",
        "margin-too-large",
        "answers are beaten, but not by mu",
        document(
            three,
            completed(3, [root(2, [[0, 1]], "extreme", layout=[[1, 2]], mu=["1", "10"])], "skip"),
        ),
        three,
    )
    tied = models.pair(**{"unembed.W_U": [[1, 1]]})
    book.refuse(
        "SPEC-7.6",
        "tie",
        "a tie is not a win",
        document(tied, completed(2, [root(0, [[0, 0]], "extreme", layout=[])])),
        tied,
    )
    other = proved(
        SHARP,
        [
            root(m, qs, "extreme", layout=[[1, m]] if m else [])
            for m in range(4)
            for qs in ([[0, m - 1]], [[m, m]])
            if qs[0][1] >= 0
        ],
    )
    book.accept(
        "SPEC-7.6",
        "extreme-everywhere",
        "perfect accuracy in seven cells",
        SHARP,
        other,
        exact=True,
    )
    stolen = put(other, "statement/model", f"sha256:{sha256(NOISY.bytes).hexdigest()}")
    stolen = put(
        put(stolen, "statement/architecture", NOISY.config), "proof/operations", str(10**11)
    )
    for index in range(7):
        stolen = put(stolen, f"proof/cells/{index}/margin", ZERO)
    book.refuse(
        "SPEC-7.6",
        "proof-of-another-model-with-a-new-hash",
        "a perfect model's proof, pointed at one that errs",
        stolen,
        NOISY,
    )
    pooled = root(3, [[0, 2]], "count", layout=[[1, 3]], blocks=[[64, []]])
    counted = document(NOISY, completed(4, [pooled], "skip"))
    left = [j for j in range(3) if leaves_out(counted, j)]
    if not left:
        raise AssertionError("no answer is left in the cell that is to be counted")
    for name, blocks, why in (
        ("no-blocks", [], "no blocks, and an answer is left"),
        (
            "answer-left-out",
            [[64, [j for j in range(4) if j != left[0]]]],
            "the blocks leave one possible answer out",
        ),
        (
            "last-answer-left-out",
            [[64, [j for j in range(4) if j != left[-1]]]],
            "the blocks leave another possible answer out",
        ),
        ("only-the-right-answer", [[64, [3]]], "the blocks name only the right answer"),
    ):
        book.refuse("SPEC-7.9", name, why, put(counted, "proof/cells/0/blocks", blocks), NOISY)
    lower = [[64, left[:1]]]
    book.refuse(
        "SPEC-7.10",
        "pooled-queries",
        "a lower count on a cell of three queries",
        put(counted, "proof/cells/0/lower", lower),
        NOISY,
    )
    single = [
        root(
            3,
            [[q, q]],
            "count",
            layout=[[2, 1], [1, 1]],
            blocks=[[64, []]],
            lower=[[64, [0, 1, 2]]],
        )
        for q in range(4)
    ]
    book.refuse(
        "SPEC-7.10",
        "pooled-tokens",
        "a lower count with a block of two tokens",
        document(NOISY, completed(4, single, "skip")),
        NOISY,
    )
    pools = [root(3, [[0, 1]], "count", layout=[[1, 3]], blocks=[[64, []]], lower=[[64, []]])]
    book.refuse(
        "SPEC-7.10",
        "names-nothing",
        "a lower count without answers on a pooled cell",
        document(NOISY, completed(4, pools, "skip")),
        NOISY,
    )
    for name, ranges in (
        ("two-queries", [[0, 1]]),
        ("three-queries", [[0, 2]]),
        ("two-ranges", [[0, 0], [2, 2]]),
    ):
        book.refuse(
            "SPEC-7.12",
            name,
            "brute force of several queries",
            document(NOISY, completed(4, [root(3, ranges, "brute-force")], "skip")),
            NOISY,
        )
    claims(book)


def copies_and_screens(book: Book) -> None:
    """SPEC-7.6, SPEC-7.14 and SPEC-7.15, what is accepted."""

    def accepted(
        clause: str,
        name: str,
        why: str,
        model: Model,
        cells: list[Document],
        weights: Weights | None = None,
        **more: Any,
    ) -> Document:
        doc = proved(
            model,
            completed(model.config["d_vocab"], cells, more.pop("rest", "brute-force")),
            weights,
        )
        book.accept(clause, name, why, model, doc, **more)
        return doc

    cubic = [
        root(3, [[q, q]], "copies", layout=[[1, 3]], groups=[[0, []], [1, [[0, 2]]]])
        for q in range(3)
    ]
    accepted(
        "SPEC-7.14",
        "cubic",
        "one query and single tokens, a group for every number of copies",
        NOISY,
        cubic,
    )
    some = [root(3, [[q, q]], "copies", layout=[[1, 3]], groups=[[1, [[0, q]]]]) for q in range(3)]
    accepted(
        "SPEC-7.14",
        "cubic-some-tokens",
        "a group of some of the tokens; what is in no group counts as wrong",
        NOISY,
        some,
    )
    sub = [root(3, [[0, 2]], "copies", layout=[[2, 1], [1, 1]], groups=[[1, [[0, 0]]], [0, []]])]
    accepted(
        "SPEC-7.14",
        "sub-cubic",
        "many queries, and the tokens up to m - 2 in one block",
        NOISY,
        sub,
    )
    itself = [
        root(
            3,
            [[3, 3]],
            "copies",
            layout=[[1, 3]],
            groups=[[2, [[0, 1]]], [0, []], [1, [[0, 0], [2, 2]]]],
        )
    ]
    accepted(
        "SPEC-7.14",
        "query-of-the-maximum",
        "the maximum need not be at a free position: as many copies as free positions",
        NOISY,
        itself,
    )
    accepted(
        "SPEC-7.14",
        "no-groups",
        "no groups: everything counts as wrong",
        NOISY,
        [root(3, [[0, 2]], "copies", layout=[[1, 3]], groups=[])],
    )
    accepted("SPEC-7.14", "no-blocks", "groups of no blocks: one copy of nothing is no input", NOISY,
             [root(3, [[0, 2]], "copies", layout=[[1, 3]], groups=[[0, []], [1, []]])])  # fmt: skip
    accepted("SPEC-7.14", "beaten", "no answer is left, so all are right whatever the groups", SHARP,
             [root(3, [[0, 2]], "copies", layout=[[1, 3]], groups=[])], exact=True)  # fmt: skip
    accepted(
        "SPEC-7.14",
        "margin",
        "right by more than mu",
        NOISY,
        [{**cell, "mu": ["1", "-1"]} for cell in cubic],
    )
    accepted("SPEC-7.14", "scope", "weights of the maximum and of the others, and zeros", NOISY, [*cubic, *itself],
             [[2, 0, 3, 5], [7, 11, 0, 13], [1, 2, 3, 0]])  # fmt: skip
    tied = models.pair(**{"unembed.W_U": [[1, 1]]})
    accepted(
        "SPEC-7.14",
        "ties",
        "sums that are zero are not right",
        tied,
        [root(1, [[1, 1]], "copies", layout=[[1, 1]], groups=[[0, []], [1, [[0, 0]]]])],
    )
    single = Model(PAIR.config | {"n_ctx": 1}, PAIR.tensors | {"pos_embed.W_pos": [[0]]})
    accepted("SPEC-7.14", "one-position", "n = 1: no free positions", single,
             [root(0, [[0, 0]], "copies", layout=[], groups=[[0, []]]), root(1, [[1, 1]], "copies", layout=[[1, 1]], groups=[[0, [[0, 0]]]]),
              root(1, [[0, 0]], "copies", layout=[[1, 1]], groups=[[0, []]])])  # fmt: skip

    def screens(leaf: str, length: int = 1, **keys: Any) -> list[Document]:
        cells = []
        for m in range(4):
            below = ([[[0, m - 1]]] if m else []) + [[[m, m]]]
            layout = [[length, m // length]] if m and m % length == 0 else [[1, m]] if m else []
            cells += [
                root(m, [[0, m]], "screen", layout=[[1, m]] if m else [], children=len(below))
            ]
            cells += [child(part, leaf, layout=layout, **keys) for part in below]
        return cells

    accepted(
        "SPEC-7.15",
        "perfect",
        "a screen for every maximum, and nothing left to show but seven cells",
        SHARP,
        screens("extreme"),
        exact=True,
    )
    accepted(
        "SPEC-7.15",
        "noisy",
        "answers that the screen leaves are enumerated",
        NOISY,
        screens("enumerate"),
    )
    accepted(
        "SPEC-7.15",
        "noisy-pooled",
        "the children are coarser than the screen, whose removals they keep",
        NOISY,
        screens("enumerate", 3),
    )
    marginal = [
        {**cell, "mu": ["3", "-1"]} if "mu" in cell else cell for cell in screens("enumerate")
    ]
    accepted("SPEC-7.15", "margin", "what the screen removes is beaten by mu", NOISY, marginal)
    accepted("SPEC-7.15", "one-position", "n = 1: no free positions", single,
             [root(1, [[0, 1]], "screen", layout=[[1, 1]], children=2), child([[0, 0]], "skip"), child([[1, 1]], "extreme", layout=[[1, 1]])], exact=True)  # fmt: skip
    accepted("SPEC-7.15", "skipped", "what the screen removes cannot save a cell that is skipped", SHARP,
             [root(3, [[0, 3]], "screen", layout=[[1, 3]], children=2), child([[0, 2]], "skip"), child([[3, 3]], "extreme", layout=[[3, 1]])])  # fmt: skip
    book.accept(
        "SPEC-7.15",
        "pair",
        "a screen that removes nothing of a model that errs",
        PAIR,
        SCREENED,
        exact=True,
    )
    twice = [
        root(3, [[0, 3]], "screen", layout=[[3, 1]], children=1),
        child([[0, 3]], "screen", layout=[[1, 3]], children=2),
    ]
    twice += [
        child([[0, 2]], "enumerate", layout=[[1, 3]]),
        child([[3, 3]], "enumerate", layout=[[1, 3]]),
    ]
    accepted("SPEC-7.15", "below-a-screen", "a fine screen below a coarse one", NOISY, twice)
    fine = [
        root(3, [[0, 2]], "split", layout=[[1, 3]], children=2),
        child([[0, 1]], "enumerate", layout=[[3, 1]]),
        child([[2, 2]], "enumerate", layout=[[3, 1]]),
    ]
    accepted(
        "SPEC-7.6",
        "tokens-stay-removed",
        "the children's one block has a term only where the parent left a token",
        NOISY,
        fine,
    )
    for seed, limits in ((3, {"k": (2, 2)}), (8, {})):
        model = noisy(seed, **limits)
        tree = [root(3, [[0, 3]], "screen", layout=[[1, 3]], children=2), child([[0, 2]], "split", layout=[[1, 3]], children=3),
                *(child([[q, q]], "enumerate", layout=[[1, 3]]) for q in range(3)), child([[3, 3]], "enumerate", layout=[[1, 3]])]  # fmt: skip
        accepted(
            "SPEC-7.6",
            f"removed-thrice-{seed}",
            "removals by a screen, a split and an enumeration; still exact",
            model,
            tree,
            exact=True,
        )


def refused_copies_and_screens(book: Book) -> None:
    """SPEC-7.14 and SPEC-7.15, what is rejected (the queries of a screen by SPEC-7.2)."""
    doc = proved(
        SHARP,
        completed(
            4,
            [root(3, [[3, 3]], "copies", layout=[[1, 3]], groups=[[1, [[0, 0], [2, 2]]]])],
            "skip",
        ),
    )
    for name, groups, why in (
        ("copies-twice", [[1, [[0, 0]]], [1, [[1, 1]]]], "the same number of copies in two groups"),
        ("blocks-overlap", [[1, [[0, 1], [1, 2]]]], "a block twice"), ("blocks-descend", [[1, [[1, 1], [0, 0]]]], "ranges of blocks that descend"),
        ("blocks-backwards", [[1, [[1, 0]]]], "a range of blocks backwards"), ("block-of-the-maximum", [[1, [[3, 3]]]], "the block of the maximum"),
        ("blocks-up-to-the-maximum", [[1, [[0, 3]]]], "all blocks and that of the maximum"), ("block-beyond", [[2, [[0, 0], [4, 4]]]], "a block that is not there"),
    ):  # fmt: skip
        book.refuse("SPEC-7.14", name, why, put(doc, "proof/cells/0/groups", groups), SHARP)
    pooled = put(doc, "proof/cells/0/layout", [[3, 1]])
    book.refuse(
        "SPEC-7.14",
        "token-for-a-block",
        "blocks are numbered, not tokens: there is one block",
        put(pooled, "proof/cells/0/groups", [[1, [[0, 1]]]]),
        SHARP,
    )
    wrong = document(
        PAIR, completed(2, [root(1, [[0, 0]], "copies", layout=[[1, 1]], groups=[[0, []]])])
    )
    book.refuse(
        "SPEC-7.13",
        "copies-of-a-wrong-input",
        "the one input of the group is answered wrongly",
        put(wrong, "proof/cells/0/failures", ["0", "0"]),
    )
    cubic = proved(
        NOISY,
        completed(
            4,
            [
                root(3, [[q, q]], "copies", layout=[[1, 3]], groups=[[0, []], [1, [[0, 2]]]])
                for q in range(3)
            ],
            "skip",
        ),
    )
    for index in range(1):
        if int(got(cubic, f"proof/cells/{index}/failures/1")):
            book.refuse(
                "SPEC-7.13",
                f"copies-possible-{index}",
                "one possible failure fewer than derived",
                added(cubic, f"proof/cells/{index}/failures/1", -1),
                NOISY,
            )
    book.refuse(
        "SPEC-7.13",
        "copies-certain",
        "copies show no failures for certain",
        added(cubic, "proof/cells/0/failures/0", 1),
        NOISY,
    )
    book.refuse("SPEC-7.2", "screen-below-a-split", "a split never holds all queries", document(PAIR, [
        PAIR_CELLS[0], root(1, [[0, 0]], "split", layout=[[1, 1]], children=1), child([[0, 0]], "screen", layout=[[1, 1]], children=1),
        child([[0, 0]], "skip"), root(1, [[1, 1]], "skip")]))  # fmt: skip
    for name, ranges, why in (
        ("two-ranges", [[0, 0], [1, 1]], "the right queries in two ranges"), ("below-the-maximum", [[0, 0]], "a screen without the query of the maximum"),
        ("the-maximum-alone", [[1, 1]], "a screen of the query of the maximum"),
    ):  # fmt: skip
        book.refuse(
            "SPEC-7.2", f"screen-of-{name}", why, put(SCREENED, "proof/cells/1/queries", ranges)
        )
    lost = put(SCREENED, "proof/cells", got(SCREENED, "proof/cells")[:-1])
    book.refuse(
        "SPEC-7.1",
        "screen-loses-the-maximum",
        "the children of a screen leave the query of the maximum out",
        put(lost, "proof/cells/1/children", 1),
    )
    book.refuse("SPEC-7.2", "mixed-below-a-screen", "a child of a screen mixes the maximum with smaller queries", document(PAIR, [
        PAIR_CELLS[0], root(1, [[0, 1]], "screen", layout=[[1, 1]], children=1), child([[0, 1]], "skip")]))  # fmt: skip
    book.refuse(
        "SPEC-7.3",
        "layout-of-a-screen",
        "the layout of a screen is short of a token",
        put(SCREENED, "proof/cells/1/layout", []),
    )
    book.refuse(
        "SPEC-7.3",
        "layout-of-copies",
        "the layout of copies holds the maximum",
        put(COPIED, "proof/cells/2/layout", [[2, 1]]),
    )
    book.refuse("SPEC-7.6", "screened-but-wrong", "a screen does not help a wrong input", document(PAIR, [
        PAIR_CELLS[0], root(1, [[0, 1]], "screen", layout=[[1, 1]], children=2), *(child([[q, q]], "extreme", layout=[[1, 1]]) for q in (0, 1))]))  # fmt: skip
    for name, base in (("a-screen", SCREENED), ("copies", COPIED)):
        book.refuse(
            "SPEC-8.2",
            f"one-too-few-for-{name}",
            "too few operations by one",
            added(base, "proof/operations", -1),
            declined=True,
        )


def leaves_out(doc: Document, j: int) -> bool:
    """Return whether a count that names every answer but j is refused."""
    from checker.ground.errors import Rejected

    try:
        theorem_of(
            NOISY.bytes,
            mutators.encode(
                put(doc, "proof/cells/0/blocks", [[64, [i for i in range(4) if i != j]]])
            ),
        )
    except Rejected as refusal:
        return refusal.rule == "SPEC-7.9"
    return False


def claims(book: Book) -> None:
    """SPEC-7.13."""
    cells = [root(3, [[3, 3]], "extreme", layout=[[1, 3]]), root(0, [[0, 0]], "extreme", layout=[])]
    sharp_doc = proved(SHARP, completed(4, cells, "skip"))
    book.accept("SPEC-7.13", "margins", "margins exactly as large as derived", SHARP, sharp_doc)
    for index, cell in enumerate(cells):
        mantissa, exponent = map(int, got(sharp_doc, f"proof/cells/{index}/margin"))
        units = (mantissa << exponent + 20) + 1
        more = put(sharp_doc, f"proof/cells/{index}/margin", dyadic(units))
        book.refuse(
            "SPEC-7.13",
            f"margin-of-maximum-{cell['maximum']}",
            "a margin 2^-20 larger than derived",
            more,
            SHARP,
        )
    finer = put(
        sharp_doc, "proof/cells/0/margin", [str((units_of(sharp_doc, 0) << 1000) + 1), "-1020"]
    )
    book.refuse(
        "SPEC-7.13", "margin-barely-too-large", "a margin 2^-1020 larger than derived", finer, SHARP
    )
    for name, model, root_cells in (
        ("enumerate", NOISY, [root(3, [[0, 2]], "enumerate", layout=[[2, 1], [1, 1]])]),
        ("enumerate-exact", NOISY, [root(m, [[q, q]], "enumerate", layout=[[1, m]]) for m in range(3, 4) for q in range(m + 1)]),
        ("count", NOISY, [root(3, [[q, q]], "count", layout=[[1, 3]], blocks=[[512, []]], lower=[[512, [0]], [512, [1]], [512, [2]]]) for q in range(4)]),
        ("brute-force", NOISY, [root(3, [[q, q]], "brute-force") for q in range(4)]),
        ("brute-force-of-a-wrong-input", PAIR, [root(1, [[0, 0]], "brute-force")]),
    ):  # fmt: skip
        doc = proved(model, completed(model.config["d_vocab"], root_cells, "skip"))
        book.accept("SPEC-7.13", name, "failures exactly as derived", model, doc)
        counted = [i for i, c in enumerate(got(doc, "proof/cells")) if "failures" in c]
        telling = max(
            counted,
            key=lambda i: (
                int(got(doc, f"proof/cells/{i}/failures/0")),
                int(got(doc, f"proof/cells/{i}/failures/1")),
            ),
        )
        for side, by in ((0, 1), (1, -1)):
            more = added(doc, f"proof/cells/{telling}/failures/{side}", by)
            book.refuse(
                "SPEC-7.13",
                f"{name}-{'certain' if side == 0 else 'possible'}",
                "one failure more for certain, or one possible failure fewer, than derived",
                more,
                model,
            )


def units_of(doc: Document, index: int) -> int:
    """Return a claimed margin in units of 2^-20."""
    mantissa, exponent = map(int, got(doc, f"proof/cells/{index}/margin"))
    return mantissa << exponent + 20


def random_proofs(book: Book) -> None:
    """Random forests over random models: every rule of SPEC-7 at once, and the numbers that it
    gives.
    """
    makers = {
        "good": models.good_model,
        "spiky": models.spiky_model,
        "cancelling": models.cancelling_model,
        "random": models.random_model,
    }
    for kind, make in makers.items():
        for seed in range(3 if kind != "random" else 2):
            rng = random.Random(f"{kind} {seed}")
            model = make(rng, vocab=(3, 3), k=(2, 3))
            weights = (
                models.build_token_weights(Seeded(rng), model.config) if seed % 3 == 0 else None
            )
            doc = json.loads(forests.build_forest(Seeded(rng), model, weights))
            book.accept(
                "SPEC-7.5",
                f"random-{kind}-{seed}",
                f"a random proof about a {kind} model",
                model,
                tightened(model, doc),
            )


def operations(book: Book) -> None:
    """SPEC-8.2."""
    book.accept(
        "SPEC-8.2",
        "exactly-enough",
        "the declared operations are just enough",
        PAIR,
        BASE,
        exact=True,
    )
    book.accept(
        "SPEC-8.2",
        "ceiling",
        "the most that may be declared",
        PAIR,
        put(BASE, "proof/operations", str(10**11)),
        exact=True,
    )
    for name, value in (("one-too-few", str(int(got(BASE, "proof/operations")) - 1)), ("none", "0"), ("negative", "-1"),
                        ("past-the-ceiling", str(10**11 + 1))):  # fmt: skip
        book.refuse(
            "SPEC-8.2",
            name,
            "too few operations, or more than any certificate may take",
            put(BASE, "proof/operations", value),
            declined=True,
        )
    light = proved(hollow(), PAIR_CELLS)
    book.accept(
        "SPEC-8.2", "what-zeros-leave", "zeros are not charged", hollow(), light, exact=True
    )
    book.refuse(
        "SPEC-8.2",
        "one-too-few-for-what-zeros-leave",
        "too few operations by one, of a model with zeros",
        added(light, "proof/operations", -1),
        declined=True,
        model=hollow(),
    )
    book.refuse("SPEC-8.2", "one-too-few-for-a-count", "too few operations for a polynomial",
                added(COUNTED, "proof/operations", -1), declined=True)  # fmt: skip


def command_line(book: Book) -> None:
    """SPEC-9.3, SPEC-9.4, SPEC-9.5 and io."""
    for name, arguments in (
        ("exactly", ("--at-least", "3/4")), ("unreduced", ("--at-least", "300/400")), ("zero", ("--at-least", "0")), ("scope", ("--scope", "uniform")),
        ("task-and-semantics", ("--task", "max-of-k", "--semantics", "real")), ("time", ("--time-limit", "600")),
    ):  # fmt: skip
        book.accept(
            "SPEC-9.3",
            f"at-least-{name}" if "--at-least" in arguments else name,
            "a requirement that holds",
            PAIR,
            BASE,
            exact=True,
            arguments=arguments,
        )
    scoped = proved(PAIR, PAIR_CELLS, SCOPE)
    for name, doc, arguments, why in (
        (
            "at-least-more",
            BASE,
            ("--at-least", "750000001/1000000000"),
            "barely less than required",
        ),
        ("at-least-1", BASE, ("--at-least", "1"), "not perfect"),
        (
            "at-least-of-a-product",
            scoped,
            ("--at-least", "1/2"),
            "without --scope the user means uniform",
        ),
        (
            "scope-uniform",
            scoped,
            ("--scope", "uniform"),
            "a product, and the user requires uniform",
        ),
        (
            "at-least-of-the-scope",
            scoped,
            ("--at-least", "4/5", "--scope", "product:scopes/right.json"),
            "the scope is right, the accuracy is not",
        ),
    ):
        book.refuse("SPEC-9.3", name, why, doc, arguments=arguments)
    book.accept("SPEC-9.3", "at-least-of-a-product", "required of the scope that is meant", PAIR, scoped, exact=True,
                arguments=("--at-least", "3/4", "--scope", "product:scopes/right.json"))  # fmt: skip
    book.refuse(
        "SPEC-9.4",
        "no-time",
        "no time at all",
        BASE,
        arguments=("--time-limit", "0"),
        declined=True,
    )
    book.refuse(
        "SPEC-9.4",
        "a-nanosecond",
        "a billionth of a second",
        BASE,
        arguments=("--time-limit", "1/1000000000"),
        declined=True,
    )
    nothing = "every cell is skipped: true of any model"
    book.refuse("SPEC-9.5", "cells", nothing, MINI)
    book.refuse(
        "SPEC-9.5", "cells-of-a-product", nothing, proved(PAIR, completed(2, [], "skip"), SCOPE)
    )
    book.refuse(
        "SPEC-9.5",
        "at-least-zero",
        "an accuracy of at least zero is true of any model",
        MINI,
        arguments=("--at-least", "0/1"),
    )
    book.refuse(
        "io", "model-absent", "the model is not there", BASE, "io/absent.safetensors", declined=True
    )
    book.refuse(
        "io", "certificate-absent", "the certificate is not there", "io/absent.json", declined=True
    )
    book.refuse("io", "model-is-a-folder", "the model is a folder", BASE, "models", declined=True)
    book.refuse("io", "certificate-is-a-folder", "the certificate is a folder", "io", declined=True)


CHAPTERS = (
    encoding,
    structure,
    limits,
    containers,
    architectures,
    statements,
    tiling,
    methods,
    refused_methods,
    copies_and_screens,
    refused_copies_and_screens,
    random_proofs,
    operations,
    command_line,
    lambda book: vectors_paths.chapter(book, sys.modules[__name__]),
    lambda book: vectors_modular.chapter(book, sys.modules[__name__]),
    lambda book: vectors_float32.chapter(book, sys.modules[__name__]),
    lambda book: vectors_leaves.chapter(book, sys.modules[__name__]),
    lambda book: vectors_chain.chapter(book, sys.modules[__name__]),
    lambda book: vectors_domain.chapter(book, sys.modules[__name__]),
    lambda book: vectors_conditions.chapter(book, sys.modules[__name__]),
    lambda book: vectors_wide.chapter(book, sys.modules[__name__]),
)


def make() -> dict[str, bytes]:
    """Return every file by its path under `tests/vectors`."""
    book = Book()
    book.share("pair", PAIR.bytes)
    book.share("sharp", SHARP.bytes)
    book.share("noisy", NOISY.bytes)
    book.share("three", sharp(3, 2).bytes)
    for chapter in CHAPTERS:
        chapter(book)
    return book.written()


def on_disk() -> Iterator[tuple[str, bytes]]:
    """Yield what is committed."""
    for path in sorted(VECTORS.rglob("*")):
        if path.is_file():
            yield path.relative_to(VECTORS).as_posix(), path.read_bytes()


def main(argv: list[str]) -> int:
    """Write or compare the vectors."""
    made, found = make(), dict(on_disk())
    changed = sorted(
        name for name in made.keys() | found.keys() if made.get(name) != found.get(name)
    )
    print(f"{len(made)} files, {sum(map(len, made.values()))} bytes, {len(changed)} differ")  # noqa: T201
    if "--check" in argv:
        print("\n".join(changed))  # noqa: T201
        return int(bool(changed))
    for name in changed:
        path = VECTORS / name
        if name not in made:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[name])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
