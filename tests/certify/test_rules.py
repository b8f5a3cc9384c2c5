"""Rules: their answers against a plain definition, how they are spelled, and what they are not
about.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import asked
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import general_config

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.config import Config
from certify.question.domain import read_domain
from certify.question.groups import multiplication_table, named_group, read_group
from certify.question.question import read_question
from certify.question.rules import (
    balanced,
    is_task,
    label_of,
    needs_model,
    read_elements,
    read_polynomial,
    rule_named,
    spelled_task,
)

PAIR = dataclasses.replace(general_config(), d_vocab=5, d_vocab_out=5, n_ctx=2)
ALL_PAIRS = np.array(list(itertools.product(range(5), repeat=2)))


def written(folder: Path, elements: list[list[int]], name: str = "elements") -> Path:
    """Write the file of a group's elements."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps(elements, separators=(",", ":")) + "\n")
    return path


def test_balanced_strings() -> None:
    for n in (1, 2, 5, 8):
        strings = list(itertools.product((0, 1), repeat=n))
        expected = [asked.plain(("balanced-brackets", None), string) for string in strings]
        assert balanced(np.array(strings)).tolist() == expected
    assert balanced(np.array(list(itertools.product((0, 1), repeat=8)))).sum() == 14


def test_answers() -> None:
    domain = read_domain(PAIR)
    for text, rule in [
        ("max-of-k", ("max-of-k", None)),
        ("argmax", ("argmax", None)),
        ("modular-addition", ("modular-addition", 5)),
        ("modular-addition:3", ("modular-addition", 3)),
        ("polynomial:5:a^2+3*a*b-b", ("polynomial", (5, [(1, 2, 0), (3, 1, 1), (4, 0, 1)]))),
        ("group:cyclic:5", ("group", [list(x) for x in named_group(read_group("cyclic:5"))])),
    ]:
        expected = [asked.plain(rule, (a, b)) for a, b in ALL_PAIRS.tolist()]
        assert rule_named(text, PAIR, domain).answer(ALL_PAIRS).tolist() == expected
        assert read_question(text, PAIR).right(ALL_PAIRS).tolist() == [[x] for x in expected]


def test_fields_of_a_statement() -> None:
    config = dataclasses.replace(general_config(), d_vocab=2, d_vocab_out=5, n_ctx=5)
    found = {
        name: rule_named(name, config, read_domain(config)).fields
        for name in ("max-of-k", "balanced-brackets", "argmax")
    }
    assert found == {
        "max-of-k": {"k": "5", "vocab": "2"},
        "balanced-brackets": {"n": "5"},
        "argmax": {"n": "5", "vocab": "2", "largest": "first"},
    }
    # Operands are counted, not positions.
    context = read_domain(config, "*/@1/*/@0/*")
    assert rule_named("argmax", config, context).fields["n"] == "3"
    assert rule_named("max-of-k", config, context).fields == {"k": "3", "vocab": "2"}


def test_modular_addition_takes_its_modulus_from_the_domain() -> None:
    config = dataclasses.replace(PAIR, n_ctx=3)
    for texts, modulus in (("*/*/@4", 5), ("0-3/0-3/@4", 4), ("0,2/*/@1", 2)):
        rule = rule_named("modular-addition", config, read_domain(config, texts))
        assert (rule.spelled, rule.label, rule.fields) == (
            {"modular-addition": modulus},
            f"modular-addition:{modulus}",
            {"modulus": str(modulus)},
        )
        assert label_of("modular-addition", config, read_domain(config, texts)) == rule.label


