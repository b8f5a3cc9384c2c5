"""`certify ladder --task modular-addition`: every number is the checker's, every rung a row."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_addition import ADDITION, P, config, trained

from certify import families
from certify.certificate import client
from certify.command import main
from certify.ladder import climb
from certify.ladder.climb import Ladder, Proof, Row
from certify.ladder.file import DIGITS
from certify.ladder.rung import Level, Rung
from certify.model.config import Config
from certify.question.question import read_question
from certify.sums import picture as plot_addition
from certify.sums import rungs as ladder_addition
from certify.sums.family import FAMILY
from certify.sums.form import COLUMNS, FORM
from certify.sums.strategies import STRATEGIES

CONSTANT = "0x0.0p+0"
UNKNOWN = Rung("unknown", "no-such-strategy", (), "low-rank")


def run(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    ended = CliRunner().invoke(main, ["ladder", *map(str, arguments)])
    return ended.exit_code, ended.stdout, ended.stderr


def a_ladder(
    *proofs: tuple[str, int, int, Fraction | None, Fraction | None], found: Config | None = None
) -> Ladder:
    """Return a ladder of rungs of these groups with these (operations, lower, smallest margin,
    median margin).
    """
    found = found or config(CONSTANT)
    rows = [
        Row(
            Rung(f"{group} {i}", group, (), group),
            "VERIFIED",
            "",
            Proof(length, lower, P * P, 10, 1.0, 1.0, 1.0, 1, smallest, median, {"rank": 2}),
        )
        for i, (group, length, lower, smallest, median) in enumerate(proofs)
    ]
    listed = (*rows, Row(UNKNOWN, "NOT RUN", "no such strategy"))
    return Ladder("0" * 64, found, listed, read_question(ADDITION, found))


def test_every_rung_becomes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_file = trained(tmp_path / "model.safetensors", CONSTANT)
    quadrature = Rung("quadrature", "quadrature", (), "quadrature")
    some = (
        Rung("low-rank effort 1.2", "low-rank", (("effort", "1.2"),), ladder_addition.OTHER_RANKS),
        quadrature,
        Rung("low-rank effort 0.5", "low-rank", (("effort", "0.5"),), ladder_addition.OTHER_RANKS),
        UNKNOWN,
    )
    form = replace(FORM, rungs=lambda _level: (some, (ladder_addition.EXHAUSTIVE_RUNG,)))
    monkeypatch.setattr(families, "FAMILIES", (replace(FAMILY, ladder=form),))
    out, table, picture, folder = (tmp_path / name for name in ("l.json", "l.csv", "l.svg", "kept"))
    folder.mkdir()
    files = ["--out", out, "--csv", table, "--plot", picture, "--folder", folder]
    code, printed, errors = run(model_file, "--task", "modular-addition", *files)
    assert (code, errors) == (0, "")
    assert "2 of 5 rungs verified" in printed
    assert "PROVES 0  low-rank, other ranks: low-rank --effort 0.5: " in printed
    assert f"0 to {P * P}" in printed
    assert "exhaustive: exhaustive: expensive: run with --all" in printed

    whole = json.loads(out.read_text())
    assert (whole["task"], whole["modulus"], whole["total"]) == (f"{ADDITION}:{P}", P, str(P * P))
    low, switches, nothing, unknown, listed = whole["rows"]
    assert (nothing["verdict"], nothing["operations"]) == ("PROVES 0", None)
    assert (nothing["correct_lower"], nothing["correct_upper"]) == ("0", str(P * P))
    assert nothing["reason"] == "strategy low-rank proves nothing of this model"
    assert not (folder / "low-rank-effort-0.5.json").exists()
    assert (unknown["verdict"], unknown["operations"], listed["verdict"]) == (
        "NOT RUN",
        None,
        "NOT RUN",
    )
    assert (low["rank"], low["switches"]) == (7, None)
    assert switches["switches"] > 0
    for row, name in ((low, "low-rank-effort-1.2"), (switches, "quadrature")):
        file = folder / f"{name}.json"
        facts = json.loads(client.run_checker([str(model_file), str(file), "--json"]).stdout)
        assert all(row[key] == facts[key] for key in ("correct_lower", "correct_upper", "total"))
        assert (row["operations"], row["multiplications"]) == (
            facts["operations"]["total"],
            facts["operations"]["mul"],
        )
        assert row["processor_seconds"] > 0
        assert row["bytes"] == file.stat().st_size
        margins = sorted(margin for *_, margin in facts["cells"] if margin is not None)
        assert len(margins) == int(facts["correct_lower"])
        found = [row[key] and Fraction(row[key]) for key in ("smallest_margin", "median_margin")]
        due = (
            [Fraction(margin, 2**20) for margin in (margins[0], margins[len(margins) // 2])]
            if margins
            else [None, None]
        )
        for f, d in zip(found, due, strict=True):
            assert f is d or (d is not None and 0 <= d - f <= Fraction(1, 10**DIGITS))

    with table.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert tuple(lines[0]) == COLUMNS
    verdicts = ["VERIFIED", "VERIFIED", "PROVES 0", "NOT RUN", "NOT RUN"]
    assert [line["verdict"] for line in lines] == verdicts
    assert lines[0]["options"] == "--effort 1.2"
    assert (lines[1]["median_margin"], lines[2]["median_margin"]) == (switches["median_margin"], "")
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")


def test_a_rung_that_does_not_apply_is_a_row(tmp_path: Path) -> None:
    model_file = trained(tmp_path / "model.safetensors", None)
    rung, out = ladder_addition.QUICK[3], tmp_path / "c.json"
    row = climb.run_rung(model_file, ("--task", ADDITION), rung, out, 60, FORM.details)
    assert (row.verdict, row.proof) == ("DECLINED", None)
    assert "quadrature is for constant attention" in row.reason


def test_other_models_are_refused(tmp_path: Path) -> None:
    model_file = trained(tmp_path / "model.safetensors", CONSTANT)
    out = tmp_path / "l.json"
    code, _, errors = run(model_file, "--task", "max-of-k", "--out", out)
    assert (code, out.exists()) == (20, False)
    assert "supported is" in errors


@pytest.mark.parametrize(
    ("cells", "smallest", "median"),
    [
        ([], None, None),
        ([["1", "1", "1", None]], None, None),
        ([["0", "0", "0", 5]], None, None),
        ([["0", "0", "1", 4]], 4, 4),
        ([["0", "0", "1", 4], ["0", "0", "1", 8], ["0", "1", "1", None]], 4, 8),
        ([["0", "0", "1", 8], ["0", "0", "1", 2], ["0", "0", "1", 4]], 2, 4),
        ([["0", "0", "1", 8], ["0", "2", "4", 2]], 2, 2),
        ([["0", "0", "7", 8], ["0", "0", "1", 2]], 2, 8),
    ],
)
def test_margins_are_those_of_inputs_proved_right(
    cells: Sequence[Any], smallest: int | None, median: int | None
) -> None:
    assert climb._margins(cells, -1) == tuple(
        None if m is None else Fraction(m, 2) for m in (smallest, median)
    )


def test_levels() -> None:
    run_now = {level: ladder_addition.rungs(level) for level in ("quick", "default", "all")}
    assert {rung.strategy for rung in run_now["quick"][0]} == set(STRATEGIES)
    assert set(run_now["quick"][0]) < set(run_now["default"][0]) < set(run_now["all"][0])
    assert [len(listed) for _, listed in run_now.values()] == [1, 1, 0]
    assert run_now["all"][0][-1].strategy == "exhaustive"


@pytest.mark.parametrize("level", ["quick", "default", "all"])
def test_every_rung_has_a_name_of_its_own_and_a_group(level: Level) -> None:
    chosen = [rung for part in ladder_addition.rungs(level) for rung in part]
    assert len({climb.file_name(rung) for rung in chosen}) == len(chosen)
    assert (
        {rung.group for rung in chosen}
        <= set(ladder_addition.GROUPS)
        == {*plot_addition.COLOURS, "exhaustive"}
    )


SOME = a_ladder(
    ("brute-force", 1000, P * P, Fraction(3), Fraction(4)),
    ("low-rank", 300, P * P, Fraction(1), Fraction(3)),
    ("own-frequency", 200, 0, None, None),
    ("exhaustive", 10**6, P * P, Fraction(3), Fraction(3)),
)


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_the_same_ladder_gives_the_same_picture(ending: str) -> None:
    picture = plot_addition.draw(SOME, ending)
    assert picture == plot_addition.draw(SOME, ending)
    assert len(picture) > 10_000


@pytest.mark.parametrize(
    "climbed",
    [
        a_ladder(),
        a_ladder(("own-frequency", 5, 0, None, None)),
        a_ladder(("exhaustive", 5, 1, Fraction(0), Fraction(0))),
    ],
    ids=["no rung", "nothing certified", "far off only"],
)
def test_extreme_ladders_can_be_drawn(climbed: Ladder) -> None:
    assert ElementTree.fromstring(plot_addition.draw(climbed, ".svg")).tag.endswith("svg")


def test_less_effort_leaves_open_what_more_settles(tmp_path: Path) -> None:
    from certify.model.file import load_model

    model = load_model(trained(tmp_path / "model.safetensors", CONSTANT))
    question = read_question(ADDITION, model.config)
    build = STRATEGIES["low-rank"].build
    sums = [build(model, question, effort) for effort in (0.001, 0.5, 1.0, 2.0, 1000.0)]
    assert [found["settle"] for found in sums] == [0, 0, 1, 1, 1]
    ranks = [len(found["right"]["rows"]) for found in sums]
    assert ranks == [1, ranks[2] // 2, ranks[2], min(P, 2 * ranks[2]), P]
