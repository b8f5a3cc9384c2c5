"""The tasks: what the right answer to the operands of an input is.  (SPEC-5.2)

A new task is a new row of ``NAMED`` or ``GIVEN``, and nothing else in the checker.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate, product, starmap
from math import prod

from checker.ground import paired, record
from checker.ground.decode import canonical, fields, integer, integers, listing, typed
from checker.ground.errors import require_form, require_support
from checker.statement.domain import LARGEST, Domain, parse_ranges, shown
from checker.statement.groups import MAX_ORDER, Permutation, named_group
from checker.statement.model import Model

TABLE_FORMAT = "certify.table/2"
MAX_ANSWERS = 1 << 20
MAX_POWER = 1 << 16
"""No exponent of a polynomial is larger.  (SPEC-5.2)"""
MAX_LOOKS = 1 << 24
"""Images that are looked up for a group, and as much for other answers to pairs.  (SPEC-5.2)"""
LOOKS_OF_A_TERM = 16
LOOKS_OF_A_BIT = 2
"""A term of a polynomial takes as long as so many images, and so many for every bit of its
exponents.  (SPEC-5.2)
"""

Values = Sequence[int]
Answer = Callable[[Values], int]
Possible = Callable[[Sequence[Values]], set[int]]


@record
class Task:
    """A question that has one right answer to every input.  (SPEC-5.2)

    ``label``:    how the option ``--task`` requires it.
    ``fields``:   what the verdict line says of it.
    ``sentence``: what a model that answers right does, in English.
    ``answers``:  the right answers at the positions that are read, to an input given by the places
                  of its tokens.
    ``possible``: every answer that some input of the domain has, and perhaps others.
    """

    label: str
    fields: dict[str, str]
    sentence: str
    answers: Callable[[Values], Values]
    possible: set[int]


# --- tasks over the values of operands --------------------------------------------


@record
class Rule:
    """A right answer to the values of operands.

    ``answer``:   to these values.
    ``possible``: every answer to operands that take these values, position by position; None for
                  the answers to all of them.
    ``takes``:    the values that an operand may have; None for any.
    ``looks``:    what an answer to two operands takes, in images that are looked up; 0 where there
                  may be any number of operands.
    """

    label: str
    fields: dict[str, str]
    sentence: str
    answer: Answer
    possible: Possible | None = None
    takes: range | None = None
    looks: int = 0


def _bound(rule: Rule, model: Model, domain: Domain) -> Task:
    """Return the task of answering a rule at every position that is read.

    Raises: Declined (SPEC-5.2, SPEC-5.7) for a domain that is not one of the rule.
    """
    operands = domain.operands
    ends = domain.ends()
    values = [domain.values[place] for place in operands]
    causal = model.config["attention_dir"] == "causal"
    # A position of a bidirectional model sees all operands, so it answers the whole question.
    answered = min(ends) > 0 and (causal or min(ends) == len(operands))
    require_support(
        answered,
        "SPEC-5.7",
        "a position that is read has no operand before it, or sees operands behind it",
    )
    require_support(
        rule.looks == 0 or set(ends) == {2},
        "SPEC-5.2",
        f"the task {rule.label} needs two operands",
    )
    looks = rule.looks * prod(map(len, values))
    quick = looks <= MAX_LOOKS
    require_support(quick, "SPEC-5.2", f"the task {rule.label} has too many answers")
    known = rule.takes
    taken = known is None or all(value in known for row in values for value in row)
    require_support(taken, "SPEC-5.2", f"a value is not one of the task {rule.label}")

    def answers(places: Values) -> list[int]:
        """Return the answers to the operands up to each position that is read."""
        given = [row[at] for row, at in paired(domain.values, places) if row]
        found = {end: rule.answer(given[:end]) for end in ends}
        return [found[end] for end in ends]

    possible = set[int]()
    for end in set(ends):
        given = values[:end]
        if rule.possible:
            possible |= rule.possible(given)
        else:
            possible.update(map(rule.answer, product(*given)))
    return Task(rule.label, rule.fields, rule.sentence, answers, possible)


def _balanced(values: Values) -> bool:
    """Return whether the brackets ``(`` = 0 and ``)`` = 1 are balanced."""
    depths = list(accumulate(1 - 2 * value for value in values))
    return depths[-1] == 0 and min(depths) >= 0


def _maxima(values: Sequence[Values]) -> set[int]:
    """Return the numbers that may be the largest: none below the least of any position."""
    least = max(map(min, values))
    return {value for row in values for value in row if value >= least}


def _max_of_k(model: Model, domain: Domain) -> Rule:
    k = str(len(domain.operands))
    told = {"k": k, "vocab": str(model.sizes["d_vocab"])}
    tokens = f"{k} tokens (vocabulary {told['vocab']})"
    return Rule(
        "max-of-k", told, f"names the largest of {tokens} correctly", max, _maxima
    )


def _argmax(model: Model, domain: Domain) -> Rule:
    n = str(len(domain.operands))
    vocab = str(model.sizes["d_vocab"])
    told = {"n": n, "vocab": vocab, "largest": "first"}
    place = f"the place of the first largest of {n} tokens (vocabulary {vocab})"
    return Rule(
        "argmax",
        told,
        f"names {place} correctly",
        lambda values: values.index(max(values)),
        lambda values: set(range(len(values))),
    )


def _balanced_brackets(model: Model, domain: Domain) -> Rule:
    n = str(len(domain.operands))
    return Rule(
        "balanced-brackets",
        {"n": n},
        f"tells correctly whether {n} brackets are balanced",
        lambda values: 1 if _balanced(values) else 0,
        lambda values: {0, 1},
        takes=range(2),
    )


NAMED: dict[str, Callable[[Model, Domain], Rule]] = {
    "max-of-k": _max_of_k,
    "argmax": _argmax,
    "balanced-brackets": _balanced_brackets,
}
"""The tasks that are named by a string."""


def _modulus(value: object) -> int:
    return integer(value, "modulus", 2, LARGEST)


def _modular_addition(value: object) -> Rule:
    """Return the rule of adding two numbers modulo p."""
    p = _modulus(value)

    def answer(values: Values) -> int:
        return sum(values) % p

    label = f"modular-addition:{p}"
    sentence = f"adds two numbers modulo {p} correctly"
    told = {"modulus": str(p)}
    return Rule(label, told, sentence, answer, looks=1)


def _power(letter: str, exponent: int) -> str:
    return letter if exponent == 1 else f"{letter}^{exponent}"


def _term(coefficient: int, i: int, j: int) -> str:
    """Return the term ``coefficient * a^i * b^j`` as a verdict spells it."""
    factors = [_power("a", i)] if i else []
    factors += [_power("b", j)] if j else []
    if coefficient > 1 or not factors:
        factors.insert(0, str(coefficient))
    return "*".join(factors)


def _polynomial(value: object) -> Rule:
    """Return the rule of evaluating a polynomial in two numbers modulo p.

    Raises: Malformed (SPEC-5.2).
    """
    written = fields(value, "polynomial", "modulus terms")
    p = _modulus(written["modulus"])
    listed = listing(written["terms"], "terms of the polynomial")
    terms = list[tuple[int, int, int]]()
    for item in listed:
        numbers = integers(item, "a term of the polynomial", 0, LARGEST)
        require_form(len(numbers) == 3, "SPEC-5.2", "a term is not three numbers")
        coefficient, i, j = numbers
        known = 0 < coefficient < p and max(i, j) <= MAX_POWER
        require_form(
            known,
            "SPEC-5.2",
            f"a coefficient is not below {p}, or an exponent too large",
        )
        falling = not terms or (i, j) < terms[-1][1:]
        require_form(falling, "SPEC-5.2", "the terms of the polynomial do not descend")
        terms.append((coefficient, i, j))
    require_form(bool(terms), "SPEC-5.2", "the polynomial has no term")

    def answer(values: Values) -> int:
        a, b = values
        found = 0
        for coefficient, i, j in terms:
            found += coefficient * pow(a, i, p) * pow(b, j, p)
        return found % p

    text = "+".join(_term(*term) for term in terms)
    label = f"polynomial:{p}:{text}"
    told = {"modulus": str(p), "of": shown(text)}
    sentence = f"computes {shown(text)} modulo {p} correctly"
    digits = sum(i.bit_length() + j.bit_length() for _, i, j in terms)
    looks = LOOKS_OF_A_TERM * len(terms) + LOOKS_OF_A_BIT * digits
    return Rule(label, told, sentence, answer, looks=looks)


def _parse_elements(value: object) -> list[Permutation]:
    """Return distinct permutations of the same points, at least one.

    Raises: Malformed (SPEC-5.2).
    """
    listed = listing(value, "elements of the group", MAX_ORDER)
    found = [integers(item, "an element of the group", 0, MAX_ORDER) for item in listed]
    require_form(bool(found), "SPEC-5.2", "the group has no elements")
    points = list(range(len(found[0])))
    permuting = all(sorted(images) == points for images in found)
    require_form(
        permuting and len(set(found)) == len(found),
        "SPEC-5.2",
        "the elements are not permutations of the same points, all different",
    )
    return found


def _product(first: Permutation, second: Permutation) -> Permutation:
    """Return the permutation that applies the second, then the first."""
    return tuple(map(first.__getitem__, second))


def _require_closed(elements: list[Permutation]) -> None:
    """Refuse a list that does not hold every product.  (SPEC-5.2)"""
    looks = len(elements) ** 2 * len(elements[0])
    require_support(looks <= MAX_LOOKS, "SPEC-5.2", "the group is too large")
    pairs = product(elements, repeat=2)
    closed = set(elements).issuperset(starmap(_product, pairs))
    require_form(closed, "SPEC-5.2", "the elements are not closed under multiplication")


def _group(value: object) -> Rule:
    """Return the rule of multiplying two elements of a group, each named by its number.

    The product applies the second element first.
    Raises: Malformed, Declined (SPEC-3.5, SPEC-5.2).
    """
    written = fields(value, "group", "", "elements name")
    require_form(bool(written), "SPEC-5.2", "the group has neither name nor elements")
    name = typed(written.get("name", "closed"), str, "name of the group")
    label = name
    told = {"group": name}
    elements = list[Permutation]()
    if "elements" in written:
        elements = _parse_elements(written["elements"])
        digest = f"sha256:{sha256(canonical(written['elements'])).hexdigest()}"
        told |= {"order": str(len(elements)), "elements": digest}
        label = f"{name}@{digest}" if "name" in written else digest
    if "name" not in written:
        _require_closed(elements)
    else:
        named = named_group(name)
        elements = elements or named
        same = sorted(elements) == sorted(named)
        require_form(same, "SPEC-5.2", f"the elements are not those of {name}")
    number = {images: place for place, images in enumerate(elements)}

    def answer(values: Values) -> int:
        first, second = values
        return number[_product(elements[first], elements[second])]

    what = f"the group {name}" if "name" in written else "a group of permutations"
    sentence = f"multiplies two elements of {what} (order {len(elements)}) correctly"
    return Rule(
        f"group:{label}",
        told,
        sentence,
        answer,
        takes=range(len(elements)),
        looks=max(1, len(elements[0])),
    )


GIVEN: dict[str, Callable[[object], Rule]] = {
    "modular-addition": _modular_addition,
    "polynomial": _polynomial,
    "group": _group,
}
"""The tasks that are named by an object with this key, which holds what they are about."""


# --- tables -----------------------------------------------------------------------


def _table(value: object, model: Model, domain: Domain) -> Task:
    """Return the task of answering as a table says, which holds an answer, or a list of those at
    the positions that are read, to every input of its domain.  (SPEC-5.2)

    Raises: Malformed or Declined (SPEC-3.x, SPEC-5.2).
    """
    table = fields(value, "table", "answers format tokens")
    known = table["format"] == TABLE_FORMAT
    require_support(known, "SPEC-5.2", f"the table's format is not {TABLE_FORMAT}")
    vocab = model.sizes["d_vocab"]
    listed = listing(table["tokens"], "tokens of the table")
    tokens = tuple(
        parse_ranges(item, "tokens of the table", vocab)[0] for item in listed
    )
    same = tokens == domain.tokens
    require_form(same, "SPEC-5.2", "the table is about another domain")
    written = listing(table["answers"], "answers of the table", MAX_ANSWERS)
    sizes = list(map(len, tokens))
    whole = len(written) == prod(sizes)
    require_form(whole, "SPEC-5.2", "the table does not answer every input once")
    reads = len(domain.ends())
    rows = [
        integers(
            item if reads > 1 else [item], "an answer of the table", -LARGEST, LARGEST
        )
        for item in written
    ]
    answered = all(len(row) == reads for row in rows)
    require_form(
        answered, "SPEC-5.2", "the table does not answer every position that is read"
    )

    def answers(places: Values) -> Values:
        index = 0
        for place, size in paired(places, sizes):
            index = index * size + place
        return rows[index]

    digest = f"sha256:{sha256(canonical(table)).hexdigest()}"
    told = {"n": str(len(sizes)), "vocab": str(vocab), "table": digest}
    sentence = (
        f"answers {len(sizes)} tokens (vocabulary {vocab}) as the table {digest} says"
    )
    possible = {answer for row in rows for answer in row}
    return Task(f"table:{digest}", told, sentence, answers, possible)


# --- the task of a statement ------------------------------------------------------


def _parse_task(written: object, model: Model, domain: Domain) -> Task:
    """Return the task that a certificate names.

    Raises: Malformed, Declined (SPEC-5.2).
    """
    if not isinstance(written, dict):
        name = typed(written, str, "task")
        require_support(name in NAMED, "SPEC-5.2", f"the task {name} is not known")
        return _bound(NAMED[name](model, domain), model, domain)
    if set(written) == {"table"}:
        return _table(written["table"], model, domain)
    name = " ".join(written)
    require_support(name in GIVEN, "SPEC-5.2", f"the task {name} is not known")
    return _bound(GIVEN[name](written[name]), model, domain)


def parse_task(written: object, model: Model, domain: Domain) -> Task:
    """Return the task that a certificate names, about this domain.  (SPEC-5.2)

    Raises: Malformed, Declined (SPEC-5.2, SPEC-5.7), also for an answer that no output stands for.
    """
    task = _parse_task(written, model, domain)
    unanswered = sorted(task.possible - domain.outputs.keys())
    require_support(
        not unanswered,
        "SPEC-5.2",
        f"no output stands for the answer {unanswered[:1]} of the task {task.label}",
    )
    return task
