"""What the page says in words: bounds are never better than what was proved, tasks are told as they
are, and the waves of a group are those of the group.
"""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certify.model.config import Config
from certify.question.domain import read_domain
from certify.question.groups import multiplication_table, named_group, read_group
from certify.question.plain import plain_of
from certify.question.question import question_in, read_question
from certify.report import numbers, statement
from certify.sums import fourier

COUNTS = st.integers(0, 10**9) | st.integers(0, 10**40)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def value(text: str) -> Fraction:
    """Return the number that a text shows."""
    mantissa, times, power = text.replace(numbers.SPACE, "").partition("×10")
    return Fraction(mantissa) * (10 ** int(power.translate(RAISED)) if times else 1)


@given(COUNTS)
def test_counts_are_rounded_to_the_safe_side(count: int) -> None:
    low, high = value(numbers.at_least(count)), value(numbers.at_most(count))
    assert low <= count <= high
    assert high - low <= Fraction(max(count, 1), 999)
    if count < numbers.LARGEST_WRITTEN:
        assert low == high == value(numbers.about(count)) == count


@given(st.data())
def test_percentages_are_rounded_to_the_safe_side(data: st.DataObject) -> None:
    total = data.draw(COUNTS.filter(bool))
    part = data.draw(st.integers(0, total))
    low = value(numbers.percent_down(part, total).rstrip("%"))
    high = value(numbers.percent_up(part, total).rstrip("%"))
    assert low <= Fraction(100 * part, total) <= high
    if total < 10**9 and 0 < part < total:
        assert low > 0
        assert high < 100
    if part:
        often = numbers.one_in(part, total)
        assert Fraction(part, total) <= Fraction(1, often)
        assert Fraction(part, total) > Fraction(1, often + 1)


@given(st.fractions(min_value=0, max_value=10**6), st.integers(1, 10))
def test_leads_are_rounded_down(margin: Fraction, digits: int) -> None:
    shown = Fraction(numbers.lead(margin, digits))
    assert shown <= margin < shown + Fraction(1, 10**digits)
    assert Fraction(numbers.lead(float(margin), digits)) <= Fraction(float(margin))


def claim(lower: int, upper: int, total: int, scope: str = "uniform") -> str:
    """Return what is said of bounds."""
    fields = {"semantics": "real", "scope": scope}
    verdict = SimpleNamespace(correct_lower=lower, correct_upper=upper, total=total, fields=fields)
    proof: Any = SimpleNamespace(verdict=verdict)
    topic: Any = SimpleNamespace(weighted=scope != "uniform")
    found = statement._claim(topic, proof)
    return f"{found.right}. {found.rest}".replace(numbers.SPACE, " ")


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((9, 9, 9), "it answers every single one of them correctly. No answer is wrong."),
        (
            (6, 6, 9),
            "it answers exactly 6 of them correctly (66.66 %). The other 3 are answered wrongly"
            " (about 1 in 3).",
        ),
        (
            (6, 8, 9),
            "it answers at least 6 of them correctly (66.66 %). At most 3 are answered wrongly"
            " (at most 1 in 3), 1 of them certainly. For 2 the proof leaves it open; they are not"
            " counted as right.",
        ),
        (
            (6, 9, 9),
            "it answers at least 6 of them correctly (66.66 %). At most 3 are answered wrongly"
            " (at most 1 in 3); none is known to be. For 3 the proof leaves it open; they are not"
            " counted as right.",
        ),
        (
            (0, 5, 9),
            "it answers at most 5 of them correctly (55.56 %). At least 4 are answered wrongly."
            " For 5 the proof leaves it open; they are not counted as right.",
        ),
        (
            (0, 0, 9),
            "it answers none of them correctly. All 9 are answered wrongly.",
        ),
        (
            (999 * 10**12, 999 * 10**12 + 1, 10**15),
            "it answers at least 99.900 % of them correctly. At most 1 in 1 000 is answered"
            " wrongly; 0.0999 % certainly are answered wrongly. For 0.00000000000010 % the proof"
            " leaves it open; they are not counted as right.",
        ),
        (
            (0, 10**14, 10**15),
            "it answers at most 10.00 % of them correctly. 90.00 % certainly are answered wrongly."
            " For 10.00 % the proof leaves it open; they are not counted as right.",
        ),
    ],
)
def test_claims(bounds: tuple[int, int, int], words: str) -> None:
    assert claim(*bounds) == words


