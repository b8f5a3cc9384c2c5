"""Several processes end as one does, whatever becomes of them.  (SPEC-8.3)"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Never

import conformance
import mutators
import networks
import processor
import pytest

from certify.certificate.document import dyadic
from checker import jobs
from checker.__main__ import main
from checker.check import check, parse
from checker.ground.decode import canonical
from checker.ground.errors import Declined, Refusal, Rejected
from checker.ground.ledger import MAX_HELD_BITS, Ledger
from checker.leaves.leaves import Leaves
from checker.statement.outcome import MOST_PARTS, Outcome, Part, alone, runs

SIZE = 10
WORTH = jobs.WORTH
SHIPPED = conformance.ROOT / "certificates"
VECTORS = [
    vector
    for vector in conformance.vectors()
    if "--jobs" not in vector.arguments and "--version" not in vector.arguments
]


@pytest.fixture(autouse=True)
def every_worker_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fork for proofs of any length; afterwards no child is left.  Only workers leave at once: with
    code 0 the parent would seem to have passed all tests.
    """
    here, leave = os.getpid(), os._exit

    def leave_as_a_worker(code: int) -> None:
        assert os.getpid() != here
        leave(code)

    monkeypatch.setattr(os, "_exit", leave_as_a_worker)
    monkeypatch.setattr(jobs, "WORTH", 1)
    yield
    if has_child():
        gc.collect()  # what other tests have started and let go
    assert not has_child()


