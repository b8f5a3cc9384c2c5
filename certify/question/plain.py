"""Questions in plain words, for somebody who does not know the field.

Words only: what is said here follows from the domain and the task, which the checker verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from certify.question.domain import Domain
from certify.question.groups import Permutation, named_group, read_group
from certify.question.question import Question
from certify.question.rules import (
    ARGMAX,
    BALANCED_BRACKETS,
    GROUP,
    MAX_OF_K,
    MODULAR_ADDITION,
    POLYNOMIAL,
)

COUNTED = (
    *("no", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
MOST_LISTED = 6
"""So many allowed numbers are listed one by one."""
MINUS = "\N{MINUS SIGN}"
COMPACT_POINTS = 9
"""Permutations of so many points are written without spaces."""

Values = Sequence[int]


@dataclass(frozen=True, slots=True)
class Plain:
    """A question in plain words.

    ``told``:     what the program is given and has to do: the rest of a sentence with subject "it".
    ``besides``:  sentences about what is unusual: symbols that are always there, other positions.
    ``outside``:  which questions are not among them.
    ``head``:     what stands before the operands of one input.
    ``asked``:    the operands of one input, by what they stand for.
    ``answered``: one answer, by what the output stands for.
    """

    told: str
    besides: tuple[str, ...]
    outside: str
    head: str
    asked: Callable[[Values], str]
    answered: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class _Task:
    """What is particular to a task: how it goes on after the operands, and how they are written."""

    told: str
    outside: str
    head: str
    asked: Callable[[Values], str]
    answered: Callable[[int], str]


def plain_of(question: Question) -> Plain:
    """Return a question in plain words."""
    task = _TASKS.get(question.name, _table)(question)
    besides = tuple(_besides(question.domain))
    return Plain(task.told, besides, task.outside, task.head, task.asked, task.answered)


def counted(many: int, noun: str) -> str:
    """Return a number of things in words: ``four numbers``."""
    word = COUNTED[many] if many < len(COUNTED) else str(many)
    return f"{word} {noun}{'' if many == 1 else 's'}"


def spelled(number: int) -> str:
    """Return an integer as it is printed, with a true minus sign."""
    return f"{MINUS}{-number}" if number < 0 else str(number)


def ranged(values: Values) -> str:
    """Return which numbers are allowed: ``from 0 to 63``."""
    low, high = min(values), max(values)
    if len(values) == 1:
        return f"always {spelled(low)}"
    if high - low + 1 == len(values):
        return f"from {spelled(low)} to {spelled(high)}"
    if len(values) <= MOST_LISTED:
        listed = [spelled(value) for value in sorted(values)]
        return f"one of {', '.join(listed[:-1])} and {listed[-1]}"
    return f"one of {len(values)} numbers from {spelled(low)} to {spelled(high)}"


def numbers_of(domain: Domain, noun: str = "number") -> str:
    """Return the operands in words: ``four numbers, each from 0 to 63``."""
    lists = [domain.values[place] or () for place in domain.operands]
    several = counted(len(lists), noun)
    if all(set(row) == set(lists[0]) for row in lists):
        return f"{several}{', each' if len(lists) > 1 else ''} {ranged(lists[0])}"
    each = [f"number {place} {ranged(row)}" for place, row in enumerate(lists, 1)]
    return f"{several} ({', '.join(each)})"


def _besides(domain: Domain) -> list[str]:
    """Return what is unusual about a domain, a sentence each."""
    found = []
    context = [place for place, values in enumerate(domain.values) if values is None]
    for place in context:
        token = domain.tokens[place][0]
        found.append(f"At position {place + 1} there is always the same symbol, number {token}.")
    if "read" in domain.unusual:
        places = ", ".join(str(place + 1) for place in domain.read)
        found.append(
            f"It answers at the positions {places}, each time for what it has been given so far, "
            "and counts as right only if all of these answers are right."
        )
    if "answers" in domain.unusual or "values" in domain.unusual:
        found.append(
            "What its symbols and answers stand for is written in the verdict line "
            "(values, answers); the numbers on this page are what they stand for."
        )
    if "outputs" in domain.unusual:
        found.append("Only some of its outputs stand for an answer; any other output is wrong.")
    return found


def _listed(values: Values) -> str:
    return ", ".join(map(spelled, values))


def _other_numbers(domain: Domain) -> str:
    many = counted(len(domain.operands), "number")
    return f"more or fewer than {many}, or numbers that are not among these"


def _max_of_k(question: Question) -> _Task:
    domain = question.domain
    told = f"is given {numbers_of(domain)}, and has to name the largest"
    return _Task(told, _other_numbers(domain), "Largest of", _listed, spelled)


def _argmax(question: Question) -> _Task:
    domain = question.domain
    told = (
        f"is given {numbers_of(domain)}, and has to say at which place the largest stands"
        " (the first of them, if there are several; places count from 1)"
    )
    head = "Place of the largest in"
    places = range(len(domain.operands))

    def answered(place: int) -> str:
        return f"place {place + 1}" if place in places else _other(place)

    return _Task(told, _other_numbers(domain), head, _listed, answered)


def _brackets(values: Values) -> str:
    return " ".join("()"[value] for value in values)


def _balanced(question: Question) -> _Task:
    n = len(question.domain.operands)
    told = (
        f"is given a line of {n} brackets, each of them ( or ), and has to say whether they"
        " balance: every ( is closed by a ) of its own further on, and none is left over"
    )
    outside = f"lines that are longer or shorter than {n} brackets"
    words = {0: "no", 1: "yes"}
    return _Task(
        told, outside, "Balanced?", _brackets, lambda value: words.get(value, _other(value))
    )


def _other(value: int) -> str:
    """Return an answer that is never right."""
    return f"something else ({spelled(value)})"


def _clock(p: int) -> str:
    after = f"after {p - 1} comes 0 again"
    return f"on a clock with {p} hours ({after}" + (
        f", so {p - 1} + 3 is {(p + 2) % p})" if p > 3 else ")"
    )


def _sum(values: Values) -> str:
    return " + ".join(map(spelled, values))


def _modular_addition(question: Question) -> _Task:
    p, domain = int(question.fields["modulus"]), question.domain
    told = f"is given {numbers_of(domain)}, and has to add them {_clock(p)}"
    outside = f"{_other_numbers(domain)}, or a clock with any other number of hours than {p}"
    return _Task(told, outside, f"Clock with {p} hours:", _sum, spelled)


def _polynomial(question: Question) -> _Task:
    p, formula, domain = int(question.fields["modulus"]), question.fields["of"], question.domain
    told = (
        f"is given {numbers_of(domain)}, called a and b, and has to compute {formula} {_clock(p)}"
    )
    outside = f"{_other_numbers(domain)}, another formula, or another clock"

    def asked(values: Values) -> str:
        return ", ".join(f"{name} = {value}" for name, value in zip("ab", values, strict=False))

    return _Task(told, outside, f"{formula} modulo {p} with", asked, spelled)


def _elements(question: Question) -> list[Permutation]:
    """Return the elements of a group's task in the order of their numbers."""
    about = question.spelled[GROUP]
    if "elements" in about:
        return [tuple(images) for images in about["elements"]]
    return named_group(read_group(about["name"]))


