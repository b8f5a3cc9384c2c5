"""What a certificate asks, by the definitions of SPEC-5.2 and SPEC-5.7, read off the page a second
time: the inputs of a domain, the right outputs of an input, and how a verdict spells the parts.

Everything works on the JSON of a statement; nothing is shared with the checker or the prover.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

Domain = dict[str, Any]
Permutation = tuple[int, ...]


# --- domains ----------------------------------------------------------------------


def members(ranges: Sequence[Sequence[int]]) -> list[int]:
    """Return the numbers in some ranges, both ends included."""
    return [number for first, last in ranges for number in range(first, last + 1)]


def tokens_at(position: Domain) -> list[int]:
    """Return the tokens that are allowed at a position."""
    return [position["context"]] if "context" in position else members(position["tokens"])


def numbered(numbers: Any, things: Sequence[int]) -> dict[int, int]:
    """Return what each token, or output, stands for."""
    if numbers == "own":
        return {thing: thing for thing in things}
    if isinstance(numbers, list):
        return dict(zip(things, numbers, strict=True))
    return {thing: numbers + place for place, thing in enumerate(things)}


def inputs(domain: Domain) -> list[tuple[int, ...]]:
    """Return every input in lexicographic order."""
    return list(itertools.product(*map(tokens_at, domain["positions"])))


def weight(domain: Domain, weights: list[list[int]] | None, tokens: Sequence[int]) -> int:
    """Return how much an input counts in a scope, by default that of `uniform`."""
    found = 1
    for i, token in enumerate(tokens):
        if weights:
            found *= weights[i][tokens_at(domain["positions"][i]).index(token)]
    return found


def operands(domain: Domain, tokens: Sequence[int], last: int) -> list[int]:
    """Return the values of the operands up to a position."""
    found = []
    for position, token in list(zip(domain["positions"], tokens, strict=True))[: last + 1]:
        if "context" not in position:
            found.append(numbered(position["values"], tokens_at(position))[token])
    return found


def right_outputs(domain: Domain, task: Any, tokens: Sequence[int]) -> list[int]:
    """Return the right output at each position that is read, or of a pooled readout."""
    outputs = members(domain["outputs"])
    stands_for = {a: o for o, a in numbered(domain["answers"], outputs).items()}
    reads = domain["read"] or [len(tokens) - 1]
    if isinstance(task, dict) and "table" in task:
        found = task["table"]["answers"][inputs(domain).index(tuple(tokens))]
        answers = found if len(reads) > 1 else [found]
    else:
        answers = [answer(task, operands(domain, tokens, last)) for last in reads]
    return [stands_for[number] for number in answers]


# --- tasks ------------------------------------------------------------------------


def answer(task: Any, values: Sequence[int]) -> int:
    """Return the right answer to the values of operands, of any task but a table."""
    if isinstance(task, dict):
        ((kind, about),) = task.items()
        if kind == "modular-addition":
            return (values[0] + values[1]) % int(about)
        if kind == "polynomial":
            # Whole numbers of any size, reduced once.
            a, b = values
            return int(sum(c * a**i * b**j for c, i, j in about["terms"]) % about["modulus"])
        order = elements(about)
        x, y = (order[value] for value in values)
        return order.index(tuple(x[y[point]] for point in range(len(x))))
    if task == "balanced-brackets":
        text = "".join("()"[value] for value in values)
        while "()" in text:
            text = text.replace("()", "")
        return int(text == "")
    if task == "argmax":
        return max(range(len(values)), key=lambda i: (values[i], -i))
    return max(values)


def elements(group: dict[str, Any]) -> list[Permutation]:
    """Return the elements of a group in their order."""
    if "elements" in group:
        return [tuple(images) for images in group["elements"]]
    kind, n = group["name"].split(":")
    points = range(int(n))
    turn = {point: (point + 1) % int(n) for point in points}
    turns = [{point: point for point in points}]
    for _ in range(int(n) - 1):
        turns.append({point: turn[image] for point, image in turns[-1].items()})
    if kind in ("cyclic", "dihedral"):
        # i to s - i is: i to -i, and then i to i + s.
        mirrored = [{point: by[-point % int(n)] for point in points} for by in turns]
        found = turns if kind == "cyclic" else turns + mirrored
        return [tuple(by[point] for point in points) for by in found]
    every = sorted(itertools.permutations(points))
    return [images for images in every if kind == "symmetric" or len(images) % 2 == cycles(images)]


def cycles(images: Permutation) -> int:
    """Return the number of cycles of a permutation modulo 2; it is even if that is n modulo 2."""
    left, found = set(range(len(images))), 0
    while left:
        found, point = found + 1, min(left)
        while point in left:
            left.remove(point)
            point = images[point]
    return found % 2


# --- texts ------------------------------------------------------------------------


def spelled(domain: Domain, config: dict[str, Any]) -> dict[str, str]:
    """Return the parts of a domain that a verdict names: those that are not usual, in order."""

    def ranges(written: Sequence[Sequence[int]], size: int) -> str:
        if len(members(written)) == size:
            return "*"
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in written)

    def numbers(written: Any) -> str:
        return ",".join(map(str, written)) if isinstance(written, list) else str(written)

    positions, n = domain["positions"], config["n_ctx"]
    free = [position for position in positions if "context" not in position]
    read = ",".join(map(str, domain["read"]))
    if len(domain["read"]) == n:
        read = "all"
    if domain["read"] in ([], [n - 1]):
        read = "last"
    texts = {
        "domain": "/".join(
            f"@{position['context']}"
            if "context" in position
            else ranges(position["tokens"], config["d_vocab"])
            for position in positions
        ),
        "values": "/".join(numbers(position["values"]) for position in free),
        "outputs": ranges(domain["outputs"], config["d_vocab_out"]),
        "answers": numbers(domain["answers"]),
        "read": read,
    }
    usual = {
        "domain": "/".join(["*"] * n),
        "values": "/".join(["own"] * len(free)),
        "outputs": "*",
        "answers": "own",
        "read": "last",
    }
    return {
        part: text if len(text) <= 400 else "sha256:" + sha256(text.encode()).hexdigest()
        for part, text in texts.items()
        if text != usual[part]
    }


def told(task: Any, domain: Domain, config: dict[str, Any]) -> dict[str, str]:
    """Return what a verdict says of a task, the name first."""
    n, vocab = config["n_ctx"], str(config["d_vocab"])
    k = str(sum("context" not in position for position in domain["positions"]))
    if isinstance(task, str):
        return {"task": task} | {
            "max-of-k": {"k": k, "vocab": vocab},
            "argmax": {"n": k, "vocab": vocab, "largest": "first"},
            "balanced-brackets": {"n": k},
        }[task]
    ((kind, about),) = task.items()
    if kind == "modular-addition":
        return {"task": kind, "modulus": str(about)}
    if kind == "polynomial":
        text = "+".join(map(term, about["terms"]))
        text = text if len(text) <= 400 else f"sha256:{sha256(text.encode()).hexdigest()}"
        return {"task": kind, "modulus": str(about["modulus"]), "of": text}
    if kind == "table":
        return {"task": kind, "n": str(n), "vocab": vocab, "table": hash_of(about)}
    found = {"task": kind, "group": about.get("name", "closed")}
    if "elements" in about:
        order = str(len(about["elements"]))
        found |= {"order": order, "elements": hash_of(about["elements"])}
    return found


def term(written: Sequence[int]) -> str:
    """Return how a verdict spells a term `[c, i, j]` of a polynomial."""
    c, i, j = written
    factors = [] if c == 1 and i + j else [str(c)]
    for letter, power in (("a", i), ("b", j)):
        if power:
            factors.append(letter if power == 1 else f"{letter}^{power}")
    return "*".join(factors)


def hash_of(value: Any) -> str:
    """Return the hash of the file of a table, or of the elements of a group."""
    file = json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"
    return "sha256:" + sha256(file.encode()).hexdigest()


def label(task: Any) -> str:
    """Return how the option `--task` names a task."""
    if isinstance(task, str):
        return task
    ((kind, about),) = task.items()
    if kind == "modular-addition":
        return f"{kind}:{about}"
    if kind == "polynomial":
        return f"{kind}:{about['modulus']}:" + "+".join(map(term, about["terms"]))
    if kind == "table":
        return f"{kind}:{hash_of(about)}"
    known = [about["name"]] if "name" in about else []
    known += [hash_of(about["elements"])] if "elements" in about else []
    return f"{kind}:" + "@".join(known)