def has_child() -> bool:
    """Return whether this process has a child, perhaps one that has ended; it stays."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def ledger(budget: int = 10**6, watch: Callable[[int], object] = lambda done: None) -> Ledger:
    book = Ledger(watch)  # type: ignore[arg-type]
    book.budget = budget
    return book


def part(book: Ledger, number: int, act: Callable[[], object] = lambda: None) -> Part:
    """Return a part that takes ten operations, a step and a bit; ``act`` is done in a worker."""
    here = os.getpid()

    def derive() -> tuple[Outcome, ...]:
        book.charge(mul=1, add=2, cmp=3, exp=4)
        book.spend(1)
        book.take(1)
        book.once(7, 5, 2)
        if os.getpid() != here:
            act()
        return Outcome(0, number % 3, 4, None), Outcome(1, 2, SIZE - 4, -number)

    return Part(SIZE, derive)


@pytest.fixture
def hang() -> Iterator[Callable[[], None]]:
    """Return what a worker does that has to be ended: it hangs, and if nobody ends it, tells so."""
    read, write = os.pipe()

    def act() -> None:
        time.sleep(60)
        os.write(write, b"late")

    yield act
    os.close(write)
    assert os.read(read, 4) == b""
    os.close(read)


def state(book: Ledger) -> tuple[int, ...]:
    return book.mul, book.add, book.cmp, book.exp, book.total, book.spent, book.held


def side_by_side(book: Ledger, parts: list[Part], workers: int = 2) -> list[tuple[Outcome, ...]]:
    return list(jobs.side_by_side(parts, book, workers))


def expect_declined(act: Callable[[], object], *, said: str, number: int = 3) -> None:
    """Ten parts, one of which does this in a worker: the whole is declined."""
    book = ledger()
    parts = [part(book, n, act if n == number else lambda: None) for n in range(10)]
    with pytest.raises(Declined, match=said) as refusal:
        side_by_side(book, parts)
    assert refusal.value.rule == "jobs"


# --- the same as alone ---------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 16])
@pytest.mark.parametrize("count", [0, 1, 2, 7, MOST_PARTS])
def test_outcomes_come_in_order_and_everything_is_charged_once(workers: int, count: int) -> None:
    one, many = ledger(), ledger()
    expected = list(alone([part(one, n) for n in range(count)]))
    assert side_by_side(many, [part(many, n) for n in range(count)], workers) == expected
    assert state(many) == state(one)
    assert not many.apart
    assert many.most == MAX_HELD_BITS


def test_workers_work() -> None:
    here = os.getpid()
    book = ledger()

    def derive() -> tuple[Outcome, ...]:
        return (Outcome(0, 0, SIZE, os.getpid()),)

    found = side_by_side(book, [Part(SIZE, derive)] * 40, 3)
    done_by = {outcome.margin for (outcome,) in found}
    assert here not in done_by
    assert 1 <= len(done_by) <= 3


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(vector, id=vector.name, marks=() if at % 8 == 0 else pytest.mark.slow)
        for at, vector in enumerate(VECTORS)
    ],
)
def test_a_vector_ends_with_the_same_line(
    vector: conformance.Vector, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(vector.model), str(vector.certificate), *vector.arguments]
    ended = []
    for count in ("1", "2"):
        code = main([*words, "--jobs", count])
        told = capsys.readouterr()
        lines = [line.split(" seconds=")[0] for line in told.out.splitlines()]
        if "--json" in vector.arguments:
            facts = json.loads(told.out)
            facts.pop("seconds", None)
            lines = [json.dumps(facts)]
        ended.append((code, lines, told.err))
    assert ended[0] == ended[1]


def ended(model: bytes, certificate: bytes, count: int) -> tuple[object, ...]:
    """Return all that comes of a check with so many jobs."""
    try:
        theorem = check(parse(model, certificate), lambda done, due: None, count)
    except Refusal as refusal:
        return type(refusal), refusal.rule, refusal.why
    return theorem.outcomes, state(theorem.ledger)[:6], theorem.correct_lower, theorem.margin


@pytest.mark.parametrize("at", range(12))
def test_random_leaves_end_the_same_with_every_budget(at: int) -> None:
    """Leaves in pieces, ties (a finer network, which a worker has to form), and too few
    operations.
    """
    rng = random.Random(f"jobs {at}")
    chosen: dict[str, object] = {"attention_dir": rng.choice(("causal", "bidirectional"))}
    if at % 3 == 0:
        chosen = {"attention_dir": "causal", "readout": "all"}
    spread = 1 if at % 2 else 20
    model = networks.of(rng, chosen, vocab=3, n=3, outputs=3, d_model=2, d_head=1, spread=spread)
    cuts = sorted(rng.sample(range(1, 27), 4))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, 27], strict=True)]
    leaves = [{"inputs": str(size), "method": "either"} for size in sizes]
    if at % 4 == 1:
        leaves[1] = {**leaves[1], "method": "skip"}
    if at % 4 == 2:
        leaves[2] = {**leaves[2], "method": "wrong"}
    document = networks.document(model, "max-of-k", leaves)
    whole = parse(model.bytes, mutators.encode(document))
    try:
        due = check(whole, lambda done, declared: None).ledger.total
    except Rejected:
        due = 10**4
    for operations in (due, due - 1, rng.randrange(due), rng.randrange(due), 0):
        document["proof"]["operations"] = str(operations)
        data = mutators.encode(document)
        assert ended(model.bytes, data, 3) == ended(model.bytes, data, 1)


@pytest.mark.parametrize("at", range(4))
def test_margins_that_take_a_finer_network_end_the_same(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finer network is formed by whoever needs it; its room is counted once."""
    rng = random.Random(f"finer {at}")
    chosen = {"attention_dir": ("causal", "bidirectional")[at % 2], "n_layers": 2}
    model = networks.of(rng, chosen, vocab=3, n=3, outputs=3, d_model=2, d_head=1)
    single = [{"inputs": "1", "method": "either"}] * 27
    fine = networks.document(model, "max-of-k", single, precision=128)
    theorem = check(parse(model.bytes, mutators.encode(fine)), lambda done, declared: None)
    leaves = [
        {"inputs": "1", "method": "wrong"}
        if outcome.margin is None
        else {"inputs": "1", "method": "right", "margin": dyadic(outcome.margin, -20)}
        for outcome in theorem.outcomes[:-1]
    ]
    document = networks.document(model, "max-of-k", leaves, precision=32)
    whole = parse(model.bytes, mutators.encode(document))
    alone = check(whole, lambda done, declared: None)
    assert alone.margin == theorem.margin
    assert len(alone.ledger.common) > 1
    where = []
    derive = Leaves._derive

    def watched(*given: Any) -> tuple[Outcome, ...]:
        where.append(os.getpid())
        return derive(*given)

    monkeypatch.setattr(Leaves, "_derive", watched)
    for operations in (alone.ledger.total, alone.ledger.total - 1):
        document["proof"]["operations"] = str(operations)
        data = mutators.encode(document)
        one = ended(model.bytes, data, 1)
        where.clear()
        assert ended(model.bytes, data, 3) == one
        assert operations < alone.ledger.total or not where