REFUSED: tuple[tuple[str, dict[str, Any], dict[str, str], str], ...] = (
    (
        "max-of-k",
        {"d_vocab_out": 3},
        {},
        "task max-of-k: no output stands for the answer 3 (3 outputs; see --outputs and --answers)",
    ),
    (
        "max-of-k",
        {},
        {"domain": "0-2/*", "outputs": "0-2"},
        "task max-of-k: no output stands for the answer 3",
    ),
    (
        "modular-addition",
        {"n_ctx": 3},
        {},
        "task modular-addition needs 2 operands, not 3 (n_ctx = 3: mark context positions in"
        " --domain, as in 0-112/0-112/@113)",
    ),
    ("modular-addition", {"n_ctx": 1}, {}, "task modular-addition needs 2 operands, not 1"),
    ("modular-addition", {}, {"read": "all"}, "needs 2 operands, not 1 or 2"),
    ("modular-addition:6", {}, {"answers": "1"}, "no output stands for the answer 0"),
    ("modular-addition:9", {}, {}, "task modular-addition:9: no output stands for the answer 4"),
    ("balanced-brackets", {}, {}, "is about the values 0 to 1, a token stands for 2 (see --dom"),
    ("balanced-brackets", {}, {"domain": "0-1/1-2"}, "a token stands for 2"),
    ("balanced-brackets", {}, {"domain": "0-1/*", "values": "-1/own"}, "a token stands for -1"),
    (
        "balanced-brackets",
        {"d_vocab": 2, "d_vocab_out": 1},
        {},
        "no output stands for the answer 1",
    ),
    ("argmax", {"n_ctx": 5}, {}, "task argmax: no output stands for the answer 4 (4 outputs"),
    ("group:cyclic:3", {}, {}, "is about the values 0 to 2, a token stands for 3"),
    ("max-of-k", {}, {"domain": "@1/*", "read": "0"}, "a position that is read has no operand"),
    ("max-of-k", {}, {"domain": "@1/*", "read": "all"}, "a position that is read has no operand"),
    (
        "max-of-k",
        {"attention_dir": "bidirectional"},
        {"read": "all"},
        "or sees operands behind it (bidirectional attention)",
    ),
    ("sorting", {}, {}, "there is no task 'sorting', there are max-of-k, modular-addition[:P], "),
    ("table", {}, {}, "there is no task 'table'"),
    ("max-of-k:3", {}, {}, "there is no task 'max-of-k:3'"),
    ("modular-addition:", {}, {}, "there is no task 'modular-addition:'"),
)


@pytest.mark.parametrize(("task", "changes", "texts", "message"), REFUSED)
def test_domains_that_a_task_is_not_about(
    task: str, changes: dict[str, Any], texts: dict[str, str], message: str
) -> None:
    config = dataclasses.replace(PAIR, **{"d_vocab": 4, "d_vocab_out": 4, **changes})
    with pytest.raises(Unsupported) as refusal:
        read_question(task, config, read_domain(config, **texts))
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_answer_that_no_input_of_the_domain_has_needs_no_output() -> None:
    config = dataclasses.replace(PAIR, d_vocab_out=3)
    with pytest.raises(Unsupported, match="no output stands for the answer 3"):
        read_question("max-of-k", config)
    assert read_question("max-of-k", config, read_domain(config, "0-2/0-2")).label == "max-of-k"
    even = read_domain(config, "0,2,4/0,2,4", outputs="0-2", answers="0,2,4")
    assert read_question("modular-addition:6", config, even).right(
        np.array([[1, 2], [2, 2]])
    ).tolist() == [[0], [1]]


