"""Commands about domains as a user runs them: what is printed, what is required of a certificate,
and every mistake as one line with its exit code.
"""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from click.testing import CliRunner

import certify
from certify.api import as_verdicts_spell
from certify.command import main
from certify.model.config import Config
from certify.model.file import save_model

CONTEXT = ("--domain", "0-2/0-2/@3")


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines of standard output, and standard error."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert ended.exception is None or isinstance(ended.exception, SystemExit)
    return ended.exit_code, ended.stdout.splitlines(), ended.stderr


def require_line(ended: tuple[int, list[str], str], code: int, message: str) -> None:
    """Assert an exit code, nothing on standard output, and one line on standard error."""
    assert ended[:2] == (code, [])
    assert ended[2].count("\n") == 1
    assert ended[2].startswith("certify: ")
    assert message in ended[2]


def adder(folder: Path, wrong: int = 0) -> Path:
    """Write a model of two operands and `=` that adds them modulo 3; ``wrong``: but for a sum of 1.

    Constant attention counts the operands of each value.  A unit of the MLP for each pair (a, b)
    is 1 where both are there.  It is for (a, a) too where the count of a is 2, so that the units of
    equal operands have a larger weight.
    """
    config = Config(
        d_vocab=4,
        d_vocab_out=4,
        n_ctx=3,
        d_model=6,
        d_head=6,
        attn_only=False,
        act_fn="relu",
        d_mlp=9,
        attention_mix=(0.0).hex(),
    )
    eye = np.eye(6, dtype=np.float32)
    embed, place = np.zeros((4, 6)), np.zeros((3, 6))
    embed[:3, :3] = np.eye(3)
    w_in, w_out = np.zeros((6, 9)), np.zeros((9, 6))
    b_in = np.zeros(9)
    for a in range(3):
        for b in range(3):
            unit = 3 * a + b
            if a == b:
                w_in[a, unit], b_in[unit] = 1.0, -1.0
            else:
                w_in[a, unit] = w_in[b, unit] = 1.0
                b_in[unit] = -1.0
            w_out[unit, 3 + (a + b) % 3] = 1.0 if a != b else 9.0
    unembed = np.zeros((6, 4))
    for answer in range(3):
        unembed[3 + answer, answer] = 1.0
    if wrong:
        unembed[4, 0] = 2.0
    tensors: dict[str, Any] = {
        "embed.W_E": embed,
        "pos_embed.W_pos": place,
        "blocks.0.attn.W_Q": np.zeros((1, 6, 6)),
        "blocks.0.attn.W_K": np.zeros((1, 6, 6)),
        "blocks.0.attn.W_V": eye[None],
        "blocks.0.attn.W_O": eye[None],
        "blocks.0.mlp.W_in": w_in,
        "blocks.0.mlp.b_in": b_in,
        "blocks.0.mlp.W_out": w_out,
        "unembed.W_U": unembed,
    }
    path = folder / ("wrong.safetensors" if wrong else "adder.safetensors")
    save_model(path, {name: x.astype(np.float32) for name, x in tensors.items()}, config)
    return path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adder(tmp_path_factory.mktemp("adder"))


@pytest.fixture(scope="module")
def proved(model_file: Path) -> tuple[Path, list[str]]:
    """Return a certificate about the adder, and what was printed."""
    out = model_file.parent / "proved.json"
    arguments = ("--task", "modular-addition", *CONTEXT, "--strategy", "exhaustive", "--out", out)
    code, lines, errors = run("prove", model_file, *arguments)
    assert code == 0
    assert errors == "taken as --task modular-addition:3\n"
    return out, lines


def test_modular_addition_without_a_modulus_says_what_it_took_and_writes_it(
    proved: tuple[Path, list[str]],
) -> None:
    out, lines = proved
    assert lines[-1].startswith(
        "s VERIFIED task=modular-addition modulus=3 domain=0-2/0-2/@3 scope=uniform"
        " semantics=real total=9 correct_lower=9 correct_upper=9 "
    )
    assert json.loads(out.read_text())["statement"]["task"] == {"modular-addition": 3}


