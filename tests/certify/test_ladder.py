"""`certify ladder`: every rung becomes a row, every number is the checker's, every file is whole or
absent.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import models
import oracle
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from certify import decimals, families
from certify.cells import picture, published, rungs
from certify.cells.family import FAMILY
from certify.cells.form import FORM, normalised
from certify.certificate import client
from certify.command import ladder as command
from certify.command import main
from certify.ladder import climb, plot
from certify.ladder.climb import Ladder, Proof, Row
from certify.ladder.file import DIGITS
from certify.ladder.rung import Level, Rung
from certify.model.config import Config
from certify.question.question import Question, read_question

CERTIFICATES = Path(__file__).parents[2] / "certificates"
CONFIG = Config(d_vocab=64, d_vocab_out=64, n_ctx=4, d_model=32, d_head=32)
UNKNOWN = Rung("unknown", "no-such-strategy", (), "cubic")
SOME = (
    Rung("exact", "exact", (), "exact"),
    Rung("count 2", "count", (("effort", "2"),), "count"),
    UNKNOWN,
)


def tiny() -> models.Model:
    return models.good_model(random.Random(3), vocab=(4, 4), k=(3, 3))


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(tiny().bytes)
    return path


def with_rungs(
    monkeypatch: pytest.MonkeyPatch, run_now: tuple[Rung, ...], listed: tuple[Rung, ...]
) -> None:
    """Let the ladder consist of these rungs."""
    form = replace(FORM, rungs=lambda _level: (run_now, listed))
    monkeypatch.setattr(families, "FAMILIES", (replace(FAMILY, ladder=form),))


def run_rung(model_file: Path, rung: Rung, out: Path, limit: float) -> Row:
    """Return the row of one rung of Max-of-K."""
    return climb.run_rung(model_file, ("--task", "max-of-k"), rung, out, limit, FORM.details)


@pytest.fixture
def _few_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    with_rungs(monkeypatch, SOME, (rungs.BRUTE_FORCE_RUNG,))


def run(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    ended = CliRunner().invoke(main, ["ladder", *map(str, arguments)])
    return ended.exit_code, ended.stdout, ended.stderr


def a_ladder(*proofs: tuple[int, int, int], total_config: Config = CONFIG) -> Ladder:
    """Return a ladder of cascades with these (operations, lower, upper)."""
    rows = [
        Row(rungs.cascade(str(i)), "VERIFIED", "", Proof(operations, lower, upper, 10, 1.0, 1.0))
        for i, (operations, lower, upper) in enumerate(proofs)
    ]
    missing = Row(UNKNOWN, "NOT RUN", "no such strategy")
    question = read_question("max-of-k", total_config)
    return Ladder("0" * 64, total_config, (*rows, missing), question)


@pytest.mark.usefixtures("_few_rungs")
def test_every_rung_becomes_a_row(model_file: Path, tmp_path: Path) -> None:
    out, table, picture, folder = (tmp_path / name for name in ("l.json", "l.csv", "l.svg", "kept"))
    folder.mkdir()
    files = ["--out", out, "--csv", table, "--plot", picture, "--folder", folder]
    code, printed, errors = run(model_file, "--task", "max-of-k", *files)
    assert (code, errors) == (0, "")
    assert "2 of 4 rungs verified" in printed
    assert "brute force: brute-force: expensive: run with --all" in printed

    whole = json.loads(out.read_text())
    model = tiny()
    truth = oracle.truth(model.tensors, model.config).correct
    exact, count, unknown, brute_force = whole["rows"]
    assert whole["total"] == "64"
    assert (exact["correct_lower"], exact["correct_upper"]) == (str(truth), str(truth))
    assert exact["normalised"] == 1.0
    assert exact["frontier"] is True
    assert int(count["correct_lower"]) <= truth <= int(count["correct_upper"])
    assert count["options"] == {"effort": "2"}
    assert (unknown["verdict"], unknown["operations"]) == ("NOT RUN", None)
    assert "'no-such-strategy' is not one of" in unknown["reason"]
    assert (brute_force["verdict"], brute_force["unexplained_dimension"]) == ("NOT RUN", 4**4)

    assert sorted(path.name for path in folder.iterdir()) == ["count-2.json", "exact.json"]
    for row, name in ((exact, "exact.json"), (count, "count-2.json")):
        facts = json.loads(
            client.run_checker([str(model_file), str(folder / name), "--json"]).stdout
        )
        assert (row["correct_lower"], row["correct_upper"]) == (
            facts["correct_lower"],
            facts["correct_upper"],
        )
        assert (row["operations"], row["bytes"]) == (
            facts["operations"]["total"],
            (folder / name).stat().st_size,
        )

    with table.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["verdict"] for line in lines] == ["VERIFIED", "VERIFIED", "NOT RUN", "NOT RUN"]
    assert lines[1]["options"] == "--effort 2"
    assert lines[1]["correct_lower"] == count["correct_lower"]
    assert lines[2]["operations"] == ""
    assert ElementTree.fromstring(picture.read_bytes()).tag.endswith("svg")


@pytest.mark.parametrize("option", ["--out", "--csv", "--plot"])
def test_no_time_is_spent_on_a_path_that_cannot_be_written(
    option: str, model_file: Path, tmp_path: Path
) -> None:
    paths = {"--out": tmp_path / "l.json", option: tmp_path / "absent" / "l.svg"}
    code, printed, errors = run(
        model_file, "--task", "max-of-k", *(part for pair in paths.items() for part in pair)
    )
    assert (code, printed) == (20, "")
    assert errors.startswith(
        f"certify: {tmp_path / 'absent' / 'l.svg'}: cannot be written: no folder "
    )
    assert not (tmp_path / "l.json").exists()


def test_the_folder_must_exist(model_file: Path, tmp_path: Path) -> None:
    code, _, errors = run(
        model_file,
        "--task",
        "max-of-k",
        "--out",
        tmp_path / "l.json",
        "--folder",
        tmp_path / "absent",
    )
    assert (code, errors) == (20, f"certify: {tmp_path / 'absent'}: no such folder\n")


def test_a_plot_without_matplotlib_is_refused_at_once(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, errors = run(
        model_file, "--task", "max-of-k", "--out", tmp_path / "l.json", "--plot", tmp_path / "l.svg"
    )
    assert (code, errors) == (
        20,
        "certify: --plot needs matplotlib: pip install matplotlib (the extra certify[plot])\n",
    )


def test_a_plot_of_another_kind_is_refused_at_once(model_file: Path, tmp_path: Path) -> None:
    code, _, errors = run(
        model_file, "--task", "max-of-k", "--out", tmp_path / "l.json", "--plot", tmp_path / "l.gif"
    )
    assert (code, errors) == (
        20,
        f"certify: {tmp_path / 'l.gif'}: a plot ends in .svg, .png, .pdf\n",
    )


def test_nothing_else_needs_matplotlib() -> None:
    code = "import sys, certify.command; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_ladder_without_a_verified_rung_fails(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_rungs(monkeypatch, (UNKNOWN,), ())
    files = ["--out", tmp_path / "l.json", "--plot", tmp_path / "l.svg"]
    code, printed, errors = run(model_file, "--task", "max-of-k", *files)
    assert (code, errors) == (20, "certify: no rung was verified\n")
    assert "0 of 1 rungs verified" in printed
    assert json.loads((tmp_path / "l.json").read_text())["rows"][0]["verdict"] == "NOT RUN"


def _answer(monkeypatch: pytest.MonkeyPatch, stdout: str, code: int) -> None:
    """Let the checker that the ladder itself runs answer this."""
    monkeypatch.setattr(
        climb, "run_checker", lambda _arguments: subprocess.CompletedProcess([], code, stdout, "")
    )


REJECTED = '{"verdict":"REJECTED","rule":"SPEC-5.6","why":"too much is claimed"}\n'
BOASTING = (
    '{"verdict":"VERIFIED","correct_lower":"64","correct_upper":"64","operations":{"total":1}}\n'
)


@pytest.mark.parametrize(
    ("stdout", "code", "verdict", "reason"),
    [
        (REJECTED, 10, "REJECTED", "the checker: SPEC-5.6: too much is claimed"),
        (
            REJECTED.replace("REJECTED", "DECLINED"),
            20,
            "DECLINED",
            "the checker: SPEC-5.6: too much is claimed",
        ),
        ("", 1, "FAILED", "the checker crashed (exit 1)"),
        (BOASTING, 1, "FAILED", "the checker crashed (exit 1)"),
        ("{}\n", 0, "FAILED", "the checker crashed (exit 0)"),
    ],
)
def test_only_the_checker_verifies(
    stdout: str,
    code: int,
    verdict: str,
    reason: str,
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _answer(monkeypatch, stdout, code)
    row = run_rung(model_file, SOME[0], tmp_path / "exact.json", 60)
    assert (row.verdict, row.reason, row.proof) == (verdict, reason, None)


def test_a_rung_that_takes_too_long_is_stopped_and_leaves_nothing(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    model_file.write_bytes((CERTIFICATES / "max-of-20-seed-0" / "model.safetensors").read_bytes())
    rung = Rung("count", "count", (), "count")
    row = run_rung(model_file, rung, tmp_path / "count.json", 3)
    assert (row.verdict, row.reason, row.proof) == ("STOPPED", "no proof within 3 s", None)
    assert not (tmp_path / "count.json").exists()
    assert list(scratch.iterdir()) == []


def test_a_rung_that_crashes_is_a_row(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        climb,
        "_run_certify",
        lambda _arguments, _limit: (1, "", "Traceback\nValueError: shapes\n"),
    )
    row = run_rung(model_file, SOME[0], tmp_path / "exact.json", 60)
    assert (row.verdict, row.reason) == ("FAILED", "ValueError: shapes")
    monkeypatch.setattr(climb, "_run_certify", lambda _arguments, _limit: (-9, "", ""))
    row = run_rung(model_file, SOME[0], tmp_path / "exact.json", 60)
    assert (row.verdict, row.reason) == ("FAILED", "exit -9, and no message")


def test_the_frontier_is_what_no_rung_beats() -> None:
    found = a_ladder(
        (10, 50, 100), (5, 40, 90), (7, 40, 90), (20, 50, 80), (30, 60, 80), (5, 30, 80)
    ).frontier()
    assert [(proof.operations, proof.lower) for _, proof in found] == [(5, 40), (10, 50), (30, 60)]


def test_the_best_bounds_are_those_proved() -> None:
    climbed = a_ladder((10, 50, 100), (5, 40, 90))
    assert (climbed.best_lower(), climbed.best_upper()) == (50, 90)
    assert normalised(climbed, climbed.proved()[0][1]) == 50 / 90
    assert (a_ladder().best_lower(), a_ladder().best_upper()) == (0, 64**4)
    nothing = a_ladder((1, 0, 0))
    assert normalised(nothing, nothing.proved()[0][1]) == 0.0


@given(st.integers(1, 10**40), st.data())
def test_decimals_never_cross_the_bound(total: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, total))
    down, up = decimals.cut(part, total, DIGITS), decimals.raised(part, total, DIGITS)
    assert Fraction(down) <= Fraction(part, total) <= Fraction(up)
    assert Fraction(up) - Fraction(down) <= Fraction(1, 10**DIGITS)


def test_all_published_configurations_have_a_rung() -> None:
    names = [name for rung in rungs.SUBCUBIC_ALL for name in rungs.published_names(rung)]
    assert len(set(names)) == len(names) == 100
    sizes = dict.fromkeys(published.GROUPS[2:], 0)
    for rung in rungs.SUBCUBIC_ALL:
        sizes[rung.group] += len(rungs.published_names(rung))
    assert list(sizes.values()) == [8, 20, 12, 30, 12, 18]


def test_quick_has_one_rung_for_each_published_row() -> None:
    run_now, listed = rungs.rungs("quick")
    groups = [rung.group for rung in (*run_now, *listed)]
    assert [groups.count(group) for group in published.GROUPS] == [1] * len(published.GROUPS)


@pytest.mark.parametrize("level", ["quick", "default", "all"])
def test_every_rung_has_a_name_of_its_own_and_a_colour(level: Level) -> None:
    chosen = [rung for part in rungs.rungs(level) for rung in part]
    assert len({rung.name for rung in chosen}) == len(chosen)
    assert len({climb.file_name(rung) for rung in chosen}) == len(chosen)
    assert {rung.group for rung in chosen} <= set(picture.COLOURS)


def test_unexplained_dimensions_are_the_published_ones() -> None:
    """Figures of the released data for k = 4, vocabulary 64, width 32."""
    dimension = rungs.unexplained_dimension
    assert dimension(rungs.BRUTE_FORCE_RUNG, CONFIG) == 2**30
    assert dimension(Rung("cubic", "cubic", (), "cubic"), CONFIG) == 12_800
    assert dimension(Rung("exact", "exact", (), "exact"), CONFIG) == 12_800
    assert dimension(rungs.cascade("1", "rank-3"), CONFIG) == 12_800 - 64**2 + 4 * 128
    ranges = {}
    for group in published.GROUPS[2:]:
        found = [dimension(rung, CONFIG) for rung in rungs.SUBCUBIC_ALL if rung.group == group]
        ranges[group] = (min(found), max(found))
    assert list(ranges.values()) == [
        (4_418, 8_384),
        (4_290, 4_544),
        (6_466, 10_370),
        (6_338, 6_530),
        (4_354, 4_544),
        (6_402, 6_530),
    ]


def test_published_rows_are_known_for_published_sizes() -> None:
    assert list(published.references(4, 64)) == list(published.GROUPS)
    assert published.references(4, 65) == {}
    assert published.references(4, 64)["cubic"].accuracy == 0.9539 * 0.9992


@pytest.mark.parametrize("ending", plot.FORMATS)
def test_the_same_ladder_gives_the_same_picture(ending: str) -> None:
    climbed = a_ladder(
        (1_700_000, 64**4 - 7000, 64**4 - 6000), (5_000_000, 64**4 - 6000, 64**4 - 6000)
    )
    drawn = picture.draw(climbed, ending)
    assert drawn == picture.draw(climbed, ending)
    assert len(drawn) > 10_000


@pytest.mark.parametrize(
    "climbed",
    [
        a_ladder(),
        a_ladder((5, 0, 0)),
        a_ladder((5, 64**4, 64**4)),
        a_ladder((5, 7**3, 7**3), total_config=Config(7, 7, 3, 2, 2)),
        a_ladder((10**9, 5**20 - 1, 5**20), total_config=Config(5, 5, 20, 2, 2)),
    ],
    ids=["no rung", "all wrong", "all right", "unpublished size", "long input"],
)
def test_extreme_ladders_can_be_drawn(climbed: Ladder) -> None:
    assert ElementTree.fromstring(picture.draw(climbed, ".svg")).tag.endswith("svg")


def test_prove_prints_json(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "certificate.json"
    arguments = ["prove", str(model_file), "--task", "max-of-k", "--out", str(out), "--json"]
    facts = json.loads(CliRunner().invoke(main, arguments).stdout)
    statement = json.loads(out.read_text())["statement"]
    assert {key: facts[key] for key in ("correct_lower", "correct_upper", "total")} == {
        key: statement[key] for key in ("correct_lower", "correct_upper", "total")
    }
    assert facts["bytes"] == out.stat().st_size
    assert facts["prover_seconds"] >= 0 < facts["checker_seconds"]


@pytest.mark.parametrize(
    ("options", "level", "limit"),
    [
        ((), "default", 600),
        (("--quick",), "quick", 120),
        (("--all",), "all", 7200),
        (("--quick", "--time-limit", 7), "quick", 7),
    ],
)
def test_levels(
    options: tuple[object, ...],
    level: str,
    limit: float,
    model_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def climb(
        _model: object,
        question: Question,
        words: Sequence[str],
        run: object,
        listed: object,
        limit: float,
        *_rest: object,
    ) -> Ladder:
        assert (question.label, list(words)) == ("max-of-k", ["--task", "max-of-k"])
        asked.extend([run, listed, limit])
        return a_ladder((1, 2, 3))

    monkeypatch.setattr(command, "climb", climb)
    assert run(model_file, "--task", "max-of-k", "--out", tmp_path / "l.json", *options)[0] == 0
    assert asked == [*rungs.rungs(level), limit]  # type: ignore[arg-type]