# --- polynomials ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "p", "terms", "printed"),
    [
        ("a+b", 7, {(1, 0): 1, (0, 1): 1}, "a+b"),
        ("b + a", 7, {(1, 0): 1, (0, 1): 1}, "a+b"),
        ("a^2+a*b+b^2", 7, {(2, 0): 1, (1, 1): 1, (0, 2): 1}, "a^2+a*b+b^2"),
        ("a-b", 7, {(1, 0): 1, (0, 1): 6}, "a+6*b"),
        ("-a", 7, {(1, 0): 6}, "6*a"),
        ("+a", 7, {(1, 0): 1}, "a"),
        ("2*a*3*b*a", 7, {(2, 1): 6}, "6*a^2*b"),
        ("a^2*a^3", 7, {(5, 0): 1}, "a^5"),
        ("a^1*b^0", 7, {(1, 0): 1}, "a"),
        ("8*a+7*b+10", 7, {(1, 0): 1, (0, 0): 3}, "a+3"),
        ("1", 7, {(0, 0): 1}, "1"),
        ("a+a", 2**31 - 1, {(1, 0): 2}, "2*a"),
        ("a*b^65536", 7, {(1, 65536): 1}, "a*b^65536"),
        ("100000000000000000000*a", 7, {(1, 0): 10**20 % 7}, "2*a"),
    ],
)
def test_polynomials_parse_and_print(
    text: str, p: int, terms: dict[tuple[int, int], int], printed: str
) -> None:
    assert read_polynomial(text, p) == terms
    assert read_polynomial(printed, p) == terms
    assert list(read_polynomial(text, p)) == sorted(terms, reverse=True)
    domain = read_domain(PAIR, "0-1/0-1", outputs="0", answers="1") if text == "1" else None
    if domain is not None:
        rule = rule_named(f"polynomial:{p}:{text}", PAIR, domain)
        assert (rule.label, rule.fields["of"]) == (f"polynomial:{p}:{printed}", printed)
    found = label_of(f"polynomial:{p}:{text}", PAIR, read_domain(PAIR))
    assert found == f"polynomial:{p}:{printed}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a sum of terms such as a^2+3*a*b"),
        ("a+", "not a sum of terms"),
        ("a--b", "not a sum of terms"),
        ("a**b", "'' is no number and no power of a or b"),
        ("a/b", "'a/b' is no number and no power of a or b (write a division as a power"),
        ("a*b^-1", "'b^' is no number and no power"),
        ("a b", "'ab' is no number and no power"),
        ("2a", "'2a' is no number and no power"),
        ("c", "'c' is no number and no power"),
        ("(a+b)^2", "'(a' is no number and no power"),
        ("a^b", "'a^b' is no number"),
        ("a^1.5", "'a^1.5' is no number"),
        ("\u0663*a", "is no number"),
        ("a^65537", "a power is above 65536"),
        ("a^65536*a", "a power is above 65536"),
        ("7*a", "is zero modulo 7"),
        ("a-a", "is zero modulo 7"),
        ("0", "is zero modulo 7"),
        ("9" * 5000, "is no number"),
        ("a^" + "9" * 5000, "is no number"),
    ],
    ids=lambda text: str(text)[:20],
)
def test_what_is_no_polynomial_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_question(f"polynomial:7:{text}", PAIR)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "task",
    [
        "polynomial:7",
        "polynomial:x:a",
        "polynomial:1:a",
        "polynomial:07:a",
        "polynomial:2147483648:a",
        f"polynomial:{'9' * 5000}:a",
        "modular-addition:1",
        "modular-addition:0",
        "modular-addition:-3",
        "modular-addition:2147483648",
        "modular-addition:p",
    ],
    ids=lambda text: str(text)[:30],
)
def test_moduli_that_are_none_are_one_line(task: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_question(task, PAIR)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300
    with pytest.raises(BadInput):
        label_of(task, PAIR, read_domain(PAIR))


def test_zero_to_the_zero_is_one_and_values_may_be_negative() -> None:
    domain = read_domain(PAIR, values="-2/-2", outputs="0-4")
    places = ALL_PAIRS
    rule = rule_named("polynomial:5:a^0*b^0+a", PAIR, domain)
    values = places - 2
    assert rule.answer(values).tolist() == [(1 + a) % 5 for a, _ in values.tolist()]
    power = rule_named("polynomial:5:a^3*b", PAIR, domain)
    assert power.answer(values).tolist() == [(a**3 * b) % 5 for a, b in values.tolist()]


def test_division_is_a_power() -> None:
    domain = read_domain(PAIR, "*/1-4")
    rule = rule_named("polynomial:5:a*b^3", PAIR, domain)
    for a, b in itertools.product(range(5), range(1, 5)):
        (quotient,) = rule.answer(np.array([[a, b]])).tolist()
        assert quotient * b % 5 == a


def test_large_moduli_do_not_overflow() -> None:
    p = 2**31 - 1
    config = dataclasses.replace(PAIR, d_vocab=2, d_vocab_out=2)
    values = [[p - 1, p - 2]]
    outputs = [pow(x, 5, p) * pow(y, 65536, p) * (p - 1) % p for x in values[0] for y in values[0]]
    found = np.array([[x, y] for x in values[0] for y in values[0]])
    domain = read_domain(
        dataclasses.replace(config, d_vocab_out=4),
        values="/".join([",".join(map(str, values[0]))] * 2),
        answers=",".join(map(str, dict.fromkeys(outputs))),
        outputs=f"0-{len(set(outputs)) - 1}",
    )
    rule = rule_named(f"polynomial:{p}:-a^5*b^65536", config, domain)
    assert rule.answer(found).tolist() == outputs


@settings(max_examples=60, deadline=None)
@given(
    p=st.integers(2, 50),
    terms=st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(-60, 60), min_size=1
    ),
    pair=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
)
def test_random_polynomials(
    p: int, terms: dict[tuple[int, int], int], pair: tuple[int, int]
) -> None:
    text = "".join(f"{'-' if c < 0 else '+'}{abs(c)}*b^{j}*a^{i}" for (i, j), c in terms.items())
    if all(c % p == 0 for c in terms.values()):
        with pytest.raises(BadInput, match="is zero modulo"):
            read_polynomial(text, p)
        return
    label = label_of(f"polynomial:{p}:{text}", PAIR, read_domain(PAIR))
    canonical = label.split(":", 2)[2]
    assert label_of(label, PAIR, read_domain(PAIR)) == label
    assert read_polynomial(canonical, p) == read_polynomial(text, p)
    a, b = pair
    expected = sum(c * a**i * b**j for (i, j), c in terms.items()) % p
    config = dataclasses.replace(PAIR, d_vocab=2, d_vocab_out=2)
    domain = read_domain(config, "0/0", values=f"{a}/{b}", outputs="1", answers=str(expected))
    assert read_question(label, config, domain).right(np.array([[0, 0]])).tolist() == [[1]]