@given(st.data())
def test_a_claim_has_no_number_that_is_better(data: st.DataObject) -> None:
    total = data.draw(st.integers(2, 10**30))
    lower = data.draw(st.integers(1, total - 1))
    upper = data.draw(st.integers(lower, total))
    said = claim(lower, upper, total)
    least = re.search(r"at least ([0-9.]+) % of them correctly", said)
    if total >= statement.MANY:
        assert least is not None
        assert value(least[1]) * total <= 100 * lower
        often = re.search(r"At most 1 in (?:about )?([0-9 ]+(?:× 10[⁰¹²³⁴⁵⁶⁷⁸⁹]+)?) is", said)
        if often is not None:
            assert (total - lower) * value(often[1].replace(" ", "")) <= total
        left = re.search(r"For ([0-9.]+) % the proof", said)
        assert (left is None) == (lower == upper)
        assert left is None or value(left[1]) * total >= 100 * (upper - lower)
        surely = re.search(r"([0-9.]+) % certainly are", said)
        assert surely is None or value(surely[1]) * total <= 100 * (total - upper)
    elif lower < upper:
        most = re.search(r"At most ([0-9 ]+) are answered wrongly", said)
        assert most is not None
        assert int(most[1].replace(" ", "")) == total - lower


CONFIG = Config(d_vocab=12, d_vocab_out=12, n_ctx=3, d_model=2, d_head=2)


@pytest.mark.parametrize(
    ("task", "parts", "words", "asked"),
    [
        (
            "max-of-k",
            {},
            "is given three numbers, each from 0 to 11, and has to name the largest",
            ((3, 9, 4), "3, 9, 4", 9, "9"),
        ),
        (
            "max-of-k",
            {
                "domain": "0,5,9/0,5,9/@3",
                "values": "-4,1,2/-4,1,2",
                "answers": "-4,1,2",
                "outputs": "0-2",
            },
            "is given two numbers, each one of −4, 1 and 2, and has to name the largest",
            ((-4, 1), "−4, 1", -4, "−4"),
        ),
        (
            "max-of-k",
            {"domain": "0-3/5/@3"},
            "is given two numbers (number 1 from 0 to 3, number 2 always 5), and",
            ((3, 5), "3, 5", 5, "5"),
        ),
        (
            "argmax",
            {"read": "all"},
            "at which place the largest stands (the first of them, if there are several; places"
            " count from 1)",
            ((3, 9, 4), "3, 9, 4", 1, "place 2"),
        ),
        (
            "balanced-brackets",
            {"domain": "0-1/0-1/0-1"},
            "is given a line of 3 brackets, each of them ( or )",
            ((0, 1, 1), "( ) )", 0, "no"),
        ),
        (
            "modular-addition:11",
            {"domain": "0-10/0-10/@11"},
            "add them on a clock with 11 hours (after 10 comes 0 again, so 10 + 3 is 2)",
            ((3, 9), "3 + 9", 1, "1"),
        ),
        (
            "modular-addition:2",
            {"domain": "0-1/0-1/@11"},
            "add them on a clock with 2 hours (after 1 comes 0 again)",
            ((1, 1), "1 + 1", 0, "0"),
        ),
        (
            "polynomial:7:a^2+3*a*b",
            {"domain": "0-6/0-6/@11"},
            "called a and b, and has to compute a^2+3*a*b on a clock with 7 hours",
            ((1, 2), "a = 1, b = 2", 0, "0"),
        ),
        (
            "group:symmetric:3",
            {"domain": "0-5/0-5/@11"},
            "two of 6 ways to rearrange 3 things (the group symmetric:3)",
            ((1, 2), "132 after 213", 5, "321"),
        ),
    ],
)
def test_tasks_in_plain_words(
    task: str, parts: dict[str, str], words: str, asked: tuple[Any, str, int, str]
) -> None:
    question = read_question(task, CONFIG, read_domain(CONFIG, **parts))
    plain = plain_of(question)
    assert words in plain.told
    values, text, answer, answered = asked
    assert plain.asked(values) == text
    assert plain.answered(answer) == answered
    assert plain.outside
    context = "At position 3 there is always the same symbol"
    assert any(context in told for told in plain.besides) == ("@" in parts.get("domain", ""))
    same = question_in(question.spelled, CONFIG, question.domain)
    assert (same.label, same.fields) == (question.label, question.fields)
    places = question.domain.places_between(0, question.domain.inputs)
    assert np.array_equal(same.right(places), question.right(places))