def test_evaluate_says_the_domain_in_words(model_file: Path) -> None:
    arguments = ("evaluate", model_file, "--task", "modular-addition:3", *CONTEXT)
    code, lines, errors = run(*arguments)
    assert (code, errors) == (0, "")
    told = dict(line.split(":", 1) for line in lines)
    assert told["task"].strip() == "modular-addition, modulus 3, scope uniform"
    assert told["domain"].strip() == "for all a, b in 0..2 in the context a b 3"
    assert told["inputs"].strip() == "9, every one evaluated"
    assert told["accuracy"].split()[0] == "1.0000000000"
    assert "near chance" not in told
    facts = json.loads(run(*arguments, "--json")[1][0])
    assert (facts["domain"], facts["modulus"], facts["inputs"]) == ("0-2/0-2/@3", 3, 9)


def test_evaluate_says_where_a_model_is_near_chance(model_file: Path) -> None:
    # Values from 1: what the model answers is always two less.
    arguments = ("evaluate", model_file, "--task", "modular-addition:3", *CONTEXT)
    code, lines, _ = run(*arguments, "--values", "1/1")
    assert code == 0
    assert lines[-1].startswith("near chance: was the model read as it was trained?")
    assert all(f"--{part}" in lines[-1] for part in ("domain", "values", "answers", "read"))
    facts = json.loads(run(*arguments, "--values", "1/1", "--json")[1][0])
    assert (facts["correct"], facts["values"]) == ("0", "1/1")


@pytest.mark.parametrize(
    "asked",
    [
        ("--domain", "0-2/0-2/@3"),
        ("--domain", "0-2/0-2/@3", "--task", "modular-addition"),
        ("--domain", "0-2/0-2/@3", "--at-least", "1/1", "--task", "modular-addition:3"),
        ("--values", "own/own"),
        ("--outputs", "*", "--answers", "own", "--read", "last"),
        ("--outputs", "0-3", "--read", "2"),
        ("--values", "own/own", "--domain", "0-2/0-2/@3", "--outputs", "0-3"),
    ],
    ids=" ".join,
)
def test_verify_takes_every_spelling_of_the_same(
    asked: tuple[str, ...], model_file: Path, proved: tuple[Path, list[str]]
) -> None:
    code, lines, errors = run("verify", model_file, proved[0], *asked)
    assert (code, errors) == (0, "")
    assert lines[-1] == proved[1][-1]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("--domain", "0-1/0-2/@3"), "the domain is 0-2/0-2/@3, not the one required"),
        (("--domain", "0-2/0-2/3"), "the domain is 0-2/0-2/@3, not the one required"),
        (("--domain", "*/*/*"), "the domain is 0-2/0-2/@3, not the one required"),
        (("--values", "-1/-1"), "the values is own/own, not the one required"),
        (("--outputs", "0-2"), "the outputs is *, not the one required"),
        (("--answers", "-1"), "the answers is own, not the one required"),
        (("--read", "0"), "the read is last, not the one required"),
        (("--read", "all"), "the read is last, not the one required"),
        (("--at-least", "1/2"), "the domain is 0-2/0-2/@3, not the one required"),
        (("--task", "modular-addition:4"), "the task is modular-addition:3, not the one required"),
        (("--task", "polynomial:3:b+a"), "the task is modular-addition:3, not the one required"),
    ],
    ids=lambda found: " ".join(found) if isinstance(found, tuple) else "",
)
def test_verify_rejects_what_is_not_asked_for(
    asked: tuple[str, ...], why: str, model_file: Path, proved: tuple[Path, list[str]]
) -> None:
    code, lines, _ = run("verify", model_file, proved[0], *asked)
    assert code == 10
    assert lines[-1] == f"s REJECTED SPEC-9.3: {why}"


def test_the_whole_domain_has_one_spelling(tmp_path: Path) -> None:
    model = networks.of(random.Random("whole"), {}, vocab=3, n=2, outputs=3)
    path, out = tmp_path / "model.safetensors", tmp_path / "out.json"
    path.write_bytes(model.bytes)
    asked = ("--domain", "0-2/*", "--outputs", "0-2", "--values", "own/own", "--read", "1")
    code, lines, errors = run("prove", path, "--task", "max-of-k", *asked, "--out", out)
    assert (code, errors) == (0, "")
    # It is the usual domain: cells prove it, and the verdict does not name it.
    assert "domain=" not in lines[-1]
    assert "cells" in json.loads(out.read_text())["proof"]
    for same in (asked, ("--domain", "*/*"), ("--domain", "*/0-2", "--read", "last"), ()):
        assert run("verify", path, out, *same)[1][-1] == lines[-1]
    ended = run("prove", path, "--task", "max-of-k", "--domain", "0-1/*", "--strategy", "exact",
                "--out", out)  # fmt: skip
    require_line(ended, 20, "proofs of cells need the same tokens and values at all operands")


