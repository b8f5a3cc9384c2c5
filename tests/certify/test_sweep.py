"""Sweeps: what a file asks for, that nothing is lost or run twice, and that nobody is believed."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_models import random_tensors
from waiting import wait_until

import certify
from certify.command.group import main
from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.config import Config
from certify.model.file import save_model
from certify.sweep import run as running
from certify.sweep.engine import LocalEngine, Settle
from certify.sweep.plan import read_plan
from certify.sweep.results import Sweep
from certify.sweep.run import run_sweep
from certify.sweep.store import Store
from certify.sweep.work import Outcome, Work, run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=2, d_head=2)
PLAIN = """
task = "argmax"
[[models]]
files = ["*.safetensors"]
[[strategies]]
name = "exhaustive"
"""
MAXIMA = PLAIN.replace("argmax", "max-of-k")


def write(folder: Path, text: str, seeds: range = range(1, 2)) -> Path:
    """Return the file of a sweep, with small models beside it."""
    for seed in seeds:
        save_model(folder / f"{seed}.safetensors", random_tensors(CONFIG, seed=seed), CONFIG)
    file = folder / "sweep.toml"
    file.write_text(text)
    return file


def results(folder: Path) -> dict[str, Any]:
    """Return what a sweep wrote."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def kept(folder: Path) -> dict[str, tuple[int, int]]:
    """Return for each record of a folder the file that it is and when it was written."""
    found = {}
    for path in (folder / "jobs").glob("*.json"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("task = ", "not TOML: "),
        ('tusk = "argmax"\n' + PLAIN, "tusk is not known here, known are task, domain, "),
        (
            PLAIN + "efort = 2",
            "strategies[0].efort is not known here, known are ladder, only, name, ",
        ),
        (PLAIN + 'effort = "much"', "strategies[0].effort must be a positive number or a list"),
        (PLAIN + "effort = [1, -1]", "strategies[0].effort must be a positive number or a list"),
        (PLAIN + "effort = true", "strategies[0].effort must be a positive number or a list"),
        (PLAIN + "budget = 0", "strategies[0].budget must be a whole number of at least 1"),
        (PLAIN + 'qk = "rank"', "strategies[0].qk is none of "),
        (PLAIN.replace("exhaustive", "hope"), "strategies[0].name has 'hope', not one of "),
        (PLAIN.replace("argmax", "luck"), "task is 'luck', which is none of "),
        (PLAIN.replace("*.safe", "9.safe"), "models[0].files finds nothing: 9.safetensors"),
        (PLAIN.replace("files", "file"), "models[0].files must be a text or a list of texts"),
        (PLAIN.replace('task = "argmax"', ""), "models[0].task is missing, here and at the top"),
        (PLAIN.replace("[[models]]", "[models]"), "models must be a list of tables"),
        ('semantics = "float16"\n' + PLAIN, "semantics has 'float16', not one of real, float32"),
        (PLAIN + "[options]\ntime-limit = 0", "options.time-limit must be a positive number"),
        (PLAIN + '[options]\nchecked-by = "nobody"', "options.checked-by is 'nobody', not one of"),
        (PLAIN + '[options]\neps-exp = "0.1"', "options.eps-exp must be a fraction P/Q"),
        (PLAIN + '[options]\neps-exp = "1/2"', "options.eps-exp or eta-exp is out of range: "),
        ('files = "../x.json"\n' + PLAIN, "files has '../x.json', which must be a name without"),
        ('files = "work.json"\n' + PLAIN, "files has 'work.json', which must be a name without"),
        (PLAIN.partition("[[strat")[0], "nothing to prove: there is no [[strategies]]"),
        ('task = "argmax"\n[[strategies]]\nname = "exact"', "no model: there is neither"),
        (PLAIN + "[[train]]\nseeds = [1]", "train[0].task is missing"),
        (PLAIN + '[[train]]\ntask = "chess"', "train[0].task is 'chess', models can be trained on"),
        (PLAIN + '[[train]]\ntask = "max-of-k"', "train[0].options.k is missing: Length"),
        (PLAIN + '[[train]]\ntask = "max-of-k"\noptions = {k = 0}', "train[0].options.k is 0, "),
        (
            PLAIN + '[[train]]\ntask = "max-of-k"\noptions = {k = 2, width = 1}',
            "train[0].options.w",
        ),
        (
            PLAIN + '[[train]]\ntask = "max-of-k"\noptions = {k = 2}\nseeds = [1, 1]',
            "train[0].seeds must be different whole numbers",
        ),
        (
            PLAIN + '[[train]]\ntask = "max-of-k"\noptions = {k = 2}\nseeds = {from = 1}',
            "train[0].seeds.count is missing",
        ),
        (PLAIN + '[[strategies]]\nladder = "long"', "strategies[1].ladder is 'long', not one of"),
    ],
)
def test_a_file_that_is_not_one_is_refused_by_a_line(tmp_path: Path, text: str, line: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(BadInput) as refusal:
        read_plan(file)
    assert str(refusal.value).startswith(f"{file}: {line}")
    assert "\n" not in str(refusal.value)


def test_a_ladder_that_a_task_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="task argmax has no ladder"):
        read_plan(write(tmp_path, PLAIN + '[[strategies]]\nladder = "quick"'))