def test_tables_and_elements_are_read_from_a_statement(tmp_path: Any) -> None:
    two = Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=2, d_head=2)
    table = tmp_path / "table.json"
    table.write_text(
        '{"answers":[0,1,2,1,2,0,2,0,1],"format":"certify.table/2","tokens":[[[0,2]],[[0,2]]]}\n'
    )
    elements = tmp_path / "elements.json"
    elements.write_text("[[1,2,0],[0,1,2],[2,0,1]]\n")
    for task in (f"table:{table}", f"group:{elements}", f"group:cyclic:3@{elements}"):
        question = read_question(task, two)
        same = question_in(question.spelled, two, question.domain)
        assert (same.name, same.label) == (question.name, question.label)
        places = question.domain.places_between(0, 9)
        assert np.array_equal(same.right(places), question.right(places))
        assert plain_of(same).told


@pytest.mark.parametrize("p", [2, 7, 12])
def test_waves_of_the_clock(p: int) -> None:
    basis = fourier.cyclic_basis(p)
    assert np.allclose(basis.columns.T @ basis.columns, np.eye(p - 1))
    numbers_to_p = np.arange(p)
    for k in range(1, p // 2 + 1):
        wave = 3 + np.cos(2 * np.pi * k * numbers_to_p / p + 0.4)
        (shares,) = basis.shares(wave[:, None])
        assert np.argmax(shares) == k - 1
        assert shares[k - 1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "dimensions"),
    [
        ("symmetric:3", {"1": 1, "2": 4}),
        ("symmetric:4", {"1": 1, "2": 4, "3a": 9, "3b": 9}),
        ("symmetric:5", {"1": 1, "4a": 16, "4b": 16, "5a": 25, "5b": 25, "6": 36}),
        ("alternating:4", {"2x1": 2, "3": 9}),
        ("dihedral:5", {"1": 1, "2a": 4, "2b": 4}),
    ],
)
def test_waves_of_a_group(name: str, dimensions: dict[str, int]) -> None:
    elements = named_group(read_group(name))
    product = multiplication_table(elements)
    basis = fourier._isotypic(product)
    counts = {part: int(np.sum(basis.of == at)) for at, part in enumerate(basis.names)}
    assert counts == dimensions
    order = len(elements)
    assert np.allclose(basis.columns.T @ basis.columns, np.eye(order - 1))
    # Components stay what they are under translations.
    generator = np.random.default_rng(0)
    for part in range(len(basis.names)):
        columns = basis.columns[:, basis.of == part]
        function = columns @ generator.standard_normal(columns.shape[1])
        moved = [function[product[:, 1]], function[product[1]]]
        for one in moved:
            assert basis.shares(one[:, None])[0, part] == pytest.approx(1)
    # Where the first point goes is in the representation on the points alone.
    if name.startswith("symmetric"):
        indicator = np.array([float(x[0] == 0) for x in elements])
        shares = basis.shares(indicator[:, None])[0]
        assert shares.max() == pytest.approx(1)