# --- groups -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("cyclic:2", 2),
        ("cyclic:300", 300),
        ("dihedral:3", 6),
        ("dihedral:7", 14),
        ("symmetric:3", 6),
        ("symmetric:5", 120),
        ("alternating:3", 3),
        ("alternating:5", 60),
    ],
)
def test_named_groups_multiply_as_permutations(name: str, order: int) -> None:
    group = read_group(name)
    elements = named_group(group)
    assert (str(group), len(elements), group.order) == (name, order, order)
    assert elements[0] == tuple(range(len(elements[0])))
    table = multiplication_table(elements)
    rng = np.random.default_rng(0)
    for x, y in rng.integers(0, order, size=(200, 2)).tolist():
        product = tuple(elements[x][elements[y][point]] for point in range(len(elements[0])))
        assert elements[table[x, y]] == product


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("group:cyclic:0", "is not NAME:n with a name of cyclic,"),
        ("group:cyclic:1", "has one element, and nothing to learn"),
        ("group:cyclic:x", "is not NAME:n"),
        ("group:cyclic", "is not NAME:n"),
        ("group:cyclic:721", "has more than 720 elements, the limit"),
        ("group:dihedral:2", "n must be at least 3"),
        ("group:symmetric:7", "has more than 720 elements, the limit"),
        ("group:symmetric:999999", "has more than 720 elements, the limit"),
        ("group:cyclic:3@", "it is group:NAME:n, group:NAME:n@FILE or group:FILE"),
        ("group:absent.json", "absent.json: no such file"),
        ("group:klein:4", "group 'klein:4' is not NAME:n with a name of cyclic,"),
        ("group:Cyclic:4", "group 'Cyclic:4' is not NAME:n with a name of cyclic,"),
        ("group:klein", "klein: no such file"),
        ("group:cyclic:3@absent.json", "absent.json: no such file"),
    ],
)
def test_groups_that_are_not_known(task: str, message: str) -> None:
    with pytest.raises(CertifyError) as refusal:
        read_question(task, PAIR)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_elements_of_a_file_are_in_its_order(tmp_path: Path) -> None:
    config = dataclasses.replace(PAIR, d_vocab=6, d_vocab_out=6)
    elements = [asked.S3[at] for at in (3, 0, 5, 1, 4, 2)]
    path = written(tmp_path, elements)
    digest = f"sha256:{sha256(path.read_bytes()).hexdigest()}"
    pairs = np.array(list(itertools.product(range(6), repeat=2)))
    expected = [asked.plain(("group", elements), (a, b)) for a, b in pairs.tolist()]
    for text, group, label in (
        (f"group:{path}", "closed", f"group:{digest}"),
        (f"group:symmetric:3@{path}", "symmetric:3", f"group:symmetric:3@{digest}"),
        (f"group:dihedral:3@{path}", "dihedral:3", f"group:dihedral:3@{digest}"),
    ):
        rule = rule_named(text, config, read_domain(config))
        assert rule.answer(pairs).tolist() == expected
        assert rule.fields == {"group": group, "order": "6", "elements": digest}
        assert rule.label == label
    with pytest.raises(BadInput) as refusal:
        rule_named(f"group:cyclic:6@{path}", config, read_domain(config))
    assert str(refusal.value) == f"{path}: the elements are not those of the group cyclic:6"


