"""`certify ladder` on a model with several heads, layer norm or an MLP: rungs of wide cells, and
nothing of published rows, which are about one head.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import networks
import pytest
from click.testing import CliRunner

from certify import families
from certify.cells.picture import asked
from certify.cells.published import references_for
from certify.command import main
from certify.model.config import Config
from certify.question.question import read_question
from certify.wide.rungs import rungs

KINDS = (
    pytest.param({"n_heads": 2, "normalization_type": "LNPre"}, marks=pytest.mark.slow),
    {"mlp": "relu"},
)


def config(**changes: Any) -> Config:
    return Config(d_vocab=64, d_vocab_out=64, n_ctx=4, d_model=32, d_head=32, **changes)


@pytest.mark.parametrize("chosen", KINDS, ids=lambda chosen: "-".join(map(str, chosen.values())))
def test_rungs_of_a_wide_model_are_around_the_truth(chosen: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rng = random.Random(str(chosen))
    model = networks.of(rng, chosen, vocab=4, outputs=4, n=3, d_model=4, spread=14)
    for name in ("embed.W_E", "unembed.W_U"):
        for t in range(4):
            model.tensors[name][t][t] += 3
    right = sum(networks.margin(model, "max-of-k", x) > 0 for x in networks.inputs(model))
    file, out, table, picture = (
        tmp_path / name for name in ("m.safetensors", "l.json", "l.csv", "l.svg")
    )
    file.write_bytes(model.bytes)
    level = "--quick" if chosen.get("mlp") else "--all"
    words = ["ladder", file, "--task", "max-of-k", level, "--out", out, "--csv", table]
    ended = CliRunner().invoke(main, [*map(str, words), "--plot", str(picture)])
    assert ended.exit_code == 0, ended.output
    whole = json.loads(out.read_text())
    rows = {row["name"]: row for row in whole["rows"] if row["verdict"] == "VERIFIED"}
    assert {"exact", "count"} <= set(rows)
    assert ("brute force" in rows) == (level == "--all")
    for row in rows.values():
        assert int(row["correct_lower"]) <= right <= int(row["correct_upper"])
    for name in {"exact", "brute force"} & set(rows):
        assert rows[name]["correct_lower"] == rows[name]["correct_upper"] == str(right)
    assert whole["heads"] == model.config["n_heads"]
    assert whole["normalization"] == model.config["normalization_type"]
    assert "published" not in whole
    assert "unexplained_dimension" not in table.read_text()
    assert "published" not in picture.read_text().replace("<!-- ", "").lower()


def test_the_model_chooses_the_ladder() -> None:
    question = read_question("max-of-k", config())
    for found, kind in (
        (config(), "cells"),
        (config(n_heads=2), "wide"),
        (config(normalization_type="LNPre", eps="0x1.0p-10"), "wide"),
        (config(n_heads=5), "cells"),  # which refuses it by name
    ):
        family, form = families.ladder_for(question, found)
        assert (family.kind, form) == (kind, family.ladder)
    assert len(families.tasks_with_ladders()) == len(set(families.tasks_with_ladders()))


def test_every_rung_is_a_strategy_of_wide_cells() -> None:
    family = next(one for one in families.FAMILIES if one.kind == "wide")
    for level in ("quick", "default", "all"):
        run, listed = rungs(level)
        assert {rung.strategy for rung in (*run, *listed)} == set(family.strategies)
        assert len({rung.name for rung in (*run, *listed)}) == len(run) + len(listed)


def test_published_rows_are_about_one_head() -> None:
    assert references_for(config())
    assert not references_for(config(n_heads=2))
    assert asked(config()) == "max-of-4, vocabulary 64"
    several = config(n_heads=2, normalization_type="LNPre", eps="0x1.0p-10")
    assert asked(several) == "max-of-4, vocabulary 64, 2 heads, LNPre"