def test_a_rung_that_is_left_out_must_be_one(tmp_path: Path) -> None:
    text = MAXIMA + '[[strategies]]\nladder = "quick"\nleave-out = ["exact", "cubicle"]\n'
    file = write(tmp_path, text)
    with pytest.raises(BadInput) as refusal:
        read_plan(file)
    told = f"{file}: strategies[1].leave-out has 'cubicle', which is no rung"
    assert str(refusal.value) == told
    file.write_text(text.replace(', "cubicle"', ""))
    plan = read_plan(file)
    labels = [proof.label for proof, _ in plan.proofs(plan.models[0])]
    assert "count" in labels
    assert "exact" not in labels


def test_a_plan_multiplies_out(tmp_path: Path) -> None:
    text = """
    task = "argmax"
    semantics = ["real", "float32:any-order"]
    [options]
    effort = 2
    [[models]]
    files = "*.safetensors"
    task = "max-of-k"
    [[train]]
    task = "max-of-k"
    prove = "max-of-k"
    options = { k = 2 }
    seeds = { from = 3, count = 4 }
    [[strategies]]
    name = ["exact", "count"]
    [[strategies]]
    name = "cascade"
    effort = [1, 0.5]
    label = "short"
    [[strategies]]
    ladder = "quick"
    only = ["1*", "* seed=3"]
    """
    plan = read_plan(write(tmp_path, text, range(2)))
    assert [one.name for one in plan.models] == ["0.safetensors", "1.safetensors"]
    assert [one.options["seed"] for one in plan.trainings] == [3, 4, 5, 6]
    assert plan.models[0].asked.task == "max-of-k"
    proofs = [(proof.label, proof.options) for proof, _ in plan.proofs(plan.models[0])]
    assert proofs[::2][:4] == [
        ("exact", {}),
        ("count effort=2.0", {"effort": 2.0}),
        ("short", {"effort": 1.0}),
        ("short", {"effort": 0.5}),
    ]
    quick = "sub-cubic max_diff_subproduct / max_diff_exact"
    assert quick not in [label for label, _ in proofs]
    assert quick in [proof.label for proof, _ in plan.proofs(plan.models[1])]
    more = len(list(plan.proofs(plan.trainings[0]))) - len(proofs)
    assert more == 2 * 11
    assert plan.size() == 4 + 6 * len(proofs) + 2 * more


def test_a_sweep_proves_checks_and_keeps_everything(tmp_path: Path) -> None:
    text = MAXIMA.replace("exhaustive", "exact")
    text = text.replace("[[models]]", 'semantics = ["real", "float32:any-order"]\n[[models]]')
    file, out = write(tmp_path, text, range(1, 3)), tmp_path / "out"
    save_model(tmp_path / "again.safetensors", random_tensors(CONFIG, seed=1), CONFIG)
    steps: list[tuple[int, int, str]] = []
    found = run_sweep(file, out=out, jobs=2, progress=lambda *step: steps.append(step))
    assert found.complete
    assert found.counts() == {"VERIFIED": 4}
    assert steps[-1][0] == steps[-1][1] == 6  # three files, two of which are the same model
    whole = results(out)
    assert [row["key"] for row in whole["rows"]] == sorted(row["key"] for row in whole["rows"])
    assert ["1.safetensors", "again.safetensors"] in [row["names"] for row in whole["rows"]]
    for row in whole["rows"]:
        if row["verdict"] == "VERIFIED":
            certificate = out / "certificates" / f"{row['certificate']}.json"
            model = out / "models" / f"{row['model']}.safetensors"
            verdict = certify.verify(model, certificate, semantics=row["semantics"])
            assert verdict.report.splitlines()[-1] == row["line"]
            assert row["checked-by"] == "parent"
            assert str(verdict.correct_lower) == row["correct_lower"]
    table = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [row["key"] for row in table] == [row["key"] for row in whole["rows"]]
    assert "seconds" not in (out / "results.json").read_text()
    assert set(json.loads((out / "timing.json").read_text())) == {row["key"] for row in table}
    assert list((out / "running").iterdir()) == []
    before, records = (out / "results.json").read_bytes(), kept(out)
    run_sweep(file, out=out)
    assert (out / "results.json").read_bytes() == before
    assert kept(out) == records


