"""Rules: the right answer to the values of an input's operands.

=======================  =============================================================
``max-of-k``             the largest value
``argmax``               the place among the operands, from 0, of the first of the largest
``balanced-brackets``    1 if the string of ``(`` = 0 and ``)`` = 1 is balanced, else 0
``modular-addition:P``   the sum of two values modulo P
``polynomial:P:EXPR``    a polynomial in two values a and b modulo P, as ``a^2+a*b+b^2``
``group:NAME:n``         the number of the product of two group elements, named by numbers
=======================  =============================================================

A group is cyclic, dihedral, symmetric or alternating; ``group:NAME:n@FILE`` has its elements in the
order of a file, ``group:FILE`` any permutations that are closed under multiplication.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.canonical import canonical
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.model.config import Config
from certify.question.domain import LARGEST, Domain, brief, shown
from certify.question.groups import NAMES as GROUP_NAMES
from certify.question.groups import (
    Permutation,
    multiplication_table,
    named_group,
    read_group,
)

Values = NDArray[np.int64]
"""What operands stand for, [batch, operands]."""
MAX_OF_K, ARGMAX, BALANCED_BRACKETS = "max-of-k", "argmax", "balanced-brackets"
MODULAR_ADDITION, POLYNOMIAL, GROUP = "modular-addition", "polynomial", "group"
MAXIMUM_FILE_BYTES = 1 << 24
MAXIMUM_POWER = 1 << 16
MAXIMUM_ORDER = 1024
MAXIMUM_IMAGES = 1 << 24
"""So many images the checker looks up for the products of a group, or as long it takes for the
answers to all pairs of values.  (SPEC-5.2)
"""


@dataclass(frozen=True, slots=True)
class Rule:
    """A right answer to the values of operands, and how statements spell it.

    ``spelled``:  in a certificate.  ``label``: for the checker's option ``--task``.
    ``fields``:   what the verdict line says of it.
    ``answer``:   maps values [batch, operands] to answers [batch].
    ``possible``: the answers to operands that take these values, position by position.
    ``takes``:    the values that an operand may have, None for any.
    ``operands``: how many there have to be, None for any number.
    ``images``:   what an answer to two operands takes, in images that the checker looks up.
    """

    name: str
    spelled: Any
    label: str
    fields: dict[str, str]
    answer: Callable[[Values], Values]
    possible: Callable[[Sequence[Sequence[int]]], set[int]]
    takes: range | None = None
    operands: int | None = None
    images: int = 0


def balanced(values: Values) -> Values:
    """Return 1 for each row that is a balanced string of ``(`` = 0 and ``)`` = 1, else 0."""
    depth = np.cumsum(1 - 2 * values, axis=1)
    found: Values = ((depth.min(axis=1) >= 0) & (depth[:, -1] == 0)).astype(np.int64)
    return found


def _maxima(values: Sequence[Sequence[int]]) -> set[int]:
    least = max(map(min, values))
    return {value for row in values for value in row if value >= least}


def _of_pairs(answer: Callable[[Values], Values]) -> Callable[[Sequence[Sequence[int]]], set[int]]:
    """Return what finds all answers to two operands."""

    def possible(values: Sequence[Sequence[int]]) -> set[int]:
        pairs = np.array(list(itertools.product(*values)), dtype=np.int64)
        return set(np.unique(answer(pairs)).tolist())

    return possible


def _max_of_k(rest: str, config: Config, domain: Domain) -> Rule:
    fields = {"k": str(len(domain.operands)), "vocab": str(config.d_vocab)}
    return Rule(MAX_OF_K, MAX_OF_K, MAX_OF_K, fields, lambda values: values.max(axis=1), _maxima)


def _argmax(rest: str, config: Config, domain: Domain) -> Rule:
    fields = {
        "n": str(len(domain.operands)),
        "vocab": str(config.d_vocab),
        "largest": "first",
    }
    return Rule(
        ARGMAX,
        ARGMAX,
        ARGMAX,
        fields,
        lambda values: values.argmax(axis=1),
        lambda values: set(range(len(values))),
    )


def _balanced_brackets(rest: str, config: Config, domain: Domain) -> Rule:
    return Rule(
        BALANCED_BRACKETS,
        BALANCED_BRACKETS,
        BALANCED_BRACKETS,
        {"n": str(len(domain.operands))},
        balanced,
        lambda values: {0, 1},
        takes=range(2),
    )


def _modulus(text: str, task: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,9}", text) is None or not 2 <= int(text) <= LARGEST:
        raise BadInput(f"task {task}: the modulus {brief(text)} is no integer from 2 to {LARGEST}")
    return int(text)


def _modular_addition(rest: str, config: Config, domain: Domain) -> Rule:
    first = domain.operands[0]
    p = _modulus(rest or str(len(domain.tokens[first])), MODULAR_ADDITION)

    def answer(values: Values) -> Values:
        found: Values = values.sum(axis=1) % p
        return found

    return Rule(
        MODULAR_ADDITION,
        {MODULAR_ADDITION: p},
        f"{MODULAR_ADDITION}:{p}",
        {"modulus": str(p)},
        answer,
        _of_pairs(answer),
        operands=2,
        images=1,
    )


# --- polynomials ------------------------------------------------------------------

_FACTOR = re.compile(r"([0-9]{1,100})|([ab])(?:\^([0-9]{1,9}))?")

Terms = dict[tuple[int, int], int]
"""Coefficients by the powers of a and b."""


def read_polynomial(text: str, p: int) -> Terms:
    """Return the terms of a polynomial in a and b modulo p: sums and differences of products of
    numbers and powers, such as ``a^2+3*a*b-b``.

    Errors: ``BadInput`` for anything else, a term that vanishes altogether, or a power above 2^16.
    """
    found: Terms = {}
    signed = re.findall(r"([+-]?)([^+-]+)", text.replace(" ", ""))
    if "".join(sign + term for sign, term in signed) != text.replace(" ", "") or not signed:
        raise BadInput(f"polynomial {brief(text)}: not a sum of terms such as a^2+3*a*b")
    for sign, term in signed:
        coefficient, powers = (-1 if sign == "-" else 1), {"a": 0, "b": 0}
        for factor in term.split("*"):
            match = _FACTOR.fullmatch(factor)
            if match is None:
                raise BadInput(
                    f"polynomial {brief(text)}: {brief(factor)} is no number and no power of a or b"
                    " (write a division as a power: a*b^(p-2))"
                )
            number, letter, power = match.groups()
            if number is not None:
                coefficient *= int(number)
            else:
                powers[letter] += int(power or 1)
        if max(powers.values()) > MAXIMUM_POWER:
            raise BadInput(f"polynomial {brief(text)}: a power is above {MAXIMUM_POWER}")
        place = (powers["a"], powers["b"])
        found[place] = (found.get(place, 0) + coefficient) % p
    kept = {place: value for place, value in found.items() if value}
    if not kept:
        raise BadInput(f"polynomial {brief(text)} is zero modulo {p}")
    return dict(sorted(kept.items(), reverse=True))


def _term(coefficient: int, i: int, j: int) -> str:
    factors = [str(coefficient)] if coefficient > 1 or i == j == 0 else []
    factors += [
        letter if power == 1 else f"{letter}^{power}"
        for letter, power in (("a", i), ("b", j))
        if power
    ]
    return "*".join(factors)


def _powers(values: Values, power: int, p: int) -> list[int]:
    return [pow(value, power, p) for value in values.tolist()]


def _polynomial(rest: str, config: Config, domain: Domain) -> Rule:
    number, colon, expression = rest.partition(":")
    if not colon:
        raise BadInput(f"task {brief(f'{POLYNOMIAL}:{rest}')}: it is polynomial:P:EXPR")
    p = _modulus(number, POLYNOMIAL)
    terms = read_polynomial(expression, p)

    def answer(values: Values) -> Values:
        sums = [0] * len(values)
        for (i, j), coefficient in terms.items():
            columns = zip(_powers(values[:, 0], i, p), _powers(values[:, 1], j, p), strict=True)
            sums = [
                total + coefficient * x * y for total, (x, y) in zip(sums, columns, strict=True)
            ]
        return np.array([total % p for total in sums], dtype=np.int64)

    text = "+".join(_term(coefficient, i, j) for (i, j), coefficient in terms.items())
    spelled = {
        "modulus": p,
        "terms": [[coefficient, i, j] for (i, j), coefficient in terms.items()],
    }
    return Rule(
        POLYNOMIAL,
        {POLYNOMIAL: spelled},
        f"{POLYNOMIAL}:{p}:{text}",
        {"modulus": str(p), "of": shown(text)},
        answer,
        _of_pairs(answer),
        operands=2,
        images=sum(16 + 2 * (i.bit_length() + j.bit_length()) for i, j in terms),
    )


# --- groups -----------------------------------------------------------------------


def read_elements(path: Path) -> list[Permutation]:
    """Return the permutations that a file lists: a canonical JSON list of lists of images.

    Errors: ``BadInput`` naming the file; ``Unsupported`` for more elements than a model has tokens.
    """
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    try:
        value = json.loads(data.decode("ascii"))
        spelled = canonical(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
        raise BadInput(f"{path}: not a list of permutations, each a list of images")
    if spelled != data:
        raise BadInput(f"{path}: not canonical JSON (no spaces, one newline at the end)")
    if len(value) > MAXIMUM_ORDER:
        raise Unsupported(f"{path}: more than {MAXIMUM_ORDER} elements, the limit")
    points = list(range(len(value[0]) if value else 0))
    permuting = all(all(type(x) is int for x in item) for item in value) and all(
        sorted(item) == points for item in value
    )
    found = [tuple(item) for item in value]
    if not permuting or not points or len(set(found)) != len(found):
        raise BadInput(f"{path}: not different permutations of the same points 0, 1, ..")
    return found


_LIKE_A_NAME = re.compile(r"[A-Za-z]+:[0-9]+")


def _group(rest: str, config: Config, domain: Domain) -> Rule:
    named, at, file = rest.partition("@")
    if named.partition(":")[0] not in GROUP_NAMES:
        named, file = "", rest
        if _LIKE_A_NAME.fullmatch(rest) and not Path(rest).exists():
            read_group(rest)
    elements: list[Permutation] = []
    spelled: dict[str, Any] = {}
    fields = {"group": named or "closed"}
    if named:
        elements = named_group(read_group(named))
        spelled["name"] = named
    label = named
    if file:
        listed = read_elements(Path(file))
        if named and set(listed) != set(elements):
            raise BadInput(f"{file}: the elements are not those of the group {named}")
        elements = listed
        spelled["elements"] = [list(images) for images in elements]
        digest = f"sha256:{hashlib.sha256(canonical(spelled['elements'])).hexdigest()}"
        fields |= {"order": str(len(elements)), "elements": digest}
        label = f"{named}@{digest}" if named else digest
        images = len(elements) ** 2 * len(elements[0])
        if not named and images > MAXIMUM_IMAGES:
            raise Unsupported(
                f"{file}: a group without a name is too large to check: {len(elements)} elements of"
                f" {len(elements[0])} points make {images} images, the limit is {MAXIMUM_IMAGES}"
            )
    elif not named or at:
        raise BadInput(f"task {GROUP}:{rest}: it is group:NAME:n, group:NAME:n@FILE or group:FILE")
    table = multiplication_table(elements, file)

    def answer(values: Values) -> Values:
        found: Values = table[values[:, 0], values[:, 1]]
        return found

    return Rule(
        GROUP,
        {GROUP: spelled},
        f"{GROUP}:{label}",
        fields,
        answer,
        _of_pairs(answer),
        takes=range(len(elements)),
        operands=2,
        images=max(1, len(elements[0])),
    )


RULES: MappingProxyType[str, Callable[[str, Config, Domain], Rule]] = MappingProxyType(
    {
        MAX_OF_K: _max_of_k,
        MODULAR_ADDITION: _modular_addition,
        BALANCED_BRACKETS: _balanced_brackets,
        ARGMAX: _argmax,
        POLYNOMIAL: _polynomial,
        GROUP: _group,
    }
)
"""Every rule by its name, as a function of what follows the name, the model and the domain."""
SPELLED = (
    *(MAX_OF_K, f"{MODULAR_ADDITION}[:P]", BALANCED_BRACKETS, ARGMAX),
    *(f"{POLYNOMIAL}:P:EXPR", f"{GROUP}:NAME:n", f"{GROUP}:NAME:n@FILE", f"{GROUP}:FILE"),
    "table:FILE",
)
"""How tasks are spelled, for help and messages."""
_WITHOUT = (MAX_OF_K, BALANCED_BRACKETS, ARGMAX)
_WITH = (POLYNOMIAL, GROUP, "table")


def is_task(text: str) -> bool:
    """Return whether a text begins as a task does; what follows the name is not looked at."""
    name, colon, rest = text.partition(":")
    if name in _WITHOUT:
        return not colon
    return (name in _WITH and bool(rest)) or (
        name == MODULAR_ADDITION and (bool(rest) or not colon)
    )


def rule_named(text: str, config: Config, domain: Domain) -> Rule:
    """Return the rule that ``--task`` names, about this domain.

    Errors: ``Unsupported`` if there is none or it does not go with the domain; ``BadInput`` for a
            parameter or a file that is not what it should be.
    """
    name, _, rest = text.partition(":")
    if not is_task(text) or name not in RULES:
        raise Unsupported(f"there is no task {text!r}, there are {', '.join(SPELLED)}")
    rule = RULES[name](rest, config, domain)
    ends = domain.ends()
    operands = domain.operands
    whole = config.attention_dir == "causal" or min(ends) == len(operands)
    if min(ends) == 0 or not whole:
        raise Unsupported(
            f"task {text}: a position that is read has no operand before it, or sees operands"
            " behind it (bidirectional attention)"
        )
    if rule.operands is not None and set(ends) != {rule.operands}:
        hint = "mark context positions in --domain, as in 0-112/0-112/@113"
        found = " or ".join(map(str, sorted(set(ends))))
        raise Unsupported(
            f"task {text} needs {rule.operands} operands, not {found} (n_ctx = {config.n_ctx}: "
            f"{hint})"
        )
    lists = [domain.values[place] or () for place in operands]
    if rule.takes is not None:
        strange = [value for row in lists for value in row if value not in rule.takes]
        if strange:
            raise Unsupported(
                f"task {text} is about the values 0 to {rule.takes[-1]}, a token stands for"
                f" {strange[0]} (see --domain and --values)"
            )
    images = rule.images * math.prod(map(len, lists))
    if images > MAXIMUM_IMAGES:
        raise Unsupported(
            f"task {text}: the answers to all pairs take {images} images, the checker stops at"
            f" {MAXIMUM_IMAGES} (see --domain)"
        )
    possible = set[int]().union(*(rule.possible(lists[:end]) for end in set(ends)))
    require_answers(possible, domain, text)
    return rule


def spelled_task(written: Any) -> str:
    """Return the task that a statement holds as ``--task`` spells it; of a group or a table by its
    elements, its name only.
    """
    if isinstance(written, str):
        return written
    ((name, about),) = written.items()
    if name == MODULAR_ADDITION:
        return f"{name}:{about}"
    if name == POLYNOMIAL:
        text = "+".join(_term(*term) for term in about["terms"])
        return f"{name}:{about['modulus']}:{text}"
    if name == GROUP and "name" in about:
        return f"{name}:{about['name']}"
    return str(name)


def needs_model(text: str) -> bool:
    """Return whether verdicts may spell this task in another way, which its model tells."""
    return text.partition(":")[0] in (MODULAR_ADDITION, POLYNOMIAL)


def label_of(text: str, config: Config, domain: Domain) -> str:
    """Return a task as the checker's option ``--task`` takes it; files stay as they are.

    Errors: ``BadInput`` for a modulus or a polynomial that is none.
    """
    name, _, rest = text.partition(":")
    return RULES[name](rest, config, domain).label if needs_model(text) else text


def require_answers(possible: set[int], domain: Domain, text: str) -> None:
    """Refuse a domain whose outputs do not stand for every answer that a task can give.

    Errors: ``Unsupported``.
    """
    missing = sorted(possible - set(domain.answers))
    if missing:
        raise Unsupported(
            f"task {text}: no output stands for the answer {missing[0]}"
            f" ({len(domain.outputs)} outputs; see --outputs and --answers)"
        )