def _group(question: Question) -> _Task:
    elements = _elements(question)
    points, name = len(elements[0]), question.fields["group"]
    named = f"the group {name}" if name != "closed" else "they form a group"
    told = (
        f"is given two of {len(elements)} ways to rearrange {points} things ({named}), each written"
        " as the places to which the first, the second and so on go, and has to say what"
        " comes out when the second is done first and the first after it"
    )
    between = "" if points <= COMPACT_POINTS else " "

    def answered(number: int) -> str:
        if not 0 <= number < len(elements):
            return _other(number)
        if points > 2 * len(COUNTED):
            return f"number {number}"
        return between.join(str(image + 1) for image in elements[number])

    def asked(values: Values) -> str:
        return " after ".join(map(answered, values))

    outside = "other rearrangements, or more than two of them in a row"
    return _Task(told, outside, "Product:", asked, answered)


def _table(question: Question) -> _Task:
    domain = question.domain
    told = (
        f"is given {numbers_of(domain, 'symbol')}, and has to give the answer that a fixed list"
        f" names for them (the list's fingerprint is {question.fields.get('table', 'not known')})"
    )
    return _Task(told, "other symbols, or another list", "Listed for", _listed, spelled)


_TASKS: dict[str, Callable[[Question], _Task]] = {
    MAX_OF_K: _max_of_k,
    ARGMAX: _argmax,
    BALANCED_BRACKETS: _balanced,
    MODULAR_ADDITION: _modular_addition,
    POLYNOMIAL: _polynomial,
    GROUP: _group,
}
