"""dump.py MODEL CERTIFICATE: print what the verified checker reads, canonical integers.

Both files are parsed by the checker's own parser, which refuses what is not well formed and binds
the certificate to the bytes of the model; the names and numbers of the cells are then taken from
the certificate itself.  Methods and statements that the verified checker does not know are declined
by name.
"""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from checker.check import Parsed, parse
from checker.ground.errors import Declined, Refusal, Rejected

KNOWN = ("skip", "extreme", "split", "screen", "enumerate", "brute-force", "count", "copies")
TENSORS = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U", "b_Q", "b_K", "b_V", "b_O", "b_U")


def require_known(proof: dict[str, object], semantics: str) -> list[dict]:
    """Return the cells of a proof whose every rule is verified; decline others by name."""
    if "cells" not in proof:
        kind = next(kind for kind in ("chain", "wide", "sums", "leaves") if kind in proof)
        raise Declined("SPEC-7", f"proofs of {kind} are not verified yet")
    if semantics != "real":
        raise Declined("SPEC-5.4", f"the semantics {semantics} is not verified yet")
    if "paths" in proof:
        raise Declined("SPEC-6.5", "enclosed paths are not verified yet")
    for cell in proof["cells"]:
        if cell["method"] not in KNOWN:
            raise Declined("SPEC-7.5", f"the method {cell['method']} is not verified yet")
    return proof["cells"]


def scales(weights: dict) -> tuple[int, int]:
    """Return the scales over which the checker holds scores and logits.  (SPEC-6.1)

    Any that fit are sound; these make the rounded numbers equal.
    """
    at = {name: weight.scale for name, weight in weights.items()}
    biased = {name: any(map(any, weights[name].rows)) for name in ("b_Q", "b_U")}
    query = max(at["W_E"], at["W_pos"])
    left = query + (max(at["W_Q"], at["b_Q"]) if biased["b_Q"] else at["W_Q"])
    direct = max(query, at["b_V"] + at["W_O"], at["b_O"])
    direct += max(at["W_U"], at["b_U"]) if biased["b_U"] else at["W_U"]
    moved = query + at["W_V"] + at["W_O"] + at["W_U"]
    return max(left + at["W_K"] + query, 0), max(moved, direct, 0)


def layout(cell: dict, maximum: int) -> list[int]:
    """Return the lengths of the blocks below the maximum."""
    runs = cell.get("layout", [[1, maximum]] if maximum else [])
    return [length for length, count in runs for _ in range(count)]


def shares(cell: dict, key: str) -> list:
    """Return the shares of a count: bins, and the answers they are spent on."""
    held = cell.get(key, [])
    return [len(held), *chain.from_iterable((bins, len(named), *named) for bins, named in held)]


def tokens(ranges: list) -> list[int]:
    """Return the members of ascending ranges."""
    return list(chain.from_iterable(range(first, last + 1) for first, last in ranges))


def method_words(cell: dict) -> list:
    """Return what a method has beside its name, layout and claim."""
    if cell["method"] == "count":
        return shares(cell, "blocks") + shares(cell, "lower")
    if cell["method"] == "copies":
        groups = [(copies, tokens(ranges)) for copies, ranges in cell["groups"]]
        return [len(groups), *chain.from_iterable((c, len(held), *held) for c, held in groups)]
    return []


def cell_words(cells, maximum: int | None = None) -> list[str]:
    """Return the next cell of the preorder list, its subtree included."""
    cell = next(cells)
    words = []
    if maximum is None:
        maximum = cell["maximum"]
        words += [maximum, *cell["mu"]]
    queries = tokens(cell["queries"])
    blocks = layout(cell, maximum)
    claim = cell.get("margin", cell.get("failures", ["0", "0"]))
    children = cell.get("children", 0)
    words += [
        cell["method"],
        *method_words(cell),
        len(queries),
        *queries,
        len(blocks),
        *blocks,
        *claim,
        children,
    ]
    for _ in range(children):
        words += cell_words(cells, maximum)
    return words


def dump(parsed: Parsed, certificate: bytes) -> str:
    """Return the text: two parts of the verdict line, then numbers and names of methods."""
    written = json.loads(certificate)
    said, sizes = parsed.statement, parsed.model.sizes
    cells = require_known(written["proof"], said.semantics)
    if said.domain.unusual:
        raise Declined("SPEC-5.7", "a domain other than the usual one is not verified yet")
    if said.scope.conditional:
        raise Declined("SPEC-5.3", f"the scope {said.scope.label} is not verified yet")
    named = {name.rpartition(".")[2]: weight for name, weight in parsed.model.weights.items()}
    common = max(0, *(named[name].scale for name in TENSORS))
    fields = "".join(f" {name}={value}" for name, value in said.task.fields.items())
    out = [
        "certify.formal/1",
        f"task={said.name}{fields} scope={said.scope.label} semantics={said.semantics}"
        f" total={said.total}",
        f"model=sha256:{said.model_sha256} certificate=sha256:{parsed.certificate_sha256}",
        f"{sizes['n_ctx'] - 1} {sizes['d_vocab']} {sizes['d_vocab_out']}"
        f" {sizes['d_model']} {sizes['d_head']}",
        f"{common} {parsed.precision} {' '.join(map(str, scales(named)))}",
    ]
    for name in TENSORS:
        shift = common - named[name].scale
        out += [" ".join(str(value << shift) for value in row) for row in named[name].rows]
    out += [" ".join(map(str, row)) for row in said.scope.weights]
    out += [f"{parsed.claimed_lower} {parsed.claimed_upper}"]
    unread = iter(cells)
    roots = []
    for _ in range(sum("maximum" in cell for cell in cells)):
        roots.append(" ".join(map(str, cell_words(unread))))
    return "\n".join([*out, str(len(roots)), *roots])


def main(model: str, certificate: str) -> int:
    """Print the dump, or the line that refuses, and return the exit code.  (SPEC-9.2)"""
    try:
        proof = Path(certificate).read_bytes()
        print(dump(parse(Path(model).read_bytes(), proof), proof))
    except Refusal as refusal:
        word, code = ("REJECTED", 10) if isinstance(refusal, Rejected) else ("DECLINED", 20)
        print(f"s {word} {refusal.rule}: {refusal.why}")
        return code
    except OSError as error:
        print(f"s DECLINED io: {error.strerror}")
        return 20
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: dump.py MODEL CERTIFICATE")
    sys.exit(main(*sys.argv[1:]))