@pytest.mark.parametrize("name", ["max-of-4-seed-0/cascade", "modadd59-constant-seed-0/low-rank"])
def test_shipped_certificates_end_the_same_with_every_budget(name: str) -> None:
    model = (SHIPPED / name).with_name("model.safetensors").read_bytes()
    document = json.loads((SHIPPED / f"{name}.json").read_bytes())
    due = int(document["proof"]["operations"])
    rng = random.Random(name)
    for operations in (due, due - 1, rng.randrange(due // 2, due)):
        document["proof"]["operations"] = str(operations)
        data = mutators.encode(document)
        assert ended(model, data, 2) == ended(model, data, 1)


def open_files() -> set[int]:
    """Return the numbers of the files that this process has open."""
    found = set[int]()
    for number in range(256):
        with contextlib.suppress(OSError):
            os.fstat(number)
            found.add(number)
    return found


def test_no_file_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of the parent, either end; a worker that could give parts would wait for itself."""
    monkeypatch.setattr(jobs, "_work", lambda *given: None)
    before = open_files()
    book = ledger()
    side_by_side(book, [part(book, number) for number in range(4)], 3)
    assert open_files() == before


def test_what_is_there_is_not_looked_at_while_workers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = list[int]()

    def listen(*given: object) -> dict[int, object]:
        frozen.append(gc.get_freeze_count())
        return {}

    monkeypatch.setattr(jobs, "_listen", listen)
    before = gc.get_freeze_count()
    book = ledger()
    side_by_side(book, [part(book, number) for number in range(4)])
    assert frozen[0] > before
    assert gc.get_freeze_count() == 0


def test_an_answer_that_is_read_in_pieces() -> None:
    """It is longer than what a pipe holds, and than what is read at once."""

    def parts_of(book: Ledger) -> list[Part]:
        def derive(number: int) -> tuple[Outcome, ...]:
            book.charge(add=number)
            return tuple(Outcome(0, n, n, number) for n in range(5000))

        size = sum(range(5000))
        return [Part(size, partial(derive, number)) for number in range(3)]

    one, many = ledger(), ledger()
    lines = [jobs.answered(number, parts_of(ledger()), ledger()) for number in range(3)]
    assert min(len(str(line)) for line in lines) > 1 << 16
    assert side_by_side(many, parts_of(many)) == list(alone(parts_of(one)))
    assert state(many) == state(one)


# --- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("budget", range(0, 130, 9))
def test_the_first_refusal_in_the_order_of_the_proof_is_told(budget: int) -> None:
    """Part 6 is refused, unless the operations that are declared are used up before."""
    told = []
    for workers in (1, 3):
        book = ledger(budget)
        good = [part(book, number) for number in range(6)]

        def bad(book: Ledger = book) -> Never:
            book.charge(add=5)
            raise Rejected("SPEC-7.13", "it is claimed, and false")

        with pytest.raises(Refusal) as refusal:
            side_by_side(book, [*good, Part(SIZE, bad), Part(SIZE, bad)], workers)
        told.append((refusal.value.rule, refusal.value.why, state(book)))
    assert told[0] == told[1]
    assert told[0][0] == ("SPEC-8.2" if budget < 10 * 6 + 5 + 5 else "SPEC-7.13")


def test_work_beyond_what_is_declared_is_seen_in_the_sum() -> None:
    """Every worker stays below, all together do not."""
    book = ledger(10 * 10 + 5 - 1)
    with pytest.raises(Declined, match="the work exceeds the operations that the proof declares"):
        side_by_side(book, [part(book, number) for number in range(10)])
    fits = ledger(10 * 10 + 5)
    assert len(side_by_side(fits, [part(fits, number) for number in range(10)])) == 10


def test_room_is_for_all_together() -> None:
    """A part needs more than a worker's share: the parent, which then has it all, derives it."""
    book = ledger()
    book.held = 1000
    need = MAX_HELD_BITS // 3
    where = []

    def derive() -> tuple[Outcome, ...]:
        book.take(need)
        where.append(os.getpid())
        book.release(need)
        return (Outcome(0, 0, SIZE, None),)

    assert len(side_by_side(book, [Part(SIZE, derive)] * 4)) == 4
    assert where == [os.getpid()] * 4


def asked_workers(
    monkeypatch: pytest.MonkeyPatch, book: Ledger, count: int, workers: int
) -> tuple[int, int] | None:
    """Return how many workers are made for so many parts, and the share of each; None for none."""
    asked = list[tuple[int, int]]()

    def answers(parts: object, book: object, workers: int, share: int) -> dict[int, object]:
        asked.append((workers, share))
        return {}

    monkeypatch.setattr(jobs, "_answers", answers)
    side_by_side(book, [Part(SIZE, lambda: ())] * count, workers)
    return asked[0] if asked else None


@pytest.mark.parametrize(
    ("held", "workers"), [(0, 9), (MAX_HELD_BITS // 8 - 1, 3), (MAX_HELD_BITS // 6, None)]
)
def test_no_more_workers_than_fit_beside_what_is_held(
    held: int, workers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = ledger()
    book.held = held
    expected = (workers, MAX_HELD_BITS // (workers + 1)) if workers else None
    assert asked_workers(monkeypatch, book, 20, 9) == expected


@pytest.mark.parametrize("held", [0, 1, 2, 5])
def test_shares_are_more_than_twice_what_is_held_and_no_more_than_there_is(
    held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many workers as were asked for, if everybody, the parent too, can have such a share."""
    book = ledger()
    for most in range(held, 80):
        book.most, book.held = most, held
        asked = asked_workers(monkeypatch, book, 20, 5)
        fitting = [workers for workers in range(2, 6) if most // (workers + 1) > 2 * held]
        assert (asked[0] if asked else 1) == max(fitting, default=1)
        if asked:
            workers, share = asked
            assert share * (workers + 1) <= most < (share + 1) * (workers + 1)


@pytest.mark.parametrize(("worth", "workers"), [(2, 2), (3, 3), (4, 4), (5, 4)])
@pytest.mark.parametrize("more", [0, (1 << 20) - 1])
def test_a_worker_is_worth_a_million_operations(
    worth: int, workers: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2^20 for each; no more than parts, and as many as these are enough for."""
    monkeypatch.setattr(jobs, "WORTH", WORTH)
    asked = asked_workers(monkeypatch, ledger(worth * (1 << 20) + more), 4, 9)
    assert asked == (workers, MAX_HELD_BITS // (workers + 1))
    assert asked_workers(monkeypatch, ledger((2 << 20) - 1), 4, 9) is None


@pytest.mark.parametrize("more", range(-2, 3))
@pytest.mark.parametrize("held", [0, 50])
def test_what_a_worker_derived_is_taken_over_while_a_share_is_left(
    held: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have held a share meanwhile, for which there has to be room beside what is kept."""
    book = ledger()
    book.most, book.held = 901, held
    share = 901 // 3
    room = 901 - share - held + more
    answer = jobs.Answer((Outcome(0, 0, SIZE, None),), [1, 2, 3, 4, 5, room], [])
    monkeypatch.setattr(jobs, "_answers", lambda *given: {0: answer})
    derived = list[int]()

    def derive() -> tuple[Outcome, ...]:
        derived.append(1)
        return answer.outcomes

    parts = [Part(SIZE, derive), Part(SIZE, tuple)]
    assert side_by_side(book, parts) == [answer.outcomes, ()]
    assert bool(derived) == (more > 0)
    if not derived:
        assert state(book) == (1, 2, 3, 4, 10, 5, held + room)


@dataclass
class Needs:
    """What a part takes: operations, room at most and room that it keeps, and what is common."""

    operations: int
    most: int
    kept: int
    common: tuple[int, int, int] | None

    def derive(self, book: Ledger) -> tuple[Outcome, ...]:
        """Take it."""
        if self.common:
            book.once(*self.common)
        book.charge(add=self.operations)
        book.spend(1)
        book.take(self.most)
        book.release(self.most - self.kept)
        return (Outcome(0, 1, SIZE, self.operations),)


def ended_parts(
    derive: Callable[[Ledger], list[tuple[Outcome, ...]]], most: int, budget: int
) -> tuple[object, ...]:
    """Return all that comes of parts, for a ledger of so much room and so many operations."""
    book = ledger(budget)
    book.held, book.most = 3, most
    try:
        return derive(book), state(book), book.common
    except Refusal as refusal:
        return type(refusal), refusal.rule, refusal.why


@pytest.mark.parametrize("at", range(8))
def test_whoever_draws_what_the_end_is_that_of_one(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are played in this process: who draws a part is random, and how late a refusal is
    heard of.  Room and operations are about what the parts need, so that some are refused.
    """
    rng = random.Random(f"draws {at}")
    commons = [None, None, (7, 5, 20), (8, 2, 40)]
    needs = [
        Needs(rng.randrange(9), most := rng.choice((5, 30, 60, 200)), rng.randrange(most), common)
        for common in rng.choices(commons, k=6)
    ]
    now = list[Ledger]()
    parts = [Part(SIZE, partial(lambda one: one.derive(now[-1]), one)) for one in needs]

    def answers(
        parts: list[Part], book: Ledger, workers: int, share: int
    ) -> dict[int, jobs.Answer]:
        books = [Ledger(book.watch, book.held, book.spent) for _ in range(workers)]
        for one in books:
            one.budget, one.most = book.budget, share
        found = dict[int, jobs.Answer]()
        last = len(parts)
        for number in range(last):
            if not books or number >= last:
                break
            one = rng.choice(books)
            now.append(one)
            try:
                rows = jobs.answered(number, parts, one)
            except Refusal:
                rows = [[number]]
                books.remove(one)
                last = min(last, rng.randrange(number, len(parts)) + 1)
            now.pop()
            said = [[None if n is None else str(n) for n in row] for row in rows]
            heard, found[number] = jobs.heard(canonical(said), parts)
            assert heard == number
        return found

    def one(book: Ledger) -> list[tuple[Outcome, ...]]:
        now.append(book)
        return list(alone(parts))

    def many(book: Ledger) -> list[tuple[Outcome, ...]]:
        now.append(book)
        return side_by_side(book, parts, rng.randrange(2, 5))

    monkeypatch.setattr(jobs, "_answers", answers)
    due = sum(one.operations for one in needs) + sum({one.common[1] for one in needs if one.common})
    enough = next(
        most for most in itertools.count() if isinstance(ended_parts(one, most, due)[0], list)
    )
    for _ in range(200):
        given = (enough + rng.randrange(-50, 50), due + rng.choice((-1, 0, 100)))
        assert ended_parts(many, *given) == ended_parts(one, *given)


def test_room_that_parts_keep_is_added_up() -> None:
    book = ledger()
    kept = MAX_HELD_BITS // 8

    def derive() -> tuple[Outcome, ...]:
        book.take(kept)
        return (Outcome(0, 0, SIZE, None),)

    with pytest.raises(Declined) as refusal:
        side_by_side(book, [Part(SIZE, derive)] * 9, 2)
    assert refusal.value.rule == "SPEC-3.5"


# --- workers that fail ---------------------------------------------------------------


def test_a_worker_that_is_killed() -> None:
    expect_declined(lambda: os.kill(os.getpid(), signal.SIGKILL), said="a worker broke off")


def test_a_worker_that_ends_early() -> None:
    expect_declined(lambda: os._exit(1), said="a worker broke off")


def test_no_file_is_left_open_where_an_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> Never:
        raise Declined("jobs", "a worker said what none says")

    monkeypatch.setattr(jobs, "heard", refuse)
    before = open_files()
    book = ledger()
    with pytest.raises(Declined):
        side_by_side(book, [part(book, number) for number in range(4)], 3)
    assert open_files() == before


def test_a_worker_that_crashes_says_nothing_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    sys.stdout.write("once")  # in the buffer when workers are made

    def crash() -> Never:
        raise ValueError("not a refusal")

    expect_declined(crash, said="a worker broke off")
    sys.stdout.flush()
    assert capfd.readouterr() == ("once", "")


def altered(change: Callable[[list[Any]], object]) -> Callable[..., object]:
    """Return what answers as a worker does, changed for part 3."""
    true = jobs.answered

    def answered(number: int, parts: list[Part], book: Ledger) -> object:
        said: Any = true(number, parts, book)
        if number != 3:
            return said
        changed = change(said)
        return said if changed is None else changed

    return answered


ALTERED: dict[str, Callable[[list[Any]], object]] = {
    "sizes too small": lambda said: said[2].__setitem__(2, 3),
    "sizes too large": lambda said: said[2].__setitem__(2, 5),
    "an outcome is missing": lambda said: said.pop() and None,
    "an outcome twice": lambda said: said.append(said[2]),
    "of another part": lambda said: said[0].__setitem__(0, 4),
    "of a part that is not there": lambda said: said[0].__setitem__(0, 10),
    "of a negative part": lambda said: said[0].__setitem__(0, -7),
    "of no part": lambda said: said[0].__setitem__(0, None),
    "bounds not in order": lambda said: said[3].__setitem__(0, 3),
    "a bound above the size": lambda said: said[3].__setitem__(1, 7),
    "a negative bound": lambda said: said[3].__setitem__(0, -1),
    "a bound that is none": lambda said: said[3].__setitem__(0, None),
    "a true bound": lambda said: said[3].__setitem__(0, True),
    "a bound that is no integer": lambda said: said[3].__setitem__(0, 0.5),
    "a margin that is text": lambda said: said[3].__setitem__(3, "x"),
    "two numbers": lambda said: said[3].__setitem__(slice(2), []),
    "five numbers": lambda said: said[3].append(0),
    "a negative count": lambda said: said[0].__setitem__(1, -1),
    "five counts": lambda said: said[0].pop() and None,
    "no counts, and outcomes": lambda said: said[0].__setitem__(slice(1, None), []),
    "a count that is none": lambda said: said[0].__setitem__(1, None),
    "common of two": lambda said: said[1].pop() and None,
    "a negative comparison": lambda said: said[1].__setitem__(1, -1),
    "a refusal of a part that is not there": lambda said: [[10]],
    "a refusal of another part": lambda said: [[4]],
    "nothing": lambda said: [[]],
    "no row": lambda said: [],
}


@pytest.mark.parametrize("what", ALTERED)
def test_an_answer_that_no_worker_gives(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "answered", altered(ALTERED[what]))
    said = "twice" if what.endswith("of another part") else "what none says"
    expect_declined(lambda: None, said=said)


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff\x80",
        b"",
        b'[["3"],["0","0","10",null]] 1',
        b'[["3"],["0","0","10",null]]]',
        b'[["3","0","0","0","0","0","0"],["0","0","10",',
        b'[["3","0","0","0","0","0","0"],["0","0","10",NaN]]',
        b'[["3","0","0","0","0","0","0"],["0","0","1e1",null]]',
        b'[["3","0","0","0","0","0","0"],["0","0",10,null]]',
        b'[["3","0","0","0","0","0","0"],["0","0"," 10",null]]',
        b"[" * 10**5,
        b'[["3","' + b"9" * 5000 + b'","0","0","0","0","0"],["0","0","10",null]]',
        b'{"0":3}',
        b"s VERIFIED",
    ],
)
def test_garbage_is_no_answer(line: bytes) -> None:
    parts = [part(ledger(), number) for number in range(10)]
    with pytest.raises(Declined) as refusal:
        jobs.heard(line, parts)
    assert refusal.value.rule == "jobs"


def test_the_answer_that_is_heard() -> None:
    parts = [part(ledger(), number) for number in range(10)]
    line = b'[["3","1","2","3","4","5","6"],["7","8","9"],["0","0","10",null],["0","0","0","-5"]]'
    number, answer = jobs.heard(line, parts)
    assert (number, answer.counts, answer.common) == (3, [1, 2, 3, 4, 5, 6], [[7, 8, 9]])
    assert answer.outcomes == (Outcome(0, 0, 10, None), Outcome(0, 0, 0, -5))


@pytest.mark.parametrize(("rows", "said"), [(10, True), (11, False)])
def test_an_answer_has_no_more_rows_than_twice_the_leaves_of_a_proof(
    rows: int, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for every leaf, one of counts, and what is common, of which there is less."""
    monkeypatch.setattr(jobs, "MAX_CELLS", 5)
    outcomes = [["0", "0", str(SIZE), None], *[["0", "0", "0", None]] * (rows - 2)]
    line = canonical([["0", "1", "2", "3", "4", "5", "6"], *outcomes])
    parts = [part(ledger(), 0)]
    if said:
        number, answer = jobs.heard(line, parts)
        assert (number, len(answer.outcomes)) == (0, rows - 1)
        return
    with pytest.raises(Declined) as refusal:
        jobs.heard(line, parts)
    assert refusal.value.rule == "jobs"


def is_pipe(number: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(number).st_mode)
    except OSError:
        return False


def test_garbage_on_the_pipe() -> None:
    """A worker writes to every pipe that was not there before."""

    others = {number for number in range(64) if is_pipe(number)}

    def shout() -> None:
        for number in filter(is_pipe, set(range(64)) - others):
            with contextlib.suppress(OSError):
                os.write(number, b"garbage\n")

    expect_declined(shout, said="what none says")


def test_a_worker_that_answers_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    true = jobs.answered
    monkeypatch.setattr(jobs, "answered", lambda n, parts, book: true(n and n - 1, parts, book))
    expect_declined(lambda: None, said="twice", number=99)


def test_a_machine_that_cannot_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    book = ledger()
    monkeypatch.delattr(os, "fork")
    with pytest.raises(Declined, match="no process can be forked here") as refusal:
        side_by_side(book, [])
    assert refusal.value.rule == "jobs"


def test_a_machine_that_has_no_process_left(
    hang: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second fork fails: the first worker is ended."""
    book, true, made = ledger(), os.fork, list[int]()

    def fork() -> int:
        if made:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        made.append(1)
        return true()

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(Declined, match="Resource temporarily unavailable") as refusal:
        side_by_side(book, [part(book, number, hang) for number in range(2)])
    assert refusal.value.rule == "jobs"


def test_what_the_parent_raises_ends_the_workers(hang: Callable[[], None]) -> None:
    """They hang; the parent is told of the others' answers, and ends it there."""

    class Enough(Exception):
        pass

    here = os.getpid()

    def enough(done: int) -> None:
        if os.getpid() == here and done >= 30:
            raise Enough

    book = ledger(watch=enough)
    parts = [part(book, n, hang if n > 4 else lambda: None) for n in range(10)]
    with pytest.raises(Enough):
        side_by_side(book, parts)


def test_progress_is_of_all_workers() -> None:
    seen = list[int]()
    book = ledger(watch=seen.append)
    side_by_side(book, [part(book, number) for number in range(10)])
    assert {10, 50, 100} <= set(seen)


# --- from outside --------------------------------------------------------------------

SLOW = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are deaf to it
from checker import jobs
from checker.__main__ import main
from checker.cells.derive import Cells
jobs.WORTH = 1
parent, visit = os.getpid(), Cells.visit
def slow(self, cell, given):
    if os.getpid() != parent:
        os.write(2, b"%d\\n" % os.getpid())
        while True:
            time.sleep(0.1)
            self.ledger.charge()
    visit(self, cell, given)
Cells.visit = slow
sys.exit(main(sys.argv[1:]))
"""


def slow(*options: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Return a check that hangs in its two workers, and their numbers."""
    folder = conformance.ROOT / "tests" / "vectors"
    files = (folder / "models/pair.safetensors", folder / "SPEC-3.2/accept-canonical.json")
    line = [sys.executable, "-c", SLOW, "--jobs", "2", *options, *map(str, files)]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=conformance.ROOT
    )
    assert process.stderr is not None
    return process, [int(process.stderr.readline()) for _ in range(2)]


def assert_gone(pids: list[int]) -> None:
    """Wait, for a while, until none of these processes is there."""
    for _ in range(100):
        alive = [pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and not zombie(pid)]
        if not alive:
            return
        time.sleep(0.1)
    pytest.fail(f"left: {alive}")


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_an_interrupt_is_told_once_and_ends_the_workers() -> None:
    process, pids = slow()
    process.send_signal(signal.SIGINT)
    told, complaints = process.communicate(timeout=processor.BACKSTOP)
    assert (process.returncode, told) == (20, "s DECLINED SPEC-9.4: interrupted\n")
    assert complaints == ""
    assert_gone(pids)


def test_workers_do_not_heed_an_interrupt() -> None:
    process, pids = slow()
    for pid in pids:
        os.kill(pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert (
        process.communicate(timeout=processor.BACKSTOP)[0] == "s DECLINED SPEC-9.4: interrupted\n"
    )
    assert_gone(pids)


def test_the_time_limit_passes_while_workers_hang() -> None:
    process, pids = slow("--time-limit", "2")
    told, _ = process.communicate(timeout=processor.BACKSTOP)
    line = "s DECLINED SPEC-9.4: the time limit given on the command line has passed\n"
    assert (process.returncode, told) == (20, line)
    assert_gone(pids)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_without_their_parent(how: signal.Signals) -> None:
    process, pids = slow()
    process.send_signal(how)
    assert process.communicate(timeout=processor.BACKSTOP) == ("", "")
    assert_gone(pids)


def test_a_worker_that_is_killed_from_outside_is_told() -> None:
    process, pids = slow()
    os.kill(pids[1], signal.SIGKILL)
    told, _ = process.communicate(timeout=processor.BACKSTOP)
    assert (process.returncode, told) == (20, "s DECLINED jobs: a worker broke off\n")
    assert_gone(pids)


@pytest.mark.parametrize("count", ["0", "-1", "1/2", "two", "", "1.0"])
def test_jobs_is_a_positive_whole_number(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--jobs={count}", "model", "certificate"])
    assert ended.value.code == 2
    assert "--jobs" in capsys.readouterr().err


def test_one_job_does_not_load_what_forks() -> None:
    folder = conformance.ROOT / "tests" / "vectors"
    files = (folder / "models/pair.safetensors", folder / "SPEC-3.2/accept-canonical.json")
    for count, loaded in (("1", False), ("2", True)):
        code = (
            "import sys; from checker.__main__ import main; main(sys.argv[1:]);"
            "print('checker.jobs' in sys.modules, 'select' in sys.modules)"
        )
        line = [sys.executable, "-S", "-c", code, "--jobs", count, *map(str, files)]
        told = subprocess.run(
            line, capture_output=True, text=True, check=True, cwd=conformance.ROOT
        ).stdout
        assert told.splitlines()[-1] == f"{loaded} {loaded}"


# --- runs ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5, 127, 128, 129, 1000, 1 << 70])
def test_runs_hold_every_number_once(count: int) -> None:
    found = runs(count, MOST_PARTS)
    assert len(found) == min(count, MOST_PARTS)
    assert (found[0].start, found[-1].stop) == (0, count)
    for one, two in itertools.pairwise(found):
        assert one.stop == two.start
    sizes = [run.stop - run.start for run in found]
    assert max(sizes) - min(sizes) <= 1
    assert Fraction(sum(sizes)) == count