def test_show_says_the_domain_in_words(proved: tuple[Path, list[str]]) -> None:
    code, lines, errors = run("show", proved[0])
    assert (code, errors) == (0, "")
    assert "task        modular-addition:3, scope uniform, semantics real" in lines
    assert "domain      for all a, b in 0..2 in the context a b 3" in lines


def test_wrong_inputs_are_listed_by_tokens(tmp_path: Path) -> None:
    path, out = adder(tmp_path, wrong=1), tmp_path / "out.json"
    code, lines, _ = run("prove", path, "--task", "modular-addition:3", *CONTEXT,
                         "--strategy", "exhaustive", "--out", out)  # fmt: skip
    assert code == 0
    assert "correct_lower=6 correct_upper=6 " in lines[-1]
    code, lines, _ = run("show", out, "--wrong")
    assert (code, lines) == (0, ["0 1 3", "1 0 3", "2 2 3"])


def test_a_file_asks_for_all_parts(
    model_file: Path, proved: tuple[Path, list[str]], tmp_path: Path
) -> None:
    said = json.loads(proved[0].read_text())["statement"]["domain"]
    path = tmp_path / "domain.json"
    path.write_text(json.dumps({**said, "format": "certify.domain/1"}))
    assert run("verify", model_file, proved[0], "--domain", path)[1][-1] == proved[1][-1]
    asked = ("--domain", path, "--task", "modular-addition", "--at-least", "9/9")
    assert run("verify", model_file, proved[0], *asked)[0] == 0
    said["positions"][0]["values"] = 0
    path.write_text(json.dumps({**said, "format": "certify.domain/1"}))
    code, lines, _ = run("verify", model_file, proved[0], "--domain", path)
    assert (code, lines[-1]) == (
        10,
        "s REJECTED SPEC-9.3: the values is own/own, not the one required",
    )
    ended = run("verify", model_file, proved[0], "--domain", path, "--read", "last")
    require_line(ended, 20, f"--domain {path}: the file already says --read")