def test_only_what_is_new_runs(tmp_path: Path) -> None:
    file, out = write(tmp_path, PLAIN), tmp_path / "out"
    run_sweep(file, out=out)
    records = kept(out)
    save_model(tmp_path / "2.safetensors", random_tensors(CONFIG, seed=2), CONFIG)
    assert len(run_sweep(file, out=out).rows) == 2
    assert len(kept(out)) == 2
    assert records.items() <= kept(out).items()


def test_a_certificate_that_is_gone_is_made_again(tmp_path: Path) -> None:
    file, out = write(tmp_path, PLAIN), tmp_path / "out"
    run_sweep(file, out=out)
    before = (out / "results.json").read_bytes()
    (gone,) = (out / "certificates").iterdir()
    gone.unlink()
    run_sweep(file, out=out)
    assert gone.is_file()
    assert (out / "results.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"verdict": "VERIFIED"}'])
def test_a_record_that_is_none_is_a_line(tmp_path: Path, text: str) -> None:
    file, out = write(tmp_path, PLAIN + "[options]\ntime-limit = 0.01\n"), tmp_path / "out"
    run_sweep(file, out=out)
    (record,) = (out / "jobs").iterdir()
    record.write_text(text)
    with pytest.raises(BadInput, match="not a record of a sweep: "):
        run_sweep(file, out=out)


def test_files_that_texts_name_are_sent_along(tmp_path: Path) -> None:
    weights = '{"format":"certify.scope/1","weights":[["1","2","3"],["1","0","1"]]}\n'
    (tmp_path / "weights.json").write_text(weights)
    text = 'scope = "product:weights.json"\nfiles = "weights.json"\n' + PLAIN
    (row,) = run_sweep(write(tmp_path, text), out=tmp_path / "out").rows
    assert row.verdict == "VERIFIED"
    assert row.facts()["total"] == "12"
    (tmp_path / "weights.json").write_text(weights.replace('"3"', '"4"'))
    (other,) = run_sweep(tmp_path / "sweep.toml", out=tmp_path / "out").rows
    assert other.key != row.key


def test_what_does_not_go_together_is_a_row_with_its_reason(tmp_path: Path) -> None:
    text = PLAIN.replace('"exhaustive"', '["exhaustive", "exact"]') + "effort = 2\n"
    (tmp_path / "0.safetensors").write_bytes(b"no model")
    found = run_sweep(write(tmp_path, text), out=tmp_path / "out")
    told = {(row.names[0], row.label): row.record for row in found.rows}
    assert told["0.safetensors", "exhaustive effort=2.0"]["verdict"] == "DECLINED"
    assert told["1.safetensors", "exhaustive effort=2.0"]["verdict"] == "NOT RUN"
    reason = "strategy exhaustive has no use for --effort"
    assert told["1.safetensors", "exhaustive effort=2.0"]["reason"] == reason
    assert told["1.safetensors", "exact effort=2.0"]["verdict"] == "DECLINED"
    assert found.exit_code() == 0


def test_two_sweeps_in_one_folder_are_refused(tmp_path: Path) -> None:
    file, store = write(tmp_path, PLAIN), Store(tmp_path / "out")
    with store.opened():
        ended = subprocess.run(
            [sys.executable, "-m", "certify", "sweep", file, "--out", store.folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 20
    assert ended.stderr == (
        f"certify: {store.folder}: another sweep is at work in this folder: process {os.getpid()}\n"
    )


def test_the_command_tells_of_failures(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN + "[options]\ntime-limit = 0.01\n")
    ended = CliRunner().invoke(main, ["sweep", str(file), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 0
    assert "1 jobs: 1 STOPPED" in ended.stdout
    ended = CliRunner().invoke(
        main, ["sweep", str(file), "--out", str(tmp_path / "o"), "--engine=x"]
    )
    assert ended.exit_code == 20
    assert ended.stderr == "certify: engine 'x' is neither local nor dask://HOST:PORT\n"


def test_an_interrupt_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Sweep:
        raise KeyboardInterrupt

    monkeypatch.setattr("certify.command.sweep.run_sweep", interrupted)
    ended = CliRunner().invoke(main, ["sweep", str(write(tmp_path, PLAIN)), "--out", "out"])
    assert ended.exit_code == 1
    assert ended.stderr == (
        "certify: interrupted: the same command goes on where this one stopped\n"
    )


def test_more_time_runs_what_was_out_of_time(tmp_path: Path) -> None:
    file, out = write(tmp_path, PLAIN + "[options]\ntime-limit = 0.01\n"), tmp_path / "out"
    assert run_sweep(file, out=out).counts() == {"STOPPED": 1}
    records = kept(out)
    run_sweep(file, out=out)
    assert kept(out) == records
    file.write_text(PLAIN)
    assert run_sweep(file, out=out).counts() == {"VERIFIED": 1}


def test_a_job_that_crashes_is_a_failure_with_its_line() -> None:
    ended = run(Work("dance", {}, 60.0), {})
    assert (ended.verdict, ended.reason) == ("FAILED", "KeyError: 'dance'")


def test_a_job_keeps_its_files_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[Path] = []

    def watch(_module: str, folder: Path, *_: object) -> tuple[int, str]:
        seen.append(folder)
        return 1, "said nothing"

    monkeypatch.setattr("certify.sweep.work.run_module", watch)
    assert run(Work("prove", {}, 1.0), {}, Path()).reason == "said nothing"
    assert seen[0].is_absolute()
    assert list(tmp_path.iterdir()) == []


class _Planted(LocalEngine):
    """An engine whose outcomes are replaced by others."""

    lie: Callable[[Work, Outcome], Outcome]

    def submit(self, work: Work, model: str | None, settle: Settle) -> None:
        """Run a job, and tell something else."""

        def lied(work: Work, outcome: Outcome | BaseException) -> None:
            assert isinstance(outcome, Outcome)
            settle(work, self.lie(work, outcome))

        super().submit(work, model, lied)


def planted(
    monkeypatch: pytest.MonkeyPatch, file: Path, lie: Callable[[Work, Outcome], Outcome]
) -> Sweep:
    """Return a sweep of which every outcome passes through a liar."""

    def engine(name: str, plan: Any, store: Store, jobs: int) -> _Planted:
        made = _Planted(jobs, store.running, store.model, plan.files)
        made.lie = lie
        return made

    monkeypatch.setattr(running, "_engine", engine)
    return run_sweep(file, out=file.parent / "out")


def test_a_forged_certificate_is_rejected_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forge(work: Work, outcome: Outcome) -> Outcome:
        assert outcome.data is not None
        document = json.loads(outcome.data)
        document["statement"]["correct_lower"] = document["statement"]["total"]
        document["statement"]["correct_upper"] = document["statement"]["total"]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return dataclasses.replace(outcome, data=text.encode() + b"\n")

    found = planted(monkeypatch, write(tmp_path, PLAIN), forge)
    assert found.counts() == {"REJECTED": 1}
    assert found.exit_code() == 10
    assert list((tmp_path / "out" / "certificates").iterdir()) == []


def test_a_certificate_about_something_else_is_rejected_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, MAXIMA)
    (other,) = run_sweep(write(tmp_path, PLAIN), out=tmp_path / "other").rows
    certificate = tmp_path / "other" / "certificates" / f"{other.record['certificate']}.json"
    data = certificate.read_bytes()
    file.write_text(MAXIMA)
    found = planted(monkeypatch, file, lambda work, said: dataclasses.replace(said, data=data))
    assert found.counts() == {"REJECTED": 1}
    reason = "SPEC-9.3: the task is argmax, not the one required"
    assert found.rows[0].record["reason"].endswith(reason)


@pytest.mark.parametrize(
    "lie",
    [
        lambda work, said: dataclasses.replace(said, data=None),
        lambda work, said: dataclasses.replace(said, verdict="TRAINED"),
    ],
)
def test_what_does_not_come_back_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: Callable[[Work, Outcome], Outcome]
) -> None:
    found = planted(monkeypatch, write(tmp_path, PLAIN), lie)
    assert found.failures() == [
        "1.safetensors: exhaustive: FAILED: what was made did not come back"
    ]
    assert found.exit_code() == 20


def test_the_word_of_a_worker_is_marked_and_not_enough_for_a_parent(tmp_path: Path) -> None:
    file = write(tmp_path, PLAIN + '[options]\nchecked-by = "worker"\n')
    found = run_sweep(file, out=tmp_path / "out")
    assert found.counts() == {"VERIFIED checked-by=worker": 1}
    assert results(tmp_path / "out")["rows"][0]["checked-by"] == "worker"
    file.write_text(PLAIN)
    assert run_sweep(file, out=tmp_path / "out").counts() == {"VERIFIED": 1}


def test_a_killed_job_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    file, out = write(tmp_path, MAXIMA, range(1, 3)), tmp_path / "out"
    killer = threading.Thread(target=_kill_one, args=(out / "running",))
    killer.start()
    found = run_sweep(file, out=out)
    killer.join()
    assert sorted(row.record["reason"] for row in found.rows) == [
        "",
        "the process was ended by SIGKILL",
    ]
    again = run_sweep(file, out=out)
    assert again.counts() == found.counts()
    assert run_sweep(file, out=out, retry=True).counts() == {"VERIFIED": 2}


def _at_work(folder: Path) -> list[int]:
    """Return the processes that work in folders below one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _kill_one(folder: Path) -> None:
    """Kill the first process that works in a folder below one."""
    found: list[int] = []

    def is_there() -> bool:
        found.extend(_at_work(folder))
        return bool(found)

    wait_until(is_there, "a job at work")
    os.kill(min(found), signal.SIGKILL)


@pytest.mark.slow
def test_twelve_jobs_killed_twice_are_done_once_each(tmp_path: Path) -> None:
    text = MAXIMA.replace('"exhaustive"', '["exact", "count"]')
    text = text.replace("[[models]]", 'semantics = ["real", "float32:any-order"]\n[[models]]')
    file = write(tmp_path, text, range(1, 4))
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    assert len(run_sweep(file, out=undisturbed, jobs=2).rows) == 12
    words = ("-m", "certify", "sweep", str(file), "--out", str(out), "--jobs", "2")
    command = [sys.executable, *words]
    seen: dict[str, tuple[int, int]] = {}
    for wanted in (3, 7):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        wait_until(functools.partial(_has, out, wanted, process), f"{wanted} results")
        process.kill()
        process.wait()
        assert seen.items() <= kept(out).items()
        seen = kept(out)
        assert wanted <= len(seen) < 12
        wait_until(lambda: not _at_work(out), "the end of the jobs of a killed sweep")
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
    assert seen.items() <= kept(out).items()
    assert len(kept(out)) == 12
    for name in ("results.json", "results.csv"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    for name in ("models", "certificates", "jobs"):
        assert _names(out / name) == _names(undisturbed / name)
    assert _names(out / "running") == []


def _has(out: Path, wanted: int, process: subprocess.Popen[bytes]) -> bool:
    """Return whether a sweep at work has kept so many results."""
    assert process.poll() is None
    return len(kept(out)) >= wanted


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_training_is_done_once_and_failures_are_told(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = """
    [[train]]
    task = "max-of-k"
    options = { k = 2, vocab = 3, d-model = 4, steps = 3 }
    seeds = [0]
    [[train]]
    task = "max-of-k"
    options = { k = 2, vocab = 3, d-model = 4, steps = 3, lr = 1000 }
    [[strategies]]
    name = "exhaustive"
    """
    file, out = tmp_path / "sweep.toml", tmp_path / "out"
    file.write_text(text)
    found = run_sweep(file, out=out)
    verdicts = {
        one.options["lr" if "lr" in one.options else "seed"]: one for one in found.trainings
    }
    assert verdicts[0].record["verdict"] == "TRAINED"
    assert found.complete
    assert len(found.rows) == sum(one.record["verdict"] == "TRAINED" for one in found.trainings)
    records = kept(out)
    run_sweep(file, out=out)
    assert kept(out) == records


def test_parquet_holds_the_same_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    run_sweep(write(tmp_path, PLAIN), out=out, parquet=True)
    (row,) = parquet.read_table(out / "results.parquet").to_pylist()
    assert row["key"] == results(out)["rows"][0]["key"]


def test_parquet_without_pyarrow_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent: Mapping[str, None] = {"pyarrow": None, "pyarrow.parquet": None}
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match="--parquet needs pyarrow"):
        run_sweep(write(tmp_path, PLAIN), out=tmp_path / "out", parquet=True)
    assert not (tmp_path / "out").exists()


def test_dask_without_distributed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unsupported, match=r"pip install distributed \(the extra certify\[cluster"):
        run_sweep(write(tmp_path, PLAIN), out=tmp_path / "out", engine="dask://127.0.0.1:1")


def test_no_jobs_at_a_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CertifyError, match="the number of jobs must be at least 1, not 0"):
        run_sweep(write(tmp_path, PLAIN), out=tmp_path / "out", jobs=0)