BAD_ELEMENTS: tuple[tuple[bytes, str], ...] = (
    (b"", "file is empty"),
    (b"{", "not JSON"),
    (b"\xff", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"{}\n", "not a list of permutations"),
    (b"[1]\n", "not a list of permutations"),
    (b"[[0,1], [1,0]]\n", "not canonical JSON"),
    (b"[[0,1],[1,0]]", "not canonical JSON"),
    (b"[]\n", "not different permutations"),
    (b"[[]]\n", "not different permutations"),
    (b"[[0,1],[0,1]]\n", "not different permutations"),
    (b"[[0,1],[0]]\n", "not different permutations"),
    (b"[[0,2],[2,0]]\n", "not different permutations"),
    (b"[[0,true],[1,0]]\n", "not different permutations"),
    (b'[[0,"1"],[1,0]]\n', "not different permutations"),
    (b"[[0,1.0],[1,0]]\n", "not different permutations"),
)


@pytest.mark.parametrize(("data", "message"), BAD_ELEMENTS, ids=lambda text: str(text)[:20])
def test_files_that_hold_no_elements(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "elements.json"
    path.write_bytes(data)
    with pytest.raises(BadInput) as refusal:
        read_elements(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)


def test_elements_that_are_not_closed(tmp_path: Path) -> None:
    path = written(tmp_path, [[0, 1, 2], [1, 2, 0]])
    config = dataclasses.replace(PAIR, d_vocab=2)
    with pytest.raises(BadInput) as refusal:
        rule_named(f"group:{path}", config, read_domain(config))
    assert str(refusal.value) == (
        f"{path}: not closed: the product of elements 1 and 1 is no element"
    )


def test_groups_that_the_checker_would_decline_are_refused_before_any_work(tmp_path: Path) -> None:
    rotations = [[(i + s) % 410 for i in range(410)] for s in range(410)]
    path = written(tmp_path, rotations)
    config = dataclasses.replace(PAIR, d_vocab=410, d_vocab_out=410)
    with pytest.raises(
        Unsupported, match="a group without a name is too large to check: 410 elements"
    ):
        rule_named(f"group:{path}", config, read_domain(config))
    six = [list(x) for x in itertools.islice(itertools.permutations(range(7)), 1025)]
    with pytest.raises(CertifyError, match=r"six\.json: more than 1024 elements, the limit"):
        rule_named(f"group:{written(tmp_path, six, 'six')}", config, read_domain(config))


# --- spelling ---------------------------------------------------------------------


def test_what_begins_as_a_task() -> None:
    for text in ("max-of-k", "modular-addition", "modular-addition:5", "table:x", "group:x"):
        assert is_task(text)
    for text in ("", "max-of-k:2", "modular-addition:", "table:", "table", "group:", "x", "x:y"):
        assert not is_task(text)
    assert needs_model("modular-addition")
    assert needs_model("polynomial:5:a")
    assert not needs_model("group:cyclic:3")


def test_tasks_as_statements_spell_them(tmp_path: Path) -> None:
    config = Config(d_vocab=2, d_vocab_out=2, n_ctx=2, d_model=2, d_head=2)
    path = written(tmp_path, [[0, 1], [1, 0]])
    for text, spelled in (
        ("max-of-k", "max-of-k"),
        ("modular-addition", "modular-addition:2"),
        ("polynomial:2:b*a+1", "polynomial:2:a*b+1"),
        ("group:cyclic:2", "group:cyclic:2"),
        (f"group:cyclic:2@{path}", "group:cyclic:2"),
        (f"group:{path}", "group"),
    ):
        assert spelled_task(read_question(text, config).spelled) == spelled