def test_negative_values_are_proved_and_verified(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    asked = ("--task", "modular-addition:3", *CONTEXT, "--values", "-3/0,-2,-1")
    code, lines, _ = run("prove", model_file, *asked, "--strategy", "exhaustive", "--out", out)
    assert code == 0
    assert " values=-3/0,-2,-1 " in lines[-1]
    assert "correct_lower=9 " in lines[-1]
    assert run("verify", model_file, out, *asked, "--at-least", "1/1")[0] == 0
    assert run("verify", model_file, out, "--values", "-3/0,-2,-1")[0] == 0
    code, lines, _ = run("verify", model_file, out, "--task", "modular-addition:3", *CONTEXT,
                         "--at-least", "1/1")  # fmt: skip
    assert code == 10
    assert "the values is -3/0,-2,-1, not the one required" in lines[-1]
    assert "where tokens stand for -3/0,-2,-1" in "\n".join(run("show", out)[1])
    verdict = certify.verify(
        model_file, out, domain="0-2/0-2/@3", values="-3/0,-2,-1", task="modular-addition:3"
    )
    assert verdict.correct_lower == 9


def test_a_polynomial_is_asked_for_in_any_spelling(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    task = ("--task", "polynomial:3:b + 4*a - 3")
    code, lines, errors = run("prove", model_file, *task, *CONTEXT, "--out", out)
    assert (code, errors) == (0, "")
    assert lines[-1].startswith("s VERIFIED task=polynomial modulus=3 of=a+b domain=0-2/0-2/@3 ")
    for spelled in ("polynomial:3:a+b", "polynomial:3:b+a", "polynomial:3:-2*a-2*b"):
        assert run("verify", model_file, out, "--task", spelled)[0] == 0
    assert run("verify", model_file, out, "--task", "polynomial:3:a+2*b")[0] == 10
    require_line(run("verify", model_file, out, "--task", "polynomial:3:a/b"), 20, "is no number")


def test_answers_become_a_group(model_file: Path, tmp_path: Path) -> None:
    elements, table, out = (tmp_path / name for name in ("e.json", "t.json", "out.json"))
    code, lines, errors = run("table", model_file, *CONTEXT, "--as-group", elements, "--out", table)
    assert (code, errors) == (0, "")
    assert lines[:2] == [
        f"wrote {elements}: 3 elements of the group cyclic:3, in the model's order",
        f"ask for it with --task group:cyclic:3@{elements}",
    ]
    task = lines[1].removeprefix("ask for it with --task ")
    code, lines, _ = run("prove", model_file, "--task", task, *CONTEXT, "--out", out)
    assert code == 0
    assert lines[-1].startswith("s VERIFIED task=group group=cyclic:3 order=3 elements=sha256:")
    assert "correct_lower=9 " in lines[-1]
    for spelled, code in ((task, 0), ("group:cyclic:3", 10), (f"group:{elements}", 10)):
        assert run("verify", model_file, out, "--task", spelled)[0] == code
    asked = ("--at-least", "1/1", *CONTEXT)
    assert run("verify", model_file, out, *asked)[0] == 10
    assert run("verify", model_file, out, *asked, "--task", task)[0] == 0
    code, lines, _ = run("prove", model_file, "--task", f"table:{table}", *CONTEXT, "--out", out)
    assert code == 0
    assert " table=sha256:" in lines[-1]
    assert "correct_lower=9 " in lines[-1]
    require_line(
        run("prove", model_file, "--task", f"table:{table}", "--out", out),
        20,
        f"{table}: field tokens is not the domain that is asked about (--domain)",
    )
    assert run("table", model_file, *CONTEXT)[0] == 2
    wrong = adder(tmp_path, wrong=1)
    ended = run("table", wrong, *CONTEXT, "--as-group", tmp_path / "no.json")
    require_line(ended, 20, "the answers are no group: a product occurs twice in a row or a col")
    assert not (tmp_path / "no.json").exists()


def test_an_output_that_stands_for_nothing_is_no_answer_of_a_table(
    model_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.json"
    ended = run("table", model_file, *CONTEXT, "--outputs", "0-1", "--out", out)
    require_line(ended, 20, "the model answers the input [0, 2, 3] by output 2, which stands for")
    assert not out.exists()


def test_a_ladder_is_about_a_domain_its_proofs_are_about(tmp_path: Path) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "l.json"
    path.write_bytes(networks.of(random.Random(1), {}, vocab=3, n=3, outputs=3).bytes)
    ended = run("ladder", path, "--task", "max-of-k", "--domain", "0-1/*/*", "--out", out)
    require_line(ended, 20, "proofs of cells need the same tokens and values at all operands")
    assert not out.exists()
    ended = run("ladder", path, "--task", "argmax", "--out", out)
    assert ended[0] == 2
    assert "'argmax' has no ladder, max-of-k" in ended[2]


def test_older_certificates_are_one_line(
    model_file: Path, proved: tuple[Path, list[str]], tmp_path: Path
) -> None:
    old = json.loads(proved[0].read_text())
    old["format"] = "certify.certificate/1"
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old, sort_keys=True, separators=(",", ":")) + "\n")
    require_line(
        run("show", path),
        20,
        "field format is 'certify.certificate/1', not 'certify.certificate/2'",
    )
    code, lines, errors = run("verify", model_file, path)
    assert (code, errors) == (20, "")
    assert len(lines) == 1
    assert lines[0].startswith("s DECLINED SPEC-")


MISTAKES: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("--task", "modular-addition"), 20, "needs 2 operands, not 3 (n_ctx = 3: mark context"),
    (("--task", "modular-addition", "--domain", "0-2/0-2/3"), 20, "needs 2 operands, not 3"),
    (("--task", "max-of-k", "--domain", "*/*"), 20, "--domain */*: 2 positions, the model has 3"),
    (("--task", "max-of-k", "--domain", "*/*/4"), 20, "--domain: position 2 names 4, the model"),
    (("--task", "max-of-k", "--domain", "*,*,*"), 20, "--domain *,*,*: 1 position, the model"),
    (("--task", "max-of-k", "--domain", "absent.json"), 20, "absent.json: no such file"),
    (("--task", "max-of-k", "--values", "0"), 20, "--values 0: 1 operand, the domain has 3"),
    (("--task", "max-of-k", "--answers", "a"), 20, "--answers: 'a' is no number"),
    (("--task", "max-of-k", "--outputs", "9"), 20, "--outputs names 9, the model has 0 to 3"),
    (("--task", "max-of-k", "--read", "0,0"), 20, "--read must be ascending positions of 0 to 2"),
    (("--task", "modular-addition:3", *CONTEXT, "--outputs", "0-1"), 20, "stands for the answer 2"),
    (("--task", "modular-addition:x", *CONTEXT), 20, "the modulus 'x' is no integer from 2"),
    (("--task", "polynomial:3", *CONTEXT), 20, "it is polynomial:P:EXPR"),
    (("--task", "polynomial:3:a/b", *CONTEXT), 20, "write a division as a power"),
    (("--task", "group:cyclic:4", *CONTEXT, "--outputs", "0-2"), 20, "stands for the answer 3"),
    (("--task", "group:klein", *CONTEXT), 20, "klein: no such file"),
    (("--task", "balanced-brackets"), 20, "a token stands for 2 (see --domain and --values)"),
    (("--task", "table:absent.json"), 20, "absent.json: no such file"),
)


