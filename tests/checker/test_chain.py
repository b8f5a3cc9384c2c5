"""SPEC-15: what proofs of chains prove is true, whatever the hints; and each term of the rules is
needed: without it something false is proved.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import chains
import forests
import make_vectors
import models
import numpy as np
import pytest
import vectors_chain
import vectors_float32
from models import ATTENTION, Model, Seeded
from test_float32 import executions
from test_soundness import assert_true, verdict_of

from checker.cells.paths import Paths, decompose
from checker.cells.places import places_of
from checker.cells.terms import term_lower, term_upper
from checker.chain import frames as frames_module
from checker.chain import line as line_module
from checker.chain import plane as plane_module
from checker.chain.frames import ChainCells, ChainFrame
from checker.chain.line import Rivals
from checker.chain.parts import Reading, Widths, attention, reading, stream
from checker.check import check, parse
from checker.ground.errors import Declined, Malformed, Refusal, Rejected
from checker.ground.exact import Matrix, transposed
from checker.ground.ledger import Ledger
from checker.ground.norms import centred, parse_matrix
from checker.statement.model import load_model
from checker.statement.statement import build_statement

SEEDS = int(os.environ.get("CERTIFY_EXAMPLES", "150"))


def ledger() -> Ledger:
    return Ledger(lambda done: None)


def heights_of(model: Model, ov: list[Any]) -> tuple[list[Any], list[int]]:
    """Return the places of answers and their heights c + g, as the checker forms them."""
    loaded = load_model(model.bytes)
    written = forests.document(model, None, cells=[])["statement"]
    named = places_of(build_statement(loaded, written["model"][7:], written))
    w = loaded.by_role()
    pair = parse_matrix(ov[0], "N"), parse_matrix(ov[1], "B")
    logits = reading(w, stream(w, named, ledger()), pair, ledger())
    columns = transposed(centred(w["W_U"], ledger()))
    g = logits.widths.of(columns, logits.scale, ledger())
    return list(logits.answers), [c + x for c, x in zip(logits.constants, g, strict=True)]


def case(seed: int) -> tuple[Model, Any, dict[str, Any]] | None:
    """Return a random model, token weights, and a proof over it; None if there is no tiling."""
    choose = Seeded(random.Random(seed))
    directions = 1 + seed % 2
    model = chains.build_model(choose, directions)
    weights = models.build_token_weights(choose, model.config) if seed % 5 == 0 else None
    ov = chains.directions_of(choose, model.config["d_head"], directions)
    plane = None
    if directions == 2:
        plane = chains.tiling(*heights_of(model, ov), choose)
        if plane is None:
            return None
    return model, weights, chains.build_proof(choose, model, weights, ov, plane)


def without_corners(document: dict[str, Any], found: Refusal) -> bool:
    """Turn the roots of an answer that is no corner into skips; return whether there were any."""
    named = found.why.split()
    if named[:1] != ["answer"] or "corner:" not in named:
        return False
    m = int(named[1])
    cells = document["proof"]["chain"]["cells"]
    kept: list[Any] = []
    inner = False
    for cell in cells:
        if "maximum" in cell:
            inner = cell["maximum"] == m
        if not inner:
            kept.append(cell)
    mu = next(cell["mu"] for cell in cells if "mu" in cell)
    skip = {"maximum": m, "mu": mu, "method": "skip"}
    kept.append(skip | {"queries": [[m, m]]})
    if m:
        kept.append(skip | {"queries": [[0, m - 1]]})
    document["proof"]["chain"]["cells"] = kept
    return True


def proved(model: Model, document: dict[str, Any]) -> Any:
    """Return the verdict; roots that no corner answers become skips.  None if the tiling is
    refused.
    """
    while True:
        try:
            return verdict_of(model, forests.encoded(document))
        except Rejected as found:
            if found.rule != "SPEC-15.5":
                raise
            if not without_corners(document, found):
                return None


@pytest.mark.parametrize("part", range(10))
def test_every_accepted_bound_is_true(part: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * SEEDS, (part + 1) * SEEDS):
        found = case(seed)
        if found is None:
            continue
        model, weights, document = found
        verdict = proved(model, document)
        if verdict is None:
            seen["refused"] += 1
            continue
        assert_true(verdict, model, weights)
        seen["plane" if "plane" in document["proof"]["chain"] else "line"] += 1
        seen["right"] += verdict.lower > 0
        seen["wrong"] += verdict.upper < verdict.total
        seen["margin"] += verdict.margin > 0
    assert min(seen[key] for key in ("plane", "line", "right", "wrong", "margin")) > 0, seen


# --- the lemmas, and the false forms of them --------------------------------------------


def altered(module: ModuleType, old: str, new: str) -> Any:
    """Return the module with one piece of its source in another form."""
    text = Path(str(module.__file__)).read_text("utf-8")
    assert text.count(old) == 1, (old, text.count(old))
    changed = ModuleType(module.__name__)
    code = compile(text.replace(old, new), "altered", "exec")
    exec(code, changed.__dict__)  # noqa: S102 (this is how a false form is made)
    return changed


@dataclass(frozen=True)
class Answers:
    """Answers at random: u_j, c_j, columns U_j; a logit leaves y . U_j, |y_a| <= reach."""

    logits: Reading
    unembed: Matrix
    mu: int

    @property
    def columns(self) -> list[tuple[int, ...]]:
        return list(zip(*self.unembed.rows, strict=True))

    def bracket(self, j: int, m: int, s: list[Fraction], y: list[int]) -> Fraction:
        """Return D of j against m, with mu, where the mean of s + p is s."""
        u, c = self.logits.answers, self.logits.constants
        moved = sum(x * (a - b) for x, a, b in zip(s, u[j], u[m], strict=True))
        left = sum(x * (a - b) for x, a, b in zip(y, self.columns[j], self.columns[m], strict=True))
        return Fraction(moved) + c[j] - c[m] + left + self.mu

    def tested(self, rivals: Rivals, j: int, m: int, s: list[Fraction]) -> Fraction:
        """Return the upper bound on that, for a rival."""
        return self.bracket(j, m, s, [0] * len(self.unembed.rows)) + rivals.spreads[m][j]


def answers(rng: random.Random, directions: int, *, wide: bool = True) -> Answers:
    """Return answers of a small vocabulary, with ties."""
    count, width = rng.randint(1, 7), rng.randint(1, 2)
    size = rng.choice((2, 4, 9))
    u = [tuple(rng.randint(-size, size) for _ in range(directions)) for _ in range(count)]
    curve = rng.choice((0, 1, 1, 2))
    c = [rng.randint(-4, 4) - curve * sum(x * x for x in row) for row in u]
    rows = tuple(tuple(rng.randint(-3, 3) for _ in range(count)) for _ in range(width))
    reach = tuple(rng.choice((0, 0, 1, 2) if wide else (0,)) for _ in range(width))
    widths = Widths(Fraction(0), reach, 0)
    logits = Reading((), tuple(u), tuple(c), widths, 0)
    return Answers(logits, Matrix(rows, 0), rng.choice((0, 0, 1, 3, 7)))


def means(rng: random.Random, given: Answers, m: int) -> Iterator[list[Fraction]]:
    """Yield means S: at random, and about where some answer begins to win over m."""
    u, c = given.logits.answers, given.logits.constants
    for _ in range(4):
        yield [Fraction(rng.randint(-60, 60), rng.choice((1, 2, 6))) for _ in u[m]]
    for j in range(len(u)):
        gap = [a - b for a, b in zip(u[j], u[m], strict=True)]
        size = sum(x * x for x in gap)
        if size:
            level = (
                c[m] - c[j] - given.mu + rng.randint(-6, 6) - Fraction(1, rng.choice((1, 2, 99)))
            )
            side = Fraction(rng.randint(-9, 9), 2)
            turned = [-gap[-1], gap[0]] if len(gap) > 1 else [0]
            yield [level * x / size + side * t for x, t in zip(gap, turned, strict=True)]


def violations(given: Answers, rivals: Rivals, rng: random.Random) -> Iterator[str]:
    """Yield where the lemma fails: all rivals are beaten and some answer is not."""
    for m, against in rivals.spreads.items():
        for s in means(rng, given, m):
            sums = [given.tested(rivals, k, m, s) for k in against]
            if any(value >= 0 for value in sums):
                continue
            least = min((-value for value in sums), default=Fraction(0))
            y = [rng.choice((-1, 1)) * b for b in given.logits.widths.reach]
            for j in set(range(len(given.logits.answers))) - {m}:
                margin = -given.bracket(j, m, s, y)
                if margin <= 0 or margin < least / rivals.stretch[m]:
                    yield "margin" if margin > 0 else "beaten"


def on_a_line(module: Any, rng: random.Random) -> list[str]:
    given = answers(rng, 1)
    return [*violations(given, module.line(given.logits, given.unembed, given.mu, ledger()), rng)]


def in_a_plane(
    module: Any, rng: random.Random, *, of_c: bool = False, missing: bool = False
) -> list[str] | None:
    """Return the violations; None where there is no tiling, or it is refused.  ``of_c``: the tiling
    is that of c.
    """
    given = answers(rng, 2)
    columns = transposed(centred(given.unembed, ledger()))
    g = given.logits.widths.of(columns, 0, ledger())
    c = given.logits.constants
    heights = list(c) if of_c else [a + b for a, b in zip(c, g, strict=True)]
    places: Any = given.logits.answers
    hint = chains.tiling(places, heights, Seeded(rng))
    if hint is None:
        return None
    tiles = module.parse_tiling(hint, len(places))
    try:
        return [*violations(given, module.plane(given.logits, given.unembed, tiles, ledger()), rng)]
    except Rejected as found:
        if found.rule != "SPEC-15.5":
            raise
        return None


def test_the_rivals_on_a_line_are_enough() -> None:
    trials = 4 * SEEDS
    assert [on_a_line(line_module, random.Random(seed)) for seed in range(trials)] == [[]] * trials
    for places, heights, stretch in (
        (((0,),), (0,), 1),
        (((0,), (1,), (3,), (-1,)), (0, -9, 0, 0), 3),
        (((0,), (-2,), (-3,), (1,)), (0, -9, 0, 0), 2),
    ):
        logits = Reading((), places, heights, Widths(Fraction(0), (0,), 0), 0)
        rivals = line_module.line(logits, Matrix(((0,) * len(places),), 0), 0, ledger())
        assert rivals.stretch[0] == stretch


def test_the_rivals_in_a_plane_are_enough() -> None:
    found = [in_a_plane(plane_module, random.Random(seed)) for seed in range(4 * SEEDS)]
    tiled = [one for one in found if one is not None]
    assert len(tiled) > SEEDS
    assert not any(tiled)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        # An answer at the same place has no finite threshold: it was taken for beaten.
        ("yield m, level[2], 1", "pass", "beaten"),
        # What is left is added up over all steps between two answers, not over one.
        ("accumulate(rho)", "rho", "beaten"),
        ("sign * added[j]", "added[j]", "beaten"),
        ("abs(added[j] - added[m])", "0", "beaten"),
        # mu counts once, not once for each unit of u.
        ("h - mu, m", "h, m", "beaten"),
        # The order is that of u.
        ("sorted(range(count), key=places.__getitem__)", "[*range(count)]", None),
        # An answer nearer than the rival is beaten by less.
        ("-((u - far) // (nearest - u))", "1", "margin"),
        # The steepest corner, not the nearest.
        ("hull[-1 - steepest(lowered, hull, ledger)]", "hull[-1]", "beaten"),
        # Only what is below the line is no corner.
        ("not bends(level, hull, 0, ledger)", "True", "beaten"),
        ("level is None or h > level[1]", "level is None", "beaten"),
        ("for sign in (1, -1)", "for sign in (1,)", "beaten"),
    ],
)
def test_false_forms_of_the_line_fail(old: str, new: str, kind: str | None) -> None:
    module = altered(line_module, old, new)

    def seen() -> Iterator[str]:
        for seed in range(6000):
            try:
                yield from on_a_line(module, random.Random(seed))
            except ZeroDivisionError:
                yield "crash"

    assert any(kind in (found, None) for found in seen())


@pytest.mark.parametrize(
    ("old", "new", "of_c"),
    [
        # Neighbours in the triangulation of c, and logits as they are at the mean residual.
        ("g[j] + g[m]", "0", False),
        # The same with both slacks, where they are not the same for all answers.
        ("list(map(add, logits.constants, g))", "list(logits.constants)", True),
        ("g[j] + g[m]", "2 * g[m]", False),
        # An answer that is no corner is a neighbour too.
        ("near[x].add(j)", "pass", False),
    ],
)
def test_false_forms_of_the_plane_fail(old: str, new: str, of_c: bool) -> None:
    module = altered(plane_module, old, new)
    found = (in_a_plane(module, random.Random(seed), of_c=of_c) for seed in range(6000))
    assert any("beaten" in (one or ()) for one in found)


PENTAGON = ((1000, 0), (309, 951), (-809, 588), (-809, -588), (309, -951), (0, 0))
TWICE_ROUND = [[5, a % 5, (a + 2) % 5] for a in range(0, 10, 2)]


def test_outer_edges_that_wind_twice_prove_something_false() -> None:
    # Each corner of the star is tested against those two steps away, so its true neighbours win.
    widths = Widths(Fraction(0), (0,), 0)
    logits = Reading((), PENTAGON, (0, 0, 0, 0, 0, 1000), widths, 0)
    given = Answers(logits, Matrix(((0,) * 6,), 0), 0)
    tiles = plane_module.parse_tiling({"triangles": TWICE_ROUND, "inside": []}, 6)
    with pytest.raises(Rejected) as found:
        plane_module.plane(logits, given.unembed, tiles, ledger())
    assert (found.value.rule, "wind once" in found.value.why) == ("SPEC-15.5", True)
    unchecked = altered(plane_module, "require(lowest == 1,", "require(True,")
    rivals = unchecked.plane(logits, given.unembed, tiles, ledger())
    s = [Fraction(4), Fraction(3)]
    assert all(given.tested(rivals, k, 0, s) < 0 for k in rivals.spreads[0])
    assert given.bracket(1, 0, s, [0]) > 0


# --- term by term -----------------------------------------------------------------------


def cells_over(model: Model, document: dict[str, Any]) -> tuple[ChainCells, Paths, Any]:
    """Return the checker of a chain, the exact paths, and the parsed proof."""
    parsed: Any = parse(model.bytes, forests.encoded(document))
    hints = parsed.proof.hints
    return ChainCells(hints, ledger()), decompose(parsed.model, hints.named, {}, ledger()), parsed


def every_cell(roots: Any) -> Iterator[Any]:
    for cell in roots:
        yield cell
        yield from every_cell(cell.children)


def scores_of(paths: Paths, q: int, m: int, t: int, i: int) -> float:
    """Return the logarithm of the weight of token t at position i, relative to m at the last."""
    key = paths.eqke_low[q][t] - paths.eqke_low[q][m] + paths.eqkp[q][i] - paths.eqkp[q][-1]
    return float(Fraction(key, 1 << paths.score_scale)) / math.sqrt(paths.d_head)


def factors(
    chain: ChainCells, paths: Paths, frame: ChainFrame, asked: list[int]
) -> tuple[float, float]:
    """Return the logarithms of a least and a largest number that takes all weights of the inputs
    with these queries to between their ends.
    """
    least, most = -math.inf, math.inf
    unit = chain.precision * math.log(2)
    for (b, (first, last)), i in itertools.product(enumerate(frame.blocks), range(len(paths.pvou))):
        low, high = frame.weights[i][b]
        for q, t in itertools.product(asked, range(first, last + 1)):
            score = scores_of(paths, q, frame.maximum, t, i)
            least = max(least, math.log(low) - unit - score if low else -math.inf)
            most = min(most, math.log(high) - unit - score)
    return least, most


def test_weights_of_positions_with_different_keys_are_as_narrow_as_those_of_tokens() -> None:
    places = [[0, Fraction(1, 16), 1], [0, Fraction(-1, 8), 1], [0, 0, 1]]
    changes = {"pos_embed.W_pos": places}
    given = vectors_chain.model(vectors_chain.LINE, n=3, changes=changes)
    document = vectors_chain.document(make_vectors, given, vectors_chain.cells_of(4))
    chain, paths, parsed = cells_over(given, document)
    assert len(set(chain.keys)) == 3
    for cell in every_cell(parsed.proof.roots):
        asked = [q for first, last in cell.queries for q in range(first, last + 1)]
        frame = ChainFrame(chain, cell)
        least, most = factors(chain, paths, frame, asked)
        assert least <= most + 1e-9
        ends = [both for row in frame.weights for both in row.values()]
        assert all(low <= high <= low + (low >> 20) + 8 for low, high in ends)


def chain_of(given: Model, last: int, queries: Any, **hints: Any) -> tuple[ChainCells, Any]:
    """Return the checker of a chain, and its cell with this maximum and these queries; all others
    are skipped.
    """
    left = sorted({*range(last + 1)} - {q for first, end in queries for q in range(first, end + 1)})
    cells: list[dict[str, Any]] = []
    for m in range(last + 1):
        own = {"maximum": m, "mu": ["0", "0"]}
        others = [[[m, m]]] + [[[q, q]] for q in range(m)]
        if m == last:
            count = {"method": "count", "layout": [[1, m]] if m else [], "blocks": [[64, []]]}
            cells.append({**own, **count, "queries": queries, "failures": ["0", "1000000"]})
            others = [[[q, q]] for q in left]
        cells += [{**own, "method": "skip", "queries": skipped} for skipped in others]
    chain, _, parsed = cells_over(
        given, vectors_chain.document(make_vectors, given, cells, **hints)
    )
    return chain, next(cell for cell in parsed.proof.roots if cell.maximum == last)


SIX = tuple((j,) for j in range(6))


def test_a_cell_is_asked_from_the_first_of_its_queries_to_the_last() -> None:
    for queries, ends in (([[0, 1], [3, 4]], (0, 4)), ([[1, 2]], (1, 2)), ([[5, 5]], (5, 5))):
        chain, cell = chain_of(vectors_chain.model(SIX), 5, queries)
        frame = chain.frame(cell)
        assert frame.asked == ends  # type: ignore[attr-defined]
        held = {frame.blocks.index((t, t)) for t in range(6) if _asks(queries, t)}
        assert set(frame.lows[-1]) == set(frame.highs[-1]) == held


def _asks(queries: Any, t: int) -> bool:
    return any(first <= t <= last for first, last in queries)


def test_the_only_answer_has_one_cell() -> None:
    chain, cell = chain_of(vectors_chain.model(((0,),)), 0, [[0, 0]])
    assert chain.rivals.spreads == {0: {}}
    assert cell.maximum == 0


def test_equal_keys_of_positions_weigh_the_same_for_every_query() -> None:
    # Queries differ, and so do a_q z_i of one key; their differences are nothing.
    places = [[0, Fraction(1, 8), 1]] * 3
    changes: dict[str, Any] = {"pos_embed.W_pos": places}
    changes[ATTENTION + "W_Q"] = [[[0], [64], [1]]]
    chain, cell = chain_of(vectors_chain.model(SIX, n=3, changes=changes), 5, [[0, 4]])
    assert set(chain.keys) == {chain.keys[0]} != {0}
    assert len({row[0] for row in chain.scored.queries}) == 6
    own = 1 << chain.precision
    for row in ChainFrame(chain, cell).weights[:-1]:
        low, high = row[5]
        assert own * (1 - 2**-40) < low <= high <= own


def test_what_vectors_reach_is_that_of_every_one_of_a_range() -> None:
    rng = random.Random(3)
    rows = tuple(tuple(rng.randint(-99, 99) for _ in range(2)) for _ in range(9))
    known = frames_module.both(rows, ledger())
    for first, last in itertools.combinations_with_replacement(range(9), 2):
        columns = list(zip(*rows[first : last + 1], strict=True))
        expected = [*map(max, columns), *(-min(column) for column in columns)]
        assert frames_module.reach(known, first, last) == expected


def test_the_product_of_two_ranges_has_the_ends_of_all_products() -> None:
    for a, b in itertools.product(itertools.combinations(range(-3, 4), 2), repeat=2):
        (a_low, a_high), (b_low, b_high) = a, b
        products = [x * y for x in a for y in b]
        ends = frames_module.times([a_high, -a_low], [b_high, -b_low], 7, ledger())
        assert ends == (min(products) - 7, max(products) + 7)


@pytest.mark.parametrize(
    ("changes", "ov", "most"),
    [
        ({}, 0, "products"),
        ({"unembed.b_U": [0, 0, 0, 0, 0, 1 << 60]}, 0, "constants"),
        # A direction that is too short leaves half of what there is.
        ({ATTENTION + "W_V": [[[64], [1 << 40], [0]]]}, -1, "spreads"),
    ],
)
def test_room_for_a_bracket_is_counted(changes: dict[str, Any], ov: int, most: str) -> None:
    hints = [chains.matrix([[1]], ov), chains.matrix([[1]])]
    # The widest gap is in the middle, so that the largest spread is that of no answer alone.
    far = ((0,), (1,), (2,), (60,), (61,), (62,))
    chain, _ = chain_of(vectors_chain.model(far, changes=changes), 5, [[5, 5]], ov=hints)
    tokens = [abs(x) for row in chain.logits.rows for x in row]
    answers_ = [abs(x) for row in chain.logits.answers for x in row]
    constants = [abs(x) for x in chain.logits.constants]
    spreads = [x for row in chain.rivals.spreads.values() for x in row.values()]
    lengths = {
        "products": max(tokens).bit_length() + max(answers_).bit_length(),
        "constants": max(constants).bit_length(),
        "spreads": max(spreads).bit_length(),
    }
    assert max(lengths, key=lengths.__getitem__) == most
    # A term is a weight times a bracket: eight bits more for the sum of what it is made of.
    assert chain.bits == 1024 + chain.precision + lengths[most] + 8


def test_room_for_a_bracket_is_that_of_the_largest_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    spreads = {j: {0: 1, 1: 1 << 900, 2: 2} for j in range(6)}
    rivals = Rivals(spreads, dict.fromkeys(spreads, 1))
    monkeypatch.setattr(frames_module, "line", lambda *_: rivals)
    chain, _ = chain_of(vectors_chain.model(SIX), 5, [[5, 5]])
    assert chain.bits == 1024 + chain.precision + 901 + 8


def test_a_width_is_a_norm_and_a_reach_each_over_its_scale() -> None:
    # |x| is 5/4 and 0; the reach (2 * 3 + 5 * 4) / 2^5.
    widths = Widths(Fraction(3), (2, 5), 3)
    rows = Matrix(((3, -4), (0, 0)), 2)
    assert widths.of(rows, 10, ledger()) == [(15 << 8) + (26 << 5), 0]
    assert widths.of(rows, 0, ledger()) == [4 + 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_what_directions_leave_is_that_of_the_page(seed: int) -> None:
    choose = Seeded(random.Random(seed))
    model = chains.build_model(choose, 1)
    head = model.config["d_head"]
    hint = [chains.matrix([[seed % 2]] * head), chains.matrix([[1] * head])]
    loaded = load_model(model.bytes)
    written = forests.document(model, None, cells=[])["statement"]
    named = places_of(build_statement(loaded, written["model"][7:], written))
    role = loaded.by_role()
    pair = parse_matrix(hint[0], "N"), parse_matrix(hint[1], "B")
    given = stream(role, named, ledger())
    scored = attention(role, given, pair, ledger())
    logits = reading(role, given, pair, ledger())
    w = {name: np.array(x, dtype=float) for name, x in model.tensors.items()}
    left, right = (np.array(part["rows"], dtype=float) for part in hint)
    embed, places = w["embed.W_E"], w["pos_embed.W_pos"]
    query, key, value, output = (w[f"{ATTENTION}W_{letter}"][0] for letter in "QKVO")
    bias = w.get(f"{ATTENTION}b_Q", np.zeros((1, head)))[0]
    asking = np.vstack([query, places[-1] @ query + bias])
    longest = max(np.linalg.norm(row) for row in (*embed, *places))
    norm = np.linalg.norm
    moved = 2 * longest * norm(value - value @ left @ right) * norm(output)
    assert float(logits.widths.norm) == pytest.approx(moved, rel=1e-9)
    off = (longest + 1) * norm(asking - asking @ left @ right) * norm(key) * 2 * longest
    assert scored.error / 2.0**scored.scale == pytest.approx(off, rel=1e-9, abs=2.0**-40)
    # s_t . u_j is over the scale of c_j, and a_q z_t over that of the error
    values = np.vstack([embed, places]) @ value @ left
    answers_ = np.array(logits.answers, dtype=float)
    reached = np.array(logits.rows, dtype=float) @ answers_.T / 2.0**logits.scale
    assert reached == pytest.approx(values @ right @ output @ w["unembed.W_U"], rel=1e-9, abs=1e-9)
    keys = np.vstack([embed, places]) @ key @ right.T
    asked = (embed @ query + places[-1] @ query + bias) @ left
    products = np.array(scored.queries, dtype=float) @ np.array(scored.rows, dtype=float).T
    assert products / 2.0**scored.scale == pytest.approx(asked @ keys.T, rel=1e-9, abs=1e-9)


def test_of_answers_that_are_equally_steep_the_farthest_is_the_rival() -> None:
    # Those between are no corners of the hull; for the last but one the next is the farthest too.
    points = [(0, 0, 0), (1, -1, 1), (3, -3, 2), (4, -5, 3)]
    assert list(line_module.later(points, 0, ledger())) == [(2, 3, 1), (1, 2, 1), (0, 2, 3)]


def test_an_answer_at_the_same_place_is_no_farther_than_the_nearest() -> None:
    points = [(0, 0, 0), (0, -2, 1), (0, -1, 2)]
    assert list(line_module.later(points, 0, ledger())) == [(1, 2, 1), (0, 2, 1)]


def test_of_answers_at_one_place_and_height_the_farthest_is_the_rival() -> None:
    # A certificate names rivals by their numbers, so it matters which of them is one.
    points = [(0, 0, 0), (0, -1, 1), (0, -1, 2)]
    assert list(line_module.later(points, 0, ledger())) == [(1, 2, 1), (0, 2, 1)]
    mirror = [(0, -1, 2), (0, -1, 1), (0, 0, 0)]
    assert list(line_module.later(mirror, 0, ledger())) == [(1, 0, 1), (2, 0, 1)]


def test_weights_and_brackets_bound_those_of_every_input() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        found = case(seed)
        if found is None:
            continue
        model, _, document = found
        try:
            chain, paths, parsed = cells_over(model, document)
        except Rejected:
            continue
        for cell in every_cell(parsed.proof.roots):
            m, right = cell.maximum, chain.right[cell.maximum]
            if right not in chain.rivals.spreads:
                continue
            frame = ChainFrame(chain, cell)
            assert frame.drop == 0  # 12.5: B/rho, nothing in real arithmetic
            asked = [q for first, last in cell.queries for q in range(first, last + 1)]
            least, most = factors(chain, paths, frame, asked)
            # One number for the cell takes all weights to between their ends.
            assert least <= most + 1e-9, (seed, cell.where)
            seen["narrow"] += most - least < 1e-6
            single = len(asked) == 1 and len(frame.blocks) == m + 1
            if (
                single
                and chain.scored.error == 0
                and all(low > 1 << 40 for row in frame.weights for low, _ in row.values())
            ):
                assert most - least < 1e-6, (seed, cell.where)
            for j in chain.rivals.spreads[right]:
                upper = frame.brackets(j, 0, term_upper)
                lower = frame.brackets(j, 0, term_lower)
                for (b, (first, last)), i in itertools.product(
                    enumerate(frame.blocks), range(len(paths.pvou))
                ):
                    for q, t in itertools.product(asked, range(first, last + 1)):
                        exact = Fraction(
                            paths.evou_low[t][j]
                            - paths.evou_low[t][right]
                            + paths.pvou[i][j]
                            - paths.pvou[i][right]
                            + paths.eu_low[q][j]
                            - paths.eu_low[q][right],
                            1 << paths.value_scale,
                        )
                        above = Fraction(upper.blocks[b] + upper.places[i], 1 << chain.value_scale)
                        below = Fraction(lower.blocks[b] + lower.places[i], 1 << chain.value_scale)
                        assert below <= exact <= above, (seed, cell.where, j)
                        widest = upper.blocks[b] + upper.places[i]
                        assert widest.bit_length() + chain.precision + 1024 <= chain.bits
                        seen["exact"] += below == above
                        seen["wide"] += below < above
    assert min(seen[key] for key in ("narrow", "exact", "wide")) > 20, seen


def test_a_screen_takes_the_least_and_the_largest_weight_of_all_positions() -> None:
    taken: list[Any] = []

    def watched(answers: Any, brackets: Any, weights: Any, masks: Any, n: int) -> Any:
        taken.append(weights)
        return {}, None, 1

    for seed in range(0, 60, 2):
        found = case(seed)
        assert found is not None
        model, _, document = found
        chain, _, parsed = cells_over(model, document)
        for cell in every_cell(parsed.proof.roots):
            if cell.method.__class__.__name__ != "Screen":
                continue
            rows = ChainFrame(chain, cell).weights
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(frames_module, "left_by", watched)
                chain.screened(cell, {}, 0)
            for b, (low, high) in enumerate(taken.pop()):
                assert low == min(row[b][0] for row in rows)
                assert high == max(row[b][1] for row in rows)


def test_an_answer_on_an_edge_is_inside() -> None:
    places = ((0, 0), (2, 0), (0, 2), (1, 1))
    logits = Reading((), places, (0, 0, 0, -1), Widths(Fraction(0), (0,), 0), 0)
    tiles = plane_module.parse_tiling({"triangles": [[0, 1, 2]], "inside": [[3, 0]]}, 4)
    rivals = plane_module.plane(logits, Matrix(((0,) * 4,), 0), tiles, ledger())
    assert set(rivals.spreads) == {0, 1, 2}
    assert all(3 in near for near in rivals.spreads.values())


@pytest.mark.parametrize("triangle", [[0, 1, 2], [1, 2, 0], [2, 0, 1]])
def test_an_answer_just_outside_is_not_inside(triangle: list[int]) -> None:
    # Of twice the area, which is one, the corner (0, 0) has a share of -1.
    places = ((0, 0), (1, 0), (0, 1), (1, 1))
    logits = Reading((), places, (0, 0, 0, -9), Widths(Fraction(0), (0,), 0), 0)
    tiles = plane_module.parse_tiling({"triangles": [triangle], "inside": [[3, 0]]}, 4)
    with pytest.raises(Rejected, match="answer 3 is not inside"):
        plane_module.plane(logits, Matrix(((0,) * 4,), 0), tiles, ledger())


# --- float32, limits, the ledger --------------------------------------------------------


def test_what_is_certified_in_float32_is_right_in_every_execution() -> None:
    certified = below = margins = 0
    for seed in range(60):
        found = case(seed)
        if found is None or found[1] is not None:
            continue
        model, _, document = found
        verdict = proved(model, vectors_float32.claimed(document))
        if verdict is None:
            continue
        config = model.config
        tokens = np.array(list(itertools.product(range(config["d_vocab"]), repeat=config["n_ctx"])))
        each = np.arange(len(tokens))
        worst, best = np.full(len(tokens), np.inf), np.full(len(tokens), -np.inf)
        for stages in executions(model, tokens, seed):
            logits = stages.logits.astype(np.float64)
            own = logits[each, tokens.max(axis=1)].copy()
            logits[each, tokens.max(axis=1)] = -np.inf
            margin = own - logits.max(axis=1)
            worst, best = np.minimum(worst, margin), np.maximum(best, margin)
        assert verdict.lower <= ((worst > 0) & (worst >= float(verdict.margin))).sum()
        assert verdict.upper >= (best > 0).sum()
        certified += verdict.lower > 0
        margins += verdict.margin > 0
        below += verdict.upper < verdict.total
    assert min(certified, margins, below) >= 3


def test_triangles_without_area_are_none() -> None:
    for places in (((0, 0), (1, 1), (2, 2)), ((0, 0), (0, 0), (1, 1))):
        logits = Reading((), places, (0, 1, 0), Widths(Fraction(0), (0,), 0), 0)
        tiles = plane_module.parse_tiling({"triangles": [[0, 1, 2]], "inside": []}, 3)
        with pytest.raises(Rejected, match="turns to the right"):
            plane_module.plane(logits, Matrix(((0, 0, 0),), 0), tiles, ledger())


def tiled(places: Any, heights: Any, triangles: Any, inside: Any = ()) -> Rivals:
    """Return the rivals of answers at these places, of which directions leave nothing."""
    logits = Reading((), places, heights, Widths(Fraction(0), (0,), 0), 0)
    hint = {"triangles": triangles, "inside": [*inside]}
    tiles = plane_module.parse_tiling(hint, len(places))
    return plane_module.plane(logits, Matrix(((0,) * len(places),), 0), tiles, ledger())


def test_an_outer_corner_must_turn() -> None:
    straight = ((0, 0), (1, 0), (2, 0), (1, 1))
    with pytest.raises(Rejected, match="not convex"):
        tiled(straight, (0, 0, 0, 0), [[0, 1, 3], [1, 2, 3]])
    bent = ((0, 0), (1, -1), (2, 0), (1, 1))
    assert set(tiled(bent, (0, 0, 0, 0), [[0, 1, 3], [1, 2, 3]]).spreads) == {0, 1, 2, 3}


def test_heights_in_one_plane_are_concave() -> None:
    square = ((0, 0), (1, 0), (1, 1), (0, 1), (1, 1))
    sides, inside = [[0, 1, 2], [2, 3, 0]], [[4, 0]]
    assert set(tiled(square, (0, 1, 3, 2, 3), sides, inside).spreads) == {0, 1, 2, 3}
    for heights in ((0, 1, 2, 2, 2), (0, 1, 3, 2, 4)):
        with pytest.raises(Rejected) as found:
            tiled(square, heights, sides, inside)
        assert found.value.rule == "SPEC-15.5"


def test_two_outer_edges_never_leave_one_corner() -> None:
    bow = ((0, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
    with pytest.raises(Rejected, match="leave one corner"):
        tiled(bow, (0, 0, 0, 0, 0), [[0, 1, 2], [0, 3, 4]])


def test_no_answer_is_its_own_rival() -> None:
    # A corner lies in its triangle, and may be named there too.
    corners = ((0, 0), (1, 0), (0, 1))
    rivals = tiled(corners, (0, 0, 0), [[0, 1, 2]], [[1, 0]])
    assert rivals.spreads == {0: {1: 0, 2: 0}, 1: {0: 0, 2: 0}, 2: {0: 0, 1: 0}}


@pytest.mark.parametrize(
    ("triangle", "inside"),
    [([-1, 1, 2], [3, 0]), ([0, 1, 4], [3, 0]), ([0, 1, 2], [-1, 0]), ([0, 1, 2], [3, -1])],
)
def test_corners_and_triangles_have_numbers(triangle: list[int], inside: list[int]) -> None:
    with pytest.raises(Malformed) as found:
        plane_module.parse_tiling({"triangles": [triangle], "inside": [inside]}, 4)
    assert found.value.rule == "SPEC-3.3"


def test_more_triangles_than_answers_can_have_are_declined() -> None:
    assert plane_module.MAX_TRIANGLES == 8192
    most = {"triangles": [[0, 1, 2]] * 8192, "inside": [[3, 8191]]}
    assert plane_module.parse_tiling(most, 4).inside == ((3, 8191),)
    for count, kind in ((8192, Malformed), (8193, Declined)):
        hint = {"triangles": [[0, 1, 2]] * count, "inside": [[3, 8192]]}
        with pytest.raises(kind) as found:
            plane_module.parse_tiling(hint, 4)
        assert found.value.rule == {Malformed: "SPEC-3.3", Declined: "SPEC-3.5"}[kind]


@pytest.mark.parametrize("seed", range(6))
def test_the_operations_are_those_declared_and_one_less_is_declined(seed: int) -> None:
    found = case(seed)
    assert found is not None
    model, _, document = found
    theorem = check(parse(model.bytes, forests.encoded(document)), lambda done, declared: None)
    document["proof"]["operations"] = str(theorem.ledger.total)
    again = check(parse(model.bytes, forests.encoded(document)), lambda done, declared: None)
    assert again.ledger.total == theorem.ledger.total
    document["proof"]["operations"] = str(theorem.ledger.total - 1)
    with pytest.raises(Declined) as refusal:
        check(parse(model.bytes, forests.encoded(document)), lambda done, declared: None)
    assert refusal.value.rule == "SPEC-8.2"


def test_a_proof_about_2048_tokens_is_short_and_takes_little_room() -> None:
    places = tuple((j,) for j in range(2048))
    apart: dict[str, Any] = {
        "embed.W_E": [[0, Fraction(t, 8), 0] for t in range(2048)],
        models.ATTENTION + "W_V": [[[0], [8], [0]]],
    }
    model = vectors_chain.model(places, n=2, changes=apart)
    cells = [
        {"maximum": m, "mu": ["0", "0"], "method": "skip", "queries": queries}
        for m in range(2048)
        for queries in ([[[0, m - 1]]] if m else []) + [[[m, m]]]
    ]
    cells[-1] |= {"method": "extreme", "layout": [[1024, 1], [1, 1023]], "margin": ["0", "0"]}
    document = forests.document(
        model,
        None,
        precision=64,
        chain={"cells": cells, "ov": chains.axes(1, 1), "qk": chains.axes(1, 1)},
    )
    theorem = check(parse(model.bytes, forests.encoded(document)), lambda done, declared: None)
    assert theorem.correct_lower == 2048
    assert theorem.ledger.total < 2048 * 400
    assert theorem.ledger.held < 1 << 28
