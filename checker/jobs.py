"""Several processes derive parts of a proof side by side; with ``--jobs 1`` none of this is loaded.
(SPEC-8.3)

Workers are forked once all that serves several parts is there.  They draw the numbers of parts from
one pipe, a byte each, in ascending order, and each answers on a pipe of its own, a line for a part.
A worker that meets a refusal says only that.  What nobody derived the parent derives where its turn
is, so it ends as it would alone.
"""

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import sub
from select import select
from typing import Any

from checker.ground import record
from checker.ground.decode import big, canonical, listing, parse_json
from checker.ground.errors import Declined, Refusal, require_support
from checker.ground.ledger import Ledger
from checker.statement.outcome import MAX_CELLS, Outcome, Outcomes, Part, alone

WORTH = 1 << 20
"""So many declared operations are worth another worker.  (SPEC-8.3)"""


@record
class Answer:
    """What a worker says of a part: its outcomes and what they took.

    ``counts``: multiplications, additions, comparisons, exponentials, steps and room, without
    ``common``, what ``Ledger.once`` was asked for by then; none if it met a refusal.
    """

    outcomes: Outcomes
    counts: list[int]
    common: list[list[int]]


def side_by_side(
    parts: Sequence[Part], ledger: Ledger, jobs: int
) -> Iterator[Outcomes]:
    """Yield the outcomes of at most 256 parts in order, as ``alone`` does; no worker is left then.

    Raises: what ``alone`` raises; Declined (jobs).
    """
    require_support(hasattr(os, "fork"), "jobs", "no process can be forked here")
    fitting = ledger.most // (2 * ledger.held + 1) - 1
    workers = min(jobs, len(parts), ledger.budget // WORTH, fitting)
    if workers < 2:
        yield from alone(parts)
        return
    share = ledger.most // (workers + 1)
    answers = _answers(parts, ledger, workers, share)
    nothing = Answer((), [], [])
    for number, part in enumerate(parts):
        answer = answers.pop(number, nothing)
        room = sum(answer.counts[5:])
        # Alone, up to a share more would be held meanwhile.
        if answer.counts and ledger.held + room <= ledger.most - share:
            *operations, steps, room = answer.counts
            for one in answer.common:
                ledger.once(*one)
            ledger.charge(*operations)
            ledger.spend(steps)
            ledger.take(room)
            yield answer.outcomes
        else:
            yield part.derive()


def _answers(
    parts: Sequence[Part], ledger: Ledger, workers: int, share: int
) -> dict[int, Answer]:
    """Return what workers answer, by the numbers of the parts.

    Ensures: however this ends, no worker is left, and none gets out of here.
    Raises:  Declined (jobs).
    """
    parent = os.getpid()
    running = dict[int, int]()
    tickets, give = os.pipe()
    os.write(give, bytes(range(len(parts))))
    os.close(give)
    try:
        gc.freeze()  # what is there is not looked at, and so not copied
        for _ in range(workers):
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                ledger.most = share
                _work(parts, ledger, tickets, writing)
                os._exit(0)
            os.close(writing)
            running[reading] = pid
        return _listen(parts, ledger, running)
    except OSError as error:
        raise Declined("jobs", f"workers fail: {error.strerror}") from error
    finally:
        if os.getpid() != parent:
            os._exit(1)
        gc.unfreeze()
        os.close(tickets)
        for file, pid in running.items():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(file)


def _listen(
    parts: Sequence[Part], ledger: Ledger, running: dict[int, int]
) -> dict[int, Answer]:
    """Return what is said until all workers have ended, who are taken off ``running`` then.

    Raises: Declined (jobs) for a worker that breaks off, or what none says.
    """
    found = dict[int, Answer]()
    done = ledger.total
    begun = dict.fromkeys(running, b"")
    while running:
        for file in select(list(running), [], [])[0]:
            data = os.read(file, 1 << 16)
            *lines, begun[file] = (begun[file] + data).split(b"\n")
            for line in lines:
                number, answer = heard(line, parts)
                first = number not in found
                require_support(first, "jobs", f"part {number} was answered twice")
                found[number] = answer
                done += sum(answer.counts[:4])
                ledger.watch(done)
            if not data:
                _, status = os.waitpid(running.pop(file), 0)
                os.close(file)
                ended = status == 0 and not begun[file]
                require_support(ended, "jobs", "a worker broke off")
    return found


def heard(line: bytes, parts: Sequence[Part]) -> tuple[int, Answer]:
    """Return the number of a part and what is said of it.

    Raises: Declined (jobs) for anything that no worker says.
    """
    try:
        said = listing(parse_json(line, "an answer"), "an answer", 2 * MAX_CELLS)
        (number, *counts), *rows = map(_numbers, said)
        common = [row for row in rows if len(row) == 3]
        outcomes = tuple(Outcome(*row) for row in rows if len(row) != 3)
        least = min([number, *counts, *chain(*common)])
        size = parts[number].size if counts else 0
        good = (
            least >= 0
            and len(counts) in (0, 6)
            and all(0 <= o.lower <= o.upper <= o.size for o in outcomes)
            and sum(o.size for o in outcomes) == size
            and number < len(parts)
        )
    except (Refusal, ValueError, TypeError, IndexError):
        good = False
    require_support(good, "jobs", "a worker said what none says")
    return number, Answer(outcomes, counts, common)


def _numbers(value: object) -> list[Any]:
    row = listing(value, "a row")
    return [None if item is None else big(item, "a number") for item in row]


def _work(parts: Sequence[Part], ledger: Ledger, tickets: int, writing: int) -> None:
    """Answer, as a worker, for every part that is drawn."""
    # An interrupt is the parent's, who ends its workers; without a parent they end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    ledger.watch = lambda done: None if os.getppid() == parent else os._exit(1)
    ledger.apart = True
    with os.fdopen(writing, "wb") as file:
        while drawn := os.read(tickets, 1):
            try:
                rows = answered(drawn[0], parts, ledger)
            except Refusal:
                rows = [[drawn[0]]]
                os.read(tickets, 256)  # it stands: nobody needs later parts
            said = [[None if n is None else str(n) for n in row] for row in rows]
            file.write(canonical(said))
            file.flush()


def answered(
    number: int, parts: Sequence[Part], ledger: Ledger
) -> list[list[int | None]]:
    """Return what a worker says of a part: its number and counts, what is common, outcomes.

    Raises: Refusal.
    """
    before = _counts(ledger)
    outcomes = parts[number].derive()
    counts = map(sub, _counts(ledger), before)
    common = [[one, *both] for one, both in ledger.common.items()]
    rows = [[o.lower, o.upper, o.size, o.margin] for o in outcomes]
    return [[number, *counts], *common, *rows]


def _counts(ledger: Ledger) -> list[int]:
    cmp = ledger.cmp - sum(cmp for cmp, _ in ledger.common.values())
    room = ledger.held - sum(bits for _, bits in ledger.common.values())
    return [ledger.mul, ledger.add, cmp, ledger.exp, ledger.spent, room]
