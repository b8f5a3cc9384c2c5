"""Vectors for SPEC-6.5 to SPEC-6.8: enclosed paths.

`chapter` takes the book and the module `make_vectors`, which imports this file, so that there is no
circle:

    CHAPTERS = (..., lambda book: vectors_paths.chapter(book, sys.modules[__name__]))
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def matrix(rows: list[list[int]], exponent: int = 0) -> Document:
    """Return a hinted matrix."""
    return {"exponent": exponent, "rows": rows}


RANGE: Document = {"rule": "range"}


def split(at: int, rest: Document = RANGE, **shift: Document) -> Document:
    """Return a split, with a shift or without."""
    return {"rule": "split", "at": at, "rest": rest, **shift}


def hint(form: list[int], bound: Document, **peels: list[Document]) -> Document:
    """Return a hint; `f0=[c, x]` peels the first factor."""
    return {
        "form": form,
        "bound": bound,
        "peel": [peels.get(f"f{i}", []) for i in range(len(form))],
    }


# The model `sharp` (4 tokens, k = 3, d_model = d_head = 2): W_E = [t, 1], W_Q = [[0, 0], [16, 0]],
# W_K = [[1, 0], [0, 0]], W_V = 1, W_O = 32 and W_U = [2 j, -j^2].
# So every query looks the same: EQKE[q] = 16 [0, 1, 2, 3].
EMBEDDING = matrix([[0, 1], [1, 1], [2, 1], [3, 1]])
ONES = matrix([[1]] * 4)
ACCEPTED: dict[str, tuple[str, Document]] = {
    "SPEC-6.5/a-range": (
        "QK is [3, 1] by its ranges: half of 48 to either side",
        {"qk": hint([3, 1], RANGE)},
    ),
    "SPEC-6.5/an-identity": (
        "a length of zero is an identity",
        {"direct": hint([1, 0, 1], split(2))},
    ),
    "SPEC-6.5/three-paths": (
        "all three paths at once",
        {
            "qk": hint([2, 2], RANGE),
            "ov": hint([1, 3], RANGE, f0=[EMBEDDING, matrix([[1, 0], [0, 1]])]),
            "direct": hint([1, 1], split(1)),
        },
    ),
    "SPEC-6.6/all-of-it": (
        "the low-rank part is the whole factor, the rest is zero",
        {"qk": hint([1, 3], RANGE, f0=[EMBEDDING, matrix([[1, 0], [0, 1]])])},
    ),
    "SPEC-6.6/two-parts": (
        "low-rank parts of two factors, their cross term included",
        {
            "qk": hint(
                [3, 1],
                RANGE,
                f0=[ONES, matrix([[12, 1]])],
                f1=[matrix([[1], [0]]), matrix([[0, 1, 2, 2]])],
            )
        },
    ),
    "SPEC-6.6/a-silly-part": (
        "a low-rank part that is no part of anything",
        {"direct": hint([1, 1], RANGE, f0=[matrix([[9]] * 4, -2), matrix([[-7, 5]], -3)])},
    ),
    "SPEC-6.7/split": ("a split without a shift", {"qk": hint([3, 1], split(1))}),
    "SPEC-6.7/shift": (
        "every row is the shift, so only the shift's own range is left",
        {"qk": hint([3, 1], split(1, shift=matrix([[-16, 0]])))},
    ),
    "SPEC-6.7/recursive": (
        "splits of splits",
        {"qk": hint([1, 1, 1, 1], split(1, split(1, split(1))))},
    ),
    "SPEC-6.7/least": (
        "the least of several",
        {
            "qk": hint(
                [1, 2, 1],
                {"rule": "least", "of": [split(1), split(2), {"rule": "spectral", "squarings": 3}]},
            )
        },
    ),
    "SPEC-6.7/largest": (
        "the largest of the rows",
        {"direct": hint([1, 1], {"rule": "largest", "of": [RANGE]})},
    ),
    "SPEC-6.7/spectral": (
        "singular values",
        {"qk": hint([3, 1], {"rule": "spectral", "squarings": 5})},
    ),
    "SPEC-6.8/weighted": (
        "M N is the middle factor",
        {
            "qk": hint(
                [1, 2, 1],
                {"rule": "schwarz", "left": matrix([[0], [16]]), "right": matrix([[1, 0]])},
            )
        },
    ),
    "SPEC-6.8/another-middle": (
        "M N is not the middle factor: epsilon is paid",
        {
            "direct": hint(
                [1, 0, 1],
                {"rule": "schwarz", "left": matrix([[1], [1]]), "right": matrix([[1, 1]])},
            )
        },
    ),
}

_HALF = {"rule": "split", "at": 1}
REFUSED: dict[str, tuple[str, Any]] = {
    "SPEC-6.5/no-path": ("no path is named", {}),
    "SPEC-6.5/one-factor": (
        "the whole chain as one factor is what leaving the hint out means",
        {"qk": hint([4], RANGE)},
    ),
    "SPEC-6.5/short": ("three factors of four", {"qk": hint([2, 1], RANGE)}),
    "SPEC-6.5/long": ("five factors of four", {"qk": hint([4, 1], RANGE)}),
    "SPEC-6.5/identity-first": ("an identity in front", {"qk": hint([0, 4], RANGE)}),
    "SPEC-6.5/identity-last": ("an identity at the end", {"direct": hint([2, 0], RANGE)}),
    "SPEC-6.5/five-factors": ("more than four factors", {"qk": hint([1, 0, 1, 1, 1], RANGE)}),
    "SPEC-6.5/empty-matrix": ("no rows", {"direct": hint([1, 1], RANGE, f0=[matrix([]), ONES])}),
    "SPEC-6.5/empty-rows": ("no columns", {"direct": hint([1, 1], RANGE, f0=[matrix([[]]), ONES])}),
    "SPEC-6.5/ragged": (
        "rows of two lengths",
        {"direct": hint([1, 1], RANGE, f0=[matrix([[1], [1, 2]]), ONES])},
    ),
    "SPEC-6.6/a-part-short": (
        "no part for the last factor",
        {"qk": {**hint([3, 1], RANGE), "peel": [[]]}},
    ),
    "SPEC-6.6/half-a-part": ("c without x", {"qk": {**hint([3, 1], RANGE), "peel": [[ONES], []]}}),
    "SPEC-6.6/rows": (
        "c is too short",
        {"qk": hint([3, 1], RANGE, f0=[matrix([[1]] * 3), matrix([[1, 1]])])},
    ),
    "SPEC-6.6/columns": (
        "x is too wide",
        {"qk": hint([3, 1], RANGE, f0=[ONES, matrix([[1, 1, 1]])])},
    ),
    "SPEC-6.6/ranks": (
        "c and x of different rank",
        {"qk": hint([3, 1], RANGE, f0=[ONES, matrix([[1, 1]] * 2)])},
    ),
    "SPEC-6.7/split-at-0": ("nothing in front", {"qk": hint([3, 1], split(0))}),
    "SPEC-6.7/split-at-2": ("nothing behind", {"qk": hint([3, 1], split(2))}),
    "SPEC-6.7/two-shifts": (
        "a shift of two rows",
        {"qk": hint([3, 1], split(1, shift=matrix([[1, 1]] * 2)))},
    ),
    "SPEC-6.6/wide-shift": (
        "a shift that is too wide",
        {"qk": hint([3, 1], split(1, shift=matrix([[1, 1, 1]])))},
    ),
    "SPEC-6.7/least-of-nothing": (
        "least of nothing",
        {"qk": hint([3, 1], {"rule": "least", "of": []})},
    ),
    "SPEC-6.7/largest-of-nothing": (
        "largest of nothing",
        {"qk": hint([3, 1], {"rule": "largest", "of": []})},
    ),
    "SPEC-6.7/spectral-of-one": (
        "the last factor alone, square here, would be taken for two",
        {"direct": hint([1, 1], split(1, {"rule": "spectral", "squarings": 0}))},
    ),
    "SPEC-6.7/entries-in-least": (
        "bounds of entries hold for another constant of the row than ranges do",
        {
            "direct": hint(
                [1, 0, 1],
                {"rule": "least", "of": [RANGE, {"rule": "schwarz", "left": ONES, "right": ONES}]},
            )
        },
    ),
    "SPEC-6.8/three-and-one": (
        "the third factor of QK is no middle if it is multiplied to the first two",
        {
            "qk": hint(
                [3, 1], {"rule": "schwarz", "left": matrix([[1], [1]]), "right": matrix([[1, 1]])}
            )
        },
    ),
    "SPEC-6.8/no-middle": (
        "two factors have no middle",
        {
            "direct": hint(
                [1, 1], {"rule": "schwarz", "left": matrix([[1], [1]]), "right": matrix([[1, 1]])}
            )
        },
    ),
}


def chapter(book: Any, make: Any) -> None:
    """SPEC-6.5 to SPEC-6.8, about the model `sharp`."""
    model = make.SHARP

    def certificate(paths: Any, cells: list[Document] | None = None) -> Document:
        loose: Document = make.document(model, make.completed(4, cells or []))
        return make.put(loose, "proof/paths", paths)  # type: ignore[no-any-return]

    for place, (why, paths) in ACCEPTED.items():
        clause, name = place.split("/")
        book.accept(clause, name, why, model, make.tightened(model, certificate(paths)))
    for place, (why, paths) in REFUSED.items():
        clause, name = place.split("/")
        book.refuse(clause, name, why, certificate(paths), model)
    unknown = certificate({"qk": hint([3, 1], {"rule": "frobenius"})})
    book.refuse(
        "SPEC-6.7",
        "unknown-rule",
        "a rule that this page does not name",
        unknown,
        model,
        declined=True,
    )
    # The claim of the exact paths is more than enclosed ones show.
    exact = make.tightened(model, make.document(model, make.completed(4, [])))
    wide = make.put(
        make.put(exact, "proof/paths", ACCEPTED["SPEC-6.5/a-range"][1]),
        "proof/operations",
        str(10**11),
    )
    book.refuse(
        "SPEC-7.13",
        "exact-claims-of-an-enclosure",
        "failures of the exact paths, but QK is enclosed",
        wide,
        model,
    )
