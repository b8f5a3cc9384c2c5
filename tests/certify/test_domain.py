"""Domains: what the five texts and the file mean, that the checker reads the same, and that every
bad input is one line that names the option.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import asked
import numpy as np
import pytest
from asked import Asked
from hypothesis import given, settings
from hypothesis import strategies as st

from certify.errors import BadInput, CertifyError
from certify.model.config import Config
from certify.question.domain import Domain, domain_of, names_file, read_domain, shown
from certify.question.question import read_question
from checker.ground.errors import Refusal

EXAMPLES = int(os.environ.get("CERTIFY_EXAMPLES", "120"))
CONFIG = Config(d_vocab=6, d_vocab_out=7, n_ctx=3, d_model=2, d_head=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("groups")


def test_the_usual_domain() -> None:
    found = read_domain(CONFIG)
    assert found.tokens == found.values == (tuple(range(6)),) * 3
    assert (found.outputs, found.answers, found.read) == ((*range(7),), (*range(7),), (2,))
    assert (found.inputs, found.sizes, found.operands) == (216, (6, 6, 6), (0, 1, 2))
    assert found.unusual == {}
    assert found.words() == "for all a, b, c in all tokens in the context a b c"


def test_what_texts_mean() -> None:
    found = read_domain(
        CONFIG, "0-1,4/@5/2-3", values="7,-8,0/-2", outputs="1,4-5", answers="9,8,7", read="1,2"
    )
    assert found.tokens == ((0, 1, 4), (5,), (2, 3))
    assert found.values == ((7, -8, 0), None, (-2, -1))
    assert (found.outputs, found.answers, found.read) == ((1, 4, 5), (9, 8, 7), (1, 2))
    assert (found.inputs, found.operands, found.ends()) == (6, (0, 2), (1, 2))
    assert found.unusual == {
        "domain": "0-1,4/@5/2-3",
        "values": "7,-8,0/-2",
        "outputs": "1,4-5",
        "answers": "9,8,7",
        "read": "1,2",
    }
    places = found.places_between(1, 4)
    assert places.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 1]]
    assert found.tokens_at(places).tolist() == [[0, 5, 3], [1, 5, 2], [1, 5, 3]]
    assert found.values_at(places).tolist() == [[7, -1], [-8, -2], [-8, -1]]
    assert found.words() == (
        "for all a in 0..1,4, b in 2..3 in the context a 5 b,"
        " where tokens stand for 7,-8,0/-2, with the outputs 1,4-5, any other being wrong,"
        " which stand for 9,8,7, read at the positions 1, 2"
    )


def test_a_text_for_what_is_usual_is_the_usual_one() -> None:
    spelled = read_domain(CONFIG, "0-5/*/0-5", "own/own/own", "0-6", "own", "2")
    assert (spelled.texts, spelled.unusual) == (read_domain(CONFIG).texts, {})


def test_one_token_is_an_operand_unless_it_is_context() -> None:
    assert read_domain(CONFIG, "*/3/*").operands == (0, 1, 2)
    assert read_domain(CONFIG, "*/@3/*").operands == (0, 2)


def test_pooled_readouts_read_no_position() -> None:
    config = Config(6, 7, 3, 2, 2, readout="mean-pool-mlp")
    found = read_domain(config, read="last")
    assert (found.read, found.texts["read"], found.ends()) == ((), "last", (3,))
    with pytest.raises(BadInput, match="--read all: the model's readout mean-pool-mlp pools"):
        read_domain(config, read="all")


def test_long_texts_are_shown_by_their_hash() -> None:
    assert shown("1" * 400) == "1" * 400
    assert shown("1" * 401) == f"sha256:{sha256(b'1' * 401).hexdigest()}"


BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({"domain": "*/*"}, "--domain */*: 2 positions, the model has 3 (a slash stands between two)"),
    (
        {"domain": "*/*/*/*"},
        "--domain */*/*/*: 4 positions, the model has 3 (a slash stands between two)",
    ),
    ({"domain": ""}, "--domain : 1 position, the model has 3 (a slash stands between two)"),
    ({"domain": "*/*/"}, "--domain: '' is no token, no range first-last, and not *"),
    ({"domain": "*/*/x"}, "--domain: 'x' is no token, no range first-last, and not *"),
    ({"domain": "*/*/0..3"}, "--domain: '0..3' is no token, no range first-last, and not *"),
    ({"domain": "*/*/-1"}, "--domain: '-1' is no token, no range first-last, and not *"),
    ({"domain": "*/*/01"}, "--domain: '01' is no token, no range first-last, and not *"),
    ({"domain": "*/*/0, 2"}, "--domain: ' 2' is no token, no range first-last, and not *"),
    ({"domain": "*/*/\u0663"}, "--domain: '\u0663' is no token, no range first-last, and not *"),
    ({"domain": "*/*/@"}, "--domain: '@' is no context token @t"),
    ({"domain": "*/*/@x"}, "--domain: '@x' is no context token @t"),
    ({"domain": "*/*/@1-2"}, "--domain: '@1-2' is no context token @t"),
    ({"domain": "*/*/@6"}, "--domain: position 2 names 6, the model has 0 to 5"),
    ({"domain": "*/*/6"}, "--domain: position 2 names 6, the model has 0 to 5"),
    ({"domain": "*/0-6/*"}, "--domain: position 1 names 6, the model has 0 to 5"),
    ({"domain": "3-1/*/*"}, "--domain: position 0: ranges must ascend, with a gap between them"),
    ({"domain": "1,2/*/*"}, "--domain: position 0: ranges must ascend, with a gap between them"),
    ({"domain": "2,0/*/*"}, "--domain: position 0: ranges must ascend, with a gap between them"),
    ({"domain": "@1/@2/@3"}, "--domain: every position is context"),
    ({"values": "own"}, "--values own: 1 operand, the domain has 3 (a slash stands between two)"),
    ({"values": ""}, "--values : 1 operand, the domain has 3 (a slash stands between two)"),
    (
        {"domain": "*/*/@3", "values": "0/0/0"},
        "--values 0/0/0: 3 operands, the domain has 2 (a slash stands between two)",
    ),
    ({"values": "own/own/x"}, "--values: 'x' is no number, no list of numbers, and not own"),
    ({"values": "own/own/0-5"}, "--values: '0-5' is no number, no list of numbers, and not own"),
    ({"values": "own/own/1.5"}, "--values: '1.5' is no number, no list of numbers, and not own"),
    ({"values": "own/own/-0"}, "--values: '-0' is no number, no list of numbers, and not own"),
    ({"values": "own/own/1,1,2,3,4,5"}, "--values: position 2 must be different integers"),
    ({"values": "own/own/1,2"}, "--values: position 2 has 2 numbers for 6 tokens"),
    (
        {"domain": "*/*/0,2", "values": "own/own/4"},
        "--values: position 2 is one number for several ranges: a list says what each means",
    ),
    ({"values": "own/own/2147483648"}, "--values: position 2 is beyond 2147483647"),
    ({"values": "own/1,2,3,4,5,-2147483648/0"}, "--values: position 1 is beyond 2147483647"),
    ({"outputs": "7"}, "--outputs names 7, the model has 0 to 6"),
    ({"outputs": "a"}, "--outputs: 'a' is no token, no range first-last, and not *"),
    ({"outputs": ""}, "--outputs: '' is no token, no range first-last, and not *"),
    ({"outputs": "4-2"}, "--outputs: ranges must ascend, with a gap between them"),
    ({"answers": "1,2"}, "--answers has 2 numbers for 7 outputs"),
    ({"answers": ""}, "--answers: '' is no number, no list of numbers, and not own"),
    ({"answers": "1,1", "outputs": "1-2"}, "--answers must be different integers"),
    (
        {"answers": "3", "outputs": "1,3"},
        "--answers is one number for several ranges: a list says what each means",
    ),
    ({"read": "first"}, "--read first: neither last nor all nor positions such as 0,1"),
    ({"read": ""}, "--read : neither last nor all nor positions such as 0,1"),
    ({"read": "-1"}, "--read -1: neither last nor all nor positions such as 0,1"),
    ({"read": "3"}, "--read must be ascending positions of 0 to 2"),
    ({"read": "1,0"}, "--read must be ascending positions of 0 to 2"),
    ({"read": "1,1"}, "--read must be ascending positions of 0 to 2"),
)


@pytest.mark.parametrize(("texts", "message"), BAD, ids=lambda found: str(found)[:60])
def test_bad_texts_are_one_line_that_names_the_option(texts: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput) as refusal:
        read_domain(CONFIG, **texts)
    assert str(refusal.value) == message


def test_long_texts_are_no_file_names() -> None:
    many = Config(d_vocab=1000, d_vocab_out=7, n_ctx=1, d_model=2, d_head=2)
    text = ",".join(map(str, range(0, 1000, 2)))
    assert not names_file(text)
    assert read_domain(many, text).inputs == 500
    with pytest.raises(BadInput, match="position 0: ranges must ascend"):
        read_domain(many, text + ",1")


FILE: dict[str, Any] = {
    "answers": [4, 5],
    "format": "certify.domain/1",
    "outputs": [[0, 0], [2, 2]],
    "positions": [
        {"tokens": [[0, 1]], "values": -3},
        {"context": 5},
        {"tokens": [[0, 0], [2, 3]], "values": [1, 2, 0]},
    ],
    "read": [1, 2],
}


def test_a_file_says_all(tmp_path: Path) -> None:
    path = tmp_path / "domain.json"
    path.write_text(json.dumps(FILE, indent=2))
    found = read_domain(CONFIG, str(path))
    same = read_domain(CONFIG, "0-1/@5/0,2-3", "-3/1,2,0", "0,2", "4,5", "1,2")
    assert found == same
    renamed = tmp_path / "domain"
    path.rename(renamed)
    assert read_domain(CONFIG, str(renamed)) == same
    with pytest.raises(BadInput) as refusal:
        read_domain(CONFIG, str(renamed), values="0/0", read="all")
    assert str(refusal.value) == f"--domain {renamed}: the file already says --values, --read"


def put(at: str, value: Any) -> dict[str, Any]:
    """Return the file with another value at a path."""
    whole: Any = json.loads(json.dumps(FILE))
    *path, last = [int(part) if part.isdigit() else part for part in at.split("/")]
    inner = whole
    for part in path:
        inner = inner[part]
    inner[last] = value
    return dict(whole)


BAD_FILES: tuple[tuple[object, str], ...] = (
    ([], "the fields must be answers, format, outputs, positions, read, format certify.domain/1"),
    ({}, "the fields must be"),
    (put("format", "certify.domain/2"), "the fields must be"),
    (put("more", 1), "the fields must be"),
    (put("positions", {}), "field positions must be a list"),
    (put("positions", []), "field positions has 0 items, the model has 3"),
    (put("positions", [{"context": 0}] * 3), "field positions: every position is context"),
    (put("positions/1", 5), "field positions[1] must have the keys tokens and values, or context"),
    (put("positions/1", {"context": 6}), "field positions[1] names 6, the model has 0 to 5"),
    (put("positions/1", {"context": "5"}), "field positions[1] must be a list of pairs"),
    (put("positions/1", {"context": [5]}), "field positions[1] must be a list of pairs"),
    (put("positions/0", {"tokens": [[0, 1]]}), "field positions[0] must have the keys"),
    (put("positions/0/tokens", []), "field positions[0] tokens names nothing"),
    (put("positions/0/tokens", "0-1"), "field positions[0] tokens must be a list"),
    (put("positions/0/tokens", [0, 1]), "field positions[0] tokens must be a list of pairs"),
    (put("positions/0/tokens", [[0, 1.0]]), "field positions[0] tokens must be a list of pairs"),
    (put("positions/0/tokens", [[-1, 1]]), "field positions[0] tokens: ranges must ascend"),
    (put("positions/0/tokens", [[0, 2**40]]), "field positions[0] tokens must be a list of pairs"),
    (put("positions/0/values", "mine"), 'field positions[0] values must be "own", an integer or'),
    (put("positions/0/values", True), 'field positions[0] values must be "own", an integer or'),
    (put("positions/0/values", [1]), "field positions[0] values has 1 numbers for 2 tokens"),
    (put("positions/0/values", [1, "2"]), "field positions[0] values must be different integers"),
    (put("positions/0/values", [[1], [2]]), "field positions[0] values must be different integers"),
    (put("positions/0/values", 2**31), "field positions[0] values is beyond 2147483647"),
    (put("outputs", [[0, 7]]), "field outputs names 7, the model has 0 to 6"),
    (put("answers", None), 'field answers must be "own", an integer or a list of integers'),
    (put("answers", 0), "field answers is one number for several ranges"),
    (put("read", "all"), "field read must be a list"),
    (put("read", []), "field read must name positions"),
    (put("read", [3]), "field read must be ascending positions of 0 to 2"),
    (put("read", [[1]]), "field read must be ascending positions of 0 to 2"),
)


@pytest.mark.parametrize(("value", "message"), BAD_FILES, ids=lambda found: str(found)[:50])
def test_bad_files_are_one_line_that_names_file_and_field(
    value: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "domain.json"
    path.write_text(json.dumps(value))
    with pytest.raises(BadInput) as refusal:
        read_domain(CONFIG, str(path))
    assert str(refusal.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000, b"NaN"])
def test_files_that_are_no_json(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "domain.json"
    path.write_bytes(data)
    with pytest.raises(BadInput) as refusal:
        read_domain(CONFIG, str(path))
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
    with pytest.raises(BadInput, match=r"absent\.json: no such file"):
        read_domain(CONFIG, str(tmp_path / "absent.json"))


# --- the checker reads the same ---------------------------------------------------


def require_same(found: Domain, spelled: Any, said: Asked) -> None:
    """Assert that the prover's domain is the one that the checker made of the statement."""
    assert found.tokens == spelled.tokens
    assert tuple(values or () for values in found.values) == spelled.values
    assert dict(zip(found.answers, found.outputs, strict=True)) == spelled.outputs
    assert found.read == spelled.read
    assert {part: shown(text) for part, text in found.texts.items()} == spelled.parts
    assert found.unusual == spelled.unusual
    assert list(found.operands) == spelled.operands
    assert list(found.ends()) == spelled.ends()
    assert domain_of(found.spelled, said.config, "again") == found


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_prover_and_checker_mean_the_same(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder))
    domain = said.domain()
    question = read_question(said.task, said.config, domain)
    statement = asked.checked(said, question)
    require_same(domain, statement.domain, said)
    assert statement.task.label == question.label
    assert statement.task.fields == question.fields
    assert statement.name == question.name
    inputs = said.inputs()
    assert (statement.total, domain.inputs) == (len(inputs), len(inputs))
    places = domain.places_between(0, len(inputs))
    assert places.tolist() == [list(row) for row in inputs]
    assert domain.tokens_at(places).tolist() == [
        [said.tokens[at][place] for at, place in enumerate(row)] for row in inputs
    ]
    right = [said.right(row) for row in inputs]
    assert question.right(places).tolist() == right
    assert [list(statement.right(row)) for row in inputs] == right
    # In any order, and one at a time.
    back = places[::-1]
    assert np.array_equal(question.right(back), np.array(right)[::-1])


