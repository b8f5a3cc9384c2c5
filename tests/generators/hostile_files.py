"""Files that would take much memory or time from a checker that counts wrongly.
(SPEC-3.5, SPEC-9.4)

Each generator returns the bytes of a model and of a certificate.  Models are written directly, for
millions of numbers, and payloads are repetitions of a few words.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

import addition
import forests
import make_vectors
import models
import mutators
import networks
import questions
from make_vectors import BASE, NOISY, PAIR, child, completed, document, flat, got, proved, put, root

CONSTANT = addition.MIXES[0]
Files = tuple[bytes, bytes]
Document = dict[str, Any]
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def container(
    config: Document,
    shapes: dict[str, tuple[int, ...]],
    words: Callable[[str], bytes] = lambda name: bytes(2),
    dtype: str = "F16",
) -> bytes:
    """Return a model file whose tensors repeat some words; ``words`` are those of a tensor."""
    header: Document = {
        "__metadata__": {"config": models.canonical(config), "format": models.FORMAT}
    }
    payload = bytearray()
    for name, shape in shapes.items():
        size, begin, own = math.prod(shape) * SIZES[dtype], len(payload), words(name)
        payload += (own * (size // len(own) + 1))[:size]
        header[name] = {"data_offsets": [begin, len(payload)], "dtype": dtype, "shape": shape}
    return models.safetensors_bytes(header, bytes(payload))


def claimed(data: bytes, task: str | Document, proof: Document, **statement: Any) -> bytes:
    """Return a certificate about these model bytes that claims nothing."""
    length = int.from_bytes(data[:8], "little")
    config = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["config"])
    total = config["d_vocab"] ** config["n_ctx"]
    said = {
        "architecture": config,
        "correct_lower": "0",
        "correct_upper": str(total),
        "domain": models.domain_of(config),
        "model": f"sha256:{sha256(data).hexdigest()}",
        "scope": "uniform",
        "semantics": "real",
        "task": task,
        "total": str(total),
    }
    usual = {"operations": str(10**11), "precision": 64, "strategy": "hostile"}
    return mutators.encode(
        {
            "format": "certify.certificate/2",
            "proof": usual | proof,
            "statement": said | statement,
        }
    )


# --- models of sums ---------------------------------------------------------------


def summing(p: int, heads: int, d_model: int, d_head: int, d_mlp: int, mix: str | None) -> bytes:
    """Return a model of sums whose numbers are zero."""
    config = addition.config_of(p, d_model, d_head, heads, d_mlp, p, mix)
    shapes = {name: tuple(shape) for name, shape in addition.shapes(config).items()}
    # Three and minus three: their products are no numbers that Python keeps anyway.
    return container(config, shapes, lambda name: b"\0\xc2" if name.endswith("W_V") else b"\0\x42")


def wide_values() -> Files:
    """Return few bytes that ask for the values of all heads side by side: 2 000 rows of 16 384."""
    data = summing(1000, 16, 8, 1024, 1, CONSTANT)
    exp = {"eps_exp": "1/4194304", "eta_exp": "1/1024", "semantics": "float32:any-order"}
    return data, claimed(data, {"modular-addition": 1000}, {"sums": {"rule": "exact"}}, **exp)


def thin_hints() -> Files:
    """Return P of one column and Q of one row, 4 096 each, for a small model."""
    data = summing(3, 1, 1, 1, 2, CONSTANT)
    left = {"exponent": 0, "rows": [[-16]] * 4096}
    right = {"exponent": 0, "rows": [[16] * 4096]}
    sums = {"rule": "low-rank", "left": left, "right": right, "settle": 1}
    return data, claimed(data, {"modular-addition": 3}, {"sums": sums})


def thin_middles() -> Files:
    """Return a path whose hints are 1 024 x 1 and 1 x 1 024, for a model of few numbers."""
    model = make_vectors.sharp(2, 2)
    column = {"exponent": 0, "rows": [[-16]] * 1024}
    row = {"exponent": 0, "rows": [[16] * 1024]}
    hint = {"bound": {"rule": "range"}, "form": [2, 2], "peel": [[column, row], []]}
    return model.bytes, mutators.encode(
        put(document(model, completed(2, [], "skip")), "proof/paths", {"ov": hint})
    )


def many_sums() -> Files:
    """Return a model of sums whose inputs are as many as they may be."""
    data = summing(1000, 1, 1, 1, 1, CONSTANT)
    return data, claimed(data, {"modular-addition": 1000}, {"sums": {"rule": "exact"}})


def folded_heads() -> Files:
    """Return a model of sums whose tables are as many as they may be."""
    data = summing(200, 16, 8, 8, 16, None)
    return data, claimed(data, {"modular-addition": 200}, {"sums": {"rule": "exact"}})


# --- models -----------------------------------------------------------------------

ENDS = b"\x01" + bytes(7) + b"\xff" * 6 + b"\xef\x7f"
"""The smallest and the largest number of F64."""


def spread_words(low: int, high: int) -> bytes:
    """Return 2^low and a number near 2^high, of F64."""
    return ((low + 1023) << 52).to_bytes(8, "little") + (
        (high + 1023) << 52 | (1 << 52) - 1
    ).to_bytes(8, "little")


def wide_model(words: bytes = spread_words(-60, 60), d_head: int = 1) -> Files:
    """Return 2^22 numbers of F64, each tensor as wide as a table may be."""
    config = models.config_of(vocab=1024, k=1, d_model=1024, d_head=d_head)
    shapes = {name: tuple(models.shapes(config)[name]) for name in models.WEIGHTS}
    data = container(config, shapes, lambda name: words, "F64")
    cells = [
        root(m, part, "skip")
        for m in range(1024)
        for part in ([[0, m - 1]], [[m, m]])
        if part[0][1] >= 0
    ]
    return data, claimed(data, "max-of-k", {"cells": cells})


def full_model() -> Files:
    """Return as many numbers as a model may hold, of as many bits as a table may hold."""
    return wide_model(spread_words(-60, 60), 510)


def wide_network(precision: int, units: int) -> Files:
    """Return a wide network, evaluated at a high precision."""
    config = json.loads(
        models.canonical(
            models.config_of(vocab=2, k=2, d_model=512, d_head=64)
            | {"d_mlp": units, "attn_only": False, "act_fn": "gelu_new"}
        )
    )
    shapes = {name: shape for name, shape, due in networks.shapes(config, 1) if due}
    data = container(config, shapes, lambda name: b"\x00\x3c\x01\x3c\x03\x38")
    leaves = [{"inputs": "4", "method": "either"}]
    return data, claimed(data, "balanced-brackets", {"leaves": leaves, "precision": precision})


# --- cells ------------------------------------------------------------------------


def skipping(model: models.Model, *held: Any) -> bytes:
    """Return a certificate with these cells about the largest maximum, whose other cells are
    skipped in few words.
    """
    top = model.config["d_vocab"] - 1
    taken = {
        q for cell in held if "maximum" in cell for a, b in cell["queries"] for q in range(a, b + 1)
    }
    left = [q for q in range(top) if q not in taken]
    cells = [
        *held,
        *([root(top, forests._ranges(left), "skip")] if left else []),
        root(top, [[top, top]], "skip"),
    ]
    cells += [
        root(m, part, "skip")
        for m in range(top)
        for part in ([[0, m - 1]], [[m, m]])
        if part[0][1] >= 0
    ]
    return claimed(model.bytes, "max-of-k", {"cells": loose(cells)})


def loose(cells: list[Document]) -> list[Document]:
    """Return the cells with the weakest claims."""
    claims = {"extreme": {"margin": ["0", "0"]}, "split": {}, "screen": {}, "skip": {}}
    widest = {"failures": ["0", "9" * 300]}
    return [{**claims.get(cell["method"], widest), **cell} for cell in cells]


def nested_splits() -> Files:
    """Return splits as deep as allowed over 1 024 tokens at 64 positions, which remove nothing."""
    model, link = flat(1024, 64), child([[0, 1022]], "split", layout=[[1023, 1]], children=1)
    links = [
        {"maximum": 1023, "mu": ["0", "0"], **link},
        *[link] * 31,
        child([[0, 1022]], "skip"),
    ]
    return model.bytes, skipping(model, *links)


def many_roots() -> Files:
    """Return 220 000 skipped roots over 1 024 tokens at 64 positions."""
    model = flat(1024, 64)
    cells, left = [], 220_000
    for m in range(1023, -1, -1):
        if m and left >= m:
            cells += [root(m, [[q, q]], "skip") for q in range(m)]
            left -= m
        elif m:
            cells.append(root(m, [[0, m - 1]], "skip"))
        cells.append(root(m, [[m, m]], "skip"))
    return model.bytes, slim(model, cells)


def many_skips() -> Files:
    """Return 300 000 skipped children over 1 024 tokens at 64 positions."""
    model = flat(1024, 64)
    cells, left = [], 300_000
    for m in range(1023, -1, -1):
        if m and left >= m:
            link = child([[0, m - 1]], "split", layout=[[m, 1]], children=m)
            cells.append({"maximum": m, "mu": ["0", "0"], **link})
            cells += [child([[q, q]], "skip") for q in range(m)]
            left -= m
        elif m:
            cells.append(root(m, [[0, m - 1]], "skip"))
        cells.append(root(m, [[m, m]], "skip"))
    return model.bytes, slim(model, cells)


def slim(model: models.Model, cells: list[Document]) -> bytes:
    """Return a certificate of many cells, without copying them."""
    return claimed(model.bytes, "max-of-k", {"cells": cells})


def weighted_skips() -> Files:
    """Return skipped cells whose sizes have thousands of digits."""
    model, cells = flat(1024, 64), []
    for m in range(1023, -1, -1):
        if m > 900:
            cells += [root(m, [[q, q]], "skip") for q in range(m)]
        elif m:
            cells.append(root(m, [[0, m - 1]], "skip"))
        cells.append(root(m, [[m, m]], "skip"))
    weights = [[str(2**117 + t) for t in range(1024)]] * 64
    total = sum(2**117 + t for t in range(1024)) ** 64
    return model.bytes, claimed(
        model.bytes,
        "max-of-k",
        {"cells": cells},
        scope={"product": weights},
        total=str(total),
        correct_upper=str(total),
    )


def chains() -> Iterator[Document]:
    """Yield 6 000 chains of 32 splits, each over the tokens below one maximum, then the other
    cells.
    """
    for m in range(1023, 1017, -1):
        for q in range(1000):
            link = child([[q, q]], "split", layout=[[m, 1]], children=1)
            yield {"maximum": m, "mu": ["0", "0"], **link}
            yield from [link] * 31
            yield child([[q, q]], "skip")
        yield root(m, [[1000, m - 1]], "skip")
        yield root(m, [[m, m]], "skip")
    for m in range(1018):
        if m:
            yield root(m, [[0, m - 1]], "skip")
        yield root(m, [[m, m]], "skip")


def many_chains() -> Files:
    """Return 6 000 chains of 32 splits."""
    model = flat(1024, 2)
    return model.bytes, slim(model, list(chains()))


def heavy_tuples() -> Files:
    """Return one enumeration whose tokens weigh 127 bits."""
    vocab, n = 4, 14
    model = flat(vocab, n)
    cells = [root(3, [[0, 2]], "enumerate", layout=[[1, 3]])]
    weights = [[2**125 + t for t in range(vocab)]] * n
    doc = document(model, completed(vocab, cells, "skip"), weights)
    return model.bytes, mutators.encode(doc)


def many_prefixes() -> Files:
    """Return an enumeration of two blocks, with as many prefixes as may be held."""
    model = flat(2, 28)
    return model.bytes, skipping(model, root(1, [[0, 0]], "enumerate", layout=[[1, 1]]))


def wide_terms() -> Files:
    """Return a cell of as many terms as may be held, of all answers."""
    model = flat(1024, 2)
    return model.bytes, skipping(
        model, root(1023, [[0, 1022]], "count", layout=[[1, 1023]], blocks=[[4096, []]])
    )


def wide_polynomial() -> Files:
    """Return polynomials of 33 million bits, half of whose degrees occur."""
    vocab, n = 1024, 64
    config = models.config_of(vocab=vocab, k=n, d_model=1, d_head=1, outputs=1024)
    tokens = [[(t * 37) % 1024] for t in range(vocab)]
    fill = {name: models.filled(models.shapes(config)[name], lambda: 0) for name in models.WEIGHTS}
    fill |= {
        "embed.W_E": tokens,
        models.ATTENTION + "W_V": [[[1]]],
        models.ATTENTION + "W_O": [[[1]]],
        "unembed.W_U": [[2] + [1] * 1023],
    }
    model = models.Model(config, fill)
    cell = root(1023, [[0, 1022]], "count", layout=[[1, 1023]], blocks=[[4096, [0]], [4096, []]])
    cells = [cell, root(1023, [[1023, 1023]], "skip")]
    cells += [
        root(m, part, "skip")
        for m in range(1023)
        for part in ([[0, m - 1]], [[m, m]])
        if part[0][1] >= 0
    ]
    weights = [[str(2**117 + t) for t in range(1024)]] * 64
    total = sum(2**117 + t for t in range(1024)) ** 64
    failing = {"failures": ["0", str(total)]}
    written = [{**(failing if c["method"] == "count" else {}), **c} for c in cells]
    return model.bytes, claimed(
        model.bytes,
        "max-of-k",
        {"cells": written},
        scope={"product": weights},
        total=str(total),
        correct_upper=str(total),
    )


# --- text -------------------------------------------------------------------------


def text_of(item: bytes) -> Callable[[], Files]:
    """Return a generator of a certificate of 16 MiB whose cells are this item, again and again."""

    def make() -> Files:
        whole = mutators.encode(put(make_vectors.BASE, "proof/paths", "P"))
        room = (16 << 20) - len(whole)
        items = b",".join([item] * (room // (len(item) + 1)))
        return make_vectors.PAIR.bytes, whole.replace(b'"P"', b"[" + items + b"]")

    return make


# --- bombs ------------------------------------------------------------------------


def headed(length: int, text: bytes) -> bytes:
    return length.to_bytes(8, "little") + text


def many_cells() -> bytes:
    """Return a certificate of as many cells as fit, all valid but for a last one."""
    return mutators.encode(put(BASE, "proof/cells", "C")).replace(
        b'"C"', b"[" + b"[]," * (5 * 10**6) + b"[]]"
    )


def enumerating(vocab: int, n: int, operations: str = str(10**11)) -> Files:
    """Return a model of ties and a certificate that enumerates far too much."""
    model = flat(vocab, n)
    cells = [root(vocab - 1, [[0, 0]], "enumerate", layout=[[1, vocab - 1]])]
    doc = put(document(model, completed(vocab, cells, "skip")), "proof/operations", operations)
    return model.bytes, mutators.encode(doc)


def counting() -> Files:
    """Return a certificate whose polynomials are as large as allowed: 64 positions, slots of 8 000
    bits, 4 096 bins.
    """
    model = make_vectors.sharp(64, 64, **{models.ATTENTION + "W_Q": [[[0, 0], [0, 0]]]})
    shares = [[4096, [j]] for j in range(63)]
    cells = [root(63, [[0, 62]], "count", layout=[[1, 63]], blocks=shares, mu=["1", "20"])]
    weights = [[2**120 + t for t in range(64)] for _ in range(64)]
    return model.bytes, mutators.encode(
        document(model, completed(64, cells, "skip"), weights, 4096)
    )


def wide_numbers() -> Files:
    """Return a tensor of the smallest and the largest numbers of F64, with many rows."""
    return wide_model(ENDS)


def precise() -> Files:
    """Return a certificate at 4 096 bits that pools nothing."""
    doc = proved(NOISY, completed(4, []))
    loose = put(put(doc, "proof/precision", 4096), "proof/operations", str(10**11))
    for index, _ in enumerate(got(loose, "proof/cells")):
        loose = put(loose, f"proof/cells/{index}/failures", ["0", "64"])
    return NOISY.bytes, mutators.encode(
        put(put(loose, "statement/correct_lower", "0"), "statement/correct_upper", "64")
    )


def huge_margin() -> Files:
    """Return margins as large as they may be written."""
    mu = ["9" * 4000, "4096"]
    cells = [
        root(m, [[q, q]], "enumerate", layout=[[1, m]] if m else [], mu=mu)
        for m in range(4)
        for q in range(m + 1)
    ]
    return NOISY.bytes, mutators.encode(document(NOISY, cells))


def window_tables() -> Files:
    """Return cells whose blocks are of every doubling length: all windows over 1 024 tokens, for
    scores and values.
    """
    config = models.config_of(vocab=1024, k=2, d_model=1, d_head=1)
    tensors = {
        name: models.filled(models.shapes(config)[name], lambda: 1) for name in models.WEIGHTS
    }
    tokens = [[Fraction(t * t % 1021 - 500, 2 ** (t % 60))] for t in range(1024)]
    model = models.Model(
        config, tensors | {"embed.W_E": tokens, "unembed.W_U": [[row[0] for row in tokens]]}, "F64"
    )
    runs = [[1 << level, 1] for level in range(10)]
    return model.bytes, skipping(
        model, *(root(1023, [[q, q]], "enumerate", layout=runs, mu=["1", "90"]) for q in range(2))
    )


def many_copies() -> Files:
    """Return groups for every number of copies, of no blocks at all, over as many terms as may be
    held.
    """
    model, groups = flat(200, 64), [[count, []] for count in range(63)]
    return model.bytes, skipping(
        model, root(199, [[0, 198]], "copies", layout=[[1, 199]], groups=groups)
    )


def many_screens() -> Files:
    """Return a screen of single tokens for each of 400 maxima, which removes nothing, and the cells
    below it.
    """
    model, cells = flat(400, 64), []
    for m in range(400):
        below = ([[[0, m - 1]]] if m else []) + [[[m, m]]]
        cells.append(root(m, [[0, m]], "screen", layout=[[1, m]] if m else [], children=len(below)))
        cells += [child(part, "skip") for part in below]
    return model.bytes, mutators.encode(document(model, cells))


def deep_splits() -> Files:
    """Return splits as deep as allowed, all of whose terms are as many as may be held."""
    model, link = flat(200, 64), child([[0, 198]], "split", layout=[[1, 199]], children=1)
    links = [{"maximum": 199, "mu": ["0", "0"], **link}, *[link] * 31, child([[0, 198]], "skip")]
    return model.bytes, skipping(model, *links)


def few_tuples_left() -> Files:
    """Return an enumeration of very many tuples, all of which are left."""
    model = flat(1024, 5)
    return model.bytes, skipping(model, root(1023, [[0, 0]], "enumerate", layout=[[1, 1023]]))


# --- statements -------------------------------------------------------------------


def asking(
    task: Any, vocab: int = 1024, n: int = 2, leaves: int = 1, **parts: Any
) -> Callable[[], Files]:
    """Return a question about a small model; all inputs are skipped, in so many leaves."""

    def made() -> Files:
        rng = random.Random("asking")
        sizes = {"vocab": vocab, "n": n, "outputs": 1024, "d_model": 1, "d_head": 1}
        model = networks.of(rng, {}, **sizes, dtype="F16")
        domain = models.domain_of(model.config, **parts)
        skipped = [{"inputs": "1", "method": "skip"}] * (leaves - 1)
        count = math.prod(map(len, map(questions.tokens_at, domain["positions"])))
        skipped.append({"inputs": str(count - leaves + 1), "method": "skip"})
        asked = task(model, domain) if callable(task) else task
        doc = networks.document(model, asked, skipped, domain=domain)
        return model.bytes, mutators.encode(doc)

    return made


def powers(terms: int) -> Document:
    """Return a polynomial of so many terms, of the largest exponents."""
    every = [[1, 65536 - i, 65536] for i in range(terms)]
    return {"polynomial": {"modulus": 1024, "terms": every}}


def turns(n: int) -> Document:
    """Return the cyclic group of order n as a list of permutations."""
    return {"group": {"elements": [[(i + s) % n for i in range(n)] for s in range(n)]}}


def answered(model: models.Model, domain: Document) -> Any:
    """Return a table of a million rows."""
    return networks.table(model, [[0] * len(domain["read"])] * 2 ** model.config["n_ctx"], domain)


BEHIND: list[Document] = [{"tokens": [[0, 1023]], "values": "own"}] * 2
READ: Document = {"positions": BEHIND + [{"context": 0}] * 62, "read": list(range(1, 64))}
SOME: Document = {"tokens": [[0, 222]], "values": "own"}  # four terms are at the limit
SMALL: list[Document] = [{"tokens": [[0, 0]], "values": "own"}] * 2

PAIR_TEXT = mutators.encode(BASE)
LONG = 10**6
BOMBS: dict[str, tuple[Callable[[], Files], int | None]] = {
    "five million cells": (lambda: (PAIR.bytes, many_cells()), 20),
    "brackets without end": (lambda: (PAIR.bytes, b"[" * (16 << 20)), 20),
    "quotes without end": (lambda: (PAIR.bytes, b'"' + b'\\"' * (8 << 20)), 20),
    "backslashes without end": (lambda: (PAIR.bytes, b'"' + b"\\" * ((16 << 20) - 2)), 20),
    "a number without end": (lambda: (PAIR.bytes, b"9" * (16 << 20)), 20),
    "a file without end": (lambda: (PAIR.bytes, b" " * (17 << 20)), 20),
    "keys without end": (
        lambda: (PAIR.bytes, b"{" + b",".join(b'"%d":0' % i for i in range(LONG)) + b"}\n"),
        20,
    ),
    "a header of 2^64 bytes": (lambda: (headed(2**64 - 1, b"{}"), PAIR_TEXT), 20),
    "a header of a mebibyte of brackets": (
        lambda: (headed(1 << 20, b"{" + b"[" * ((1 << 20) - 1)), PAIR_TEXT),
        20,
    ),
    "a header of a mebibyte of zeros": (lambda: (headed(1 << 20, bytes(1 << 20)), PAIR_TEXT), 20),
    "a mebibyte of axes": (
        lambda: (make_vectors.with_entry("embed.W_E", {"shape": [1] * 400_000}), PAIR_TEXT),
        20,
    ),
    "axes whose product is huge": (
        lambda: (make_vectors.with_entry("embed.W_E", {"shape": [1 << 24] * 1000}), PAIR_TEXT),
        20,
    ),
    "tuples of 2 blocks at 59 positions": (lambda: enumerating(2, 60), 20),
    "tuples of 3 blocks at 39 positions": (lambda: enumerating(3, 40), 20),
    "tuples of 4 blocks at 63 positions": (lambda: enumerating(4, 64), 20),
    "tuples of 64 blocks at 63 positions": (lambda: enumerating(64, 64), 20),
    "numbers of every size": (wide_numbers, 20),
    "polynomials of every size": (counting, 20),
    "windows over a thousand tokens": (window_tables, 10),
    "groups for every number of copies": (many_copies, None),  # ended by the time limit, or in time
    "screens for every maximum": (many_screens, None),  # ended by the time limit, or in time
    "terms of thirty-two splits": (deep_splits, None),  # ended by the time limit, or in time
    "tuples of a thousand blocks at five positions": (few_tuples_left, 20),
    "four thousand bits": (precise, 0),
    "products of a thousand rotations": (asking({"group": {"name": "cyclic:1024"}}), 20),
    "products of a thousand symmetries": (asking({"group": {"name": "dihedral:512"}}), 20),
    "a million permuted points": (asking(turns(1024), positions=SMALL), 20),
    "a group at its limit": (asking(turns(256), positions=SMALL), 10),
    "a thousand terms": (asking(powers(1024)), 20),
    "four terms": (asking(powers(4)), 20),
    "four terms at their limit": (asking(powers(4), positions=[SOME] * 2), 10),
    "a thousand terms behind two operands": (asking(powers(1024), n=64, **READ), 20),
    "four terms behind two operands": (
        asking(powers(4), n=64, positions=[SOME] * 2 + [{"context": 0}] * 62, read=[*range(1, 64)]),
        10,
    ),
    "values of sixty-four positions": (asking("max-of-k", n=64, read=list(range(64))), 10),
    "answers to a million inputs": (asking(answered, 2, 20, read=list(range(14, 20))), 10),
    "leaves of sixty-four positions": (asking("argmax", n=64, leaves=500_000), 10),
    "margins of four thousand digits": (huge_margin, 0),
}


HOSTILE: dict[str, Callable[[], Files]] = {
    "values of all heads side by side": wide_values,
    "hints of 4096 x 1 and 1 x 4096": thin_hints,
    "hints of 1024 x 1 and 1 x 1024": thin_middles,
    "sums of a million inputs": many_sums,
    "tables of sixteen heads": folded_heads,
    "a model of 16 MB, each table at its limit": wide_model,
    "a model of 32 MB, each table at its limit": full_model,
    "a network at 64 bits": lambda: wide_network(64, 2048),
    "a network at 4096 bits": lambda: wide_network(4096, 64),
    "nested splits of 1024 tokens": nested_splits,
    "220 000 skipped roots": many_roots,
    "300 000 skipped cells": many_skips,
    "skipped cells of great weight": weighted_skips,
    "6 000 chains of 32 splits": many_chains,
    "tuples of great weight": heavy_tuples,
    "many prefixes": many_prefixes,
    "terms of a thousand answers": wide_terms,
    "polynomials of great weight": wide_polynomial,
    "text of small numbers": text_of(b"0"),
    "text of numbers": text_of(b"257"),
    "text of long numbers": text_of(b"1000000000"),
    "text of lists": text_of(b"[]"),
    "text of lists of one": text_of(b"[0]"),
    "text of objects": text_of(b"{}"),
    "text of fields": text_of(b'{"a":0}'),
    "text of strings": text_of(b'""'),
    "text of short strings": text_of(b'"ab"'),
}
SUITE: dict[str, Callable[[], Files]] = {name: make for name, (make, _) in BOMBS.items()} | HOSTILE
"""Every file of ``make hostile``."""