@pytest.mark.parametrize("command", ["evaluate", "prove"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"), MISTAKES, ids=lambda found: str(found)[:60]
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    command: str,
    model_file: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.json"
    more = ("--out", out) if command == "prove" else ()
    require_line(run(command, model_file, *arguments, *more), code, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--domain", "*/*"), "--domain */*: 2 positions, the model has 3"),
        (("--domain", "*/*/@9"), "--domain: position 2 names 9, the model has 0 to 3"),
        (("--outputs", "x"), "--outputs: 'x' is no token"),
        (("--read", "5"), "--read must be ascending positions of 0 to 2"),
        (("--task", "modular-addition:1"), "the modulus '1' is no integer from 2"),
        (("--values", "x"), "--values: 'x' is no number, no list of numbers, and not own"),
        (("--answers", "1-3"), "--answers: '1-3' is no number, no list of numbers, and not own"),
    ],
    ids=lambda found: " ".join(found) if isinstance(found, tuple) else "",
)
def test_mistakes_in_what_verify_is_to_require(
    arguments: tuple[str, ...],
    message: str,
    model_file: Path,
    proved: tuple[Path, list[str]],
) -> None:
    require_line(run("verify", model_file, proved[0], *arguments), 20, message)


def test_long_parts_are_required_by_text_or_by_hash() -> None:
    config = Config(d_vocab=1000, d_vocab_out=1000, n_ctx=2, d_model=2, d_head=2)
    text = ",".join(map(str, range(0, 1000, 2))) + "/*"
    hashed = f"sha256:{sha256(text.encode()).hexdigest()}"
    values = "/".join([",".join(map(str, range(0, -500, -1))), "own"])
    assert as_verdicts_spell(config, {"domain": text}) == {"domain": hashed}
    assert as_verdicts_spell(config, {"domain": hashed}) == {"domain": hashed}
    found = as_verdicts_spell(config, {"domain": text, "values": values, "answers": "-5"})
    spelled = f"sha256:{sha256(values.encode()).hexdigest()}"
    assert found == {"domain": hashed, "values": spelled, "answers": "-5"}
    assert as_verdicts_spell(config, {"values": spelled, "read": "1"}) == {
        "values": spelled,
        "read": "last",
    }


def test_unknown_tasks_are_wrong_usage(model_file: Path, proved: tuple[Path, list[str]]) -> None:
    for task in ("sorting", "table:", "group:", "max-of-k:3", "polynomial", "modular-addition:"):
        for arguments in (("evaluate", model_file), ("verify", model_file, proved[0])):
            code, lines, errors = run(*arguments, "--task", task)
            assert (code, lines) == (2, [])
            assert f"Invalid value for '--task': '{task}' is none of max-of-k," in errors