@settings(max_examples=EXAMPLES // 2, deadline=None)
@given(data=st.data())
def test_tables_of_several_reads(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder))
    domain, inputs = said.domain(), said.inputs()
    rows = [
        [data.draw(st.sampled_from(sorted(said.output_of))) for _ in said.reads] for _ in inputs
    ]
    listed = rows if len(said.reads) > 1 else [row[0] for row in rows]
    table = {
        "answers": listed,
        "format": "certify.table/2",
        "tokens": [[[first, last] for first, last in _pairs(allowed)] for allowed in domain.tokens],
    }
    path = folder / "table.json"
    path.write_text(json.dumps(table, sort_keys=True, separators=(",", ":")) + "\n")
    question = read_question(f"table:{path}", said.config, domain)
    statement = asked.checked(said, question)
    assert (statement.task.label, statement.task.fields) == (question.label, question.fields)
    right = [[said.output_of[answer] for answer in row] for row in rows]
    assert question.right(domain.places_between(0, len(inputs))).tolist() == right
    assert [list(statement.right(row)) for row in inputs] == right


def _pairs(allowed: tuple[int, ...]) -> list[tuple[int, int]]:
    pairs = [part.split("-") for part in asked.ranges(allowed).split(",")]
    return [(int(pair[0]), int(pair[-1])) for pair in pairs]


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_prover_and_checker_refuse_the_same(folder: Path, data: st.DataObject) -> None:
    said = data.draw(asked.questions(folder))
    other = data.draw(asked.questions(folder))
    part = data.draw(st.sampled_from(["values", "outputs", "answers", "read", "task"]))
    texts = {**said.texts, **({} if part == "task" else {part: other.texts[part]})}
    task = other.task if part == "task" else said.task
    try:
        domain = read_domain(said.config, **texts)
    except BadInput:
        return
    # What the prover takes, the checker takes; what it does not, the checker declines.
    refused = None
    try:
        question = read_question(task, said.config, domain)
    except CertifyError as error:
        refused = str(error)
    if refused is None:
        asked.checked(said, question)
        return
    assert "\n" not in refused
    whole = read_question(said.task, said.config, said.domain())
    claimed = asked.document_of(said, whole) | {"domain": domain.spelled}
    if part == "task":
        claimed["task"] = read_question(other.task, other.config, other.domain()).spelled
    with pytest.raises(Refusal) as refusal:
        asked.checked_of(said, claimed)
    assert refusal.value.rule in ("SPEC-5.2", "SPEC-5.7")
