"""Vectors for SPEC-5.4 and SPEC-12: claims about every float32 execution.

`chapter` takes the book and the module `make_vectors`, which imports this file, so that there is no
circle.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Document = dict[str, Any]

NAME, EPS, ETA = "float32:any-order", "1/4194304", f"1/{2**126}"
EXP = {"eps_exp": EPS, "eta_exp": ETA}


def claimed(doc: Document, **exp: str) -> Document:
    """Return a certificate that says the same of float32, with the usual exp or another."""
    statement = {**doc["statement"], "semantics": NAME, **EXP, **exp}
    return {**doc, "statement": statement}


def _forms(book: Any, make: Any) -> None:
    """SPEC-5.4: how the semantics is written."""
    base = claimed(make.BASE)

    def refused(
        name: str,
        why: str,
        clause: str = "SPEC-5.4",
        doc: Document = base,
        *,
        declined: bool = False,
    ) -> None:
        book.refuse(clause, f"float32-{name}", why, doc, declined=declined)

    for key, value in EXP.items():
        refused(
            f"without-{key.replace('_', '-')}",
            "one number alone",
            doc=make.cut(base, f"statement/{key}"),
        )
        refused(
            f"real-with-{key.replace('_', '-')}",
            "real arithmetic has no exp",
            doc=make.put(make.BASE, f"statement/{key}", value),
        )
    refused("without-exp", "no number", doc=make.put(make.BASE, "statement/semantics", NAME))
    refused(
        "real-with-exp",
        "real arithmetic has no exp",
        doc=make.put(base, "statement/semantics", "real"),
    )
    for name, written in (
        ("not-lowest", "2/8388608"),
        ("whole", "0"),
        ("negative", "-1/4194304"),
        ("decimal", "0.25"),
        ("over-zero", "1/0"),
    ):
        refused(
            f"eps-{name}", "not the one spelling", "SPEC-3.3", claimed(make.BASE, eps_exp=written)
        )
    refused(
        "eta-too-small",
        "below the smallest subnormal number",
        doc=claimed(make.BASE, eta_exp=f"1/{2**150}"),
    )
    refused(
        "eps-too-small",
        "no float32 exp is so good",
        doc=claimed(make.BASE, eps_exp=f"1/{2**25 + 1}"),
    )
    refused("eps-zero", "no error at all", doc=claimed(make.BASE, eps_exp="0/1"))
    refused("eta-zero", "no error at all", doc=claimed(make.BASE, eta_exp="0/1"))
    refused(
        "eps-too-large", "more than 2^-6", doc=claimed(make.BASE, eps_exp="1/63"), declined=True
    )
    refused(
        "eta-too-large", "more than 2^-6", doc=claimed(make.BASE, eta_exp="1/63"), declined=True
    )
    double = make.Model(make.PAIR.config, make.PAIR.tensors, dtype="F64")
    book.refuse(
        "SPEC-5.4",
        "float32-of-float64",
        "a tensor that no float32 program holds",
        claimed(make.document(double, make.PAIR_CELLS)),
        double,
        declined=True,
    )
    one = make.Model(
        make.PAIR.config,
        make.PAIR.tensors,
        dtype=dict.fromkeys(make.PAIR.tensors, "F32") | {"unembed.W_U": "F64"},
    )
    book.refuse(
        "SPEC-5.4",
        "float32-with-one-float64",
        "one tensor that no float32 program holds",
        claimed(make.document(one, make.PAIR_CELLS)),
        one,
        declined=True,
    )
    for exact in (
        EXP,
        {"eps_exp": f"1/{2**25}", "eta_exp": f"1/{2**149}"},
        {"eps_exp": "1/64", "eta_exp": "1/64"},
    ):
        name = f"float32-{exact['eps_exp'].replace('/', '-')}"
        doc = make.tightened(make.PAIR, claimed(make.document(make.PAIR, make.PAIR_CELLS), **exact))
        book.accept("SPEC-5.4", name, "a small model in float32", make.PAIR, doc)


def _theorem(book: Any, make: Any) -> None:
    """SPEC-12.3 and SPEC-12.5: when there is no theorem, and that a real claim is stronger."""
    huge = make.Model(make.PAIR.config, make.PAIR.tensors | {"embed.W_E": [[-(2**64)], [2**64]]})
    large = make.Model(make.PAIR.config, make.PAIR.tensors | {"embed.W_E": [[-(2**12)], [2**12]]})
    for name, model, declined in (("overflow", huge, True), ("no-overflow", large, False)):
        doc = claimed(make.document(model, make.PAIR_CELLS))
        if declined:
            book.refuse(
                "SPEC-12.3",
                name,
                "products of queries and keys near 2^128",
                doc,
                model,
                declined=True,
            )
        else:
            book.accept("SPEC-12.3", name, "numbers that fit", model, make.tightened(model, doc))
    many = make.flat(1, 32)
    unit = Fraction(1, 2**24)
    lost = (1 + unit) ** 2 / (1 - 32 * unit / (1 - 32 * unit)) - 1
    for name, share in (
        ("hardly-any-weight", Fraction(1, 2**97)),
        ("one-unit-of-weight", Fraction(1, 2**94)),
    ):
        eta = (
            1
            - Fraction(-(-(lost * 2**96).numerator // (lost * 2**96).denominator), 2**96)
            - Fraction(1, 2**100)
            - share
        ) / 96
        doc = claimed(
            make.document(many, make.completed(1, [])), eta_exp=f"{eta.numerator}/{eta.denominator}"
        )
        if share < Fraction(1, 2**96):
            book.refuse(
                "SPEC-12.3",
                name,
                "attention weights that sum to less than 2^-96",
                doc,
                many,
                declined=True,
            )
        else:
            book.accept("SPEC-12.3", name, "just enough weight", many, make.tightened(many, doc))
    doc = claimed(make.document(many, make.completed(1, [])), eta_exp="1/64")
    book.refuse(
        "SPEC-12.3",
        "no-weight-left",
        "32 weights, each of which may be off by 3/64",
        doc,
        many,
        declined=True,
    )
    # By hand: W_U = [0, 1 + 2^-20] would win by 2^-20 of a direct path that rounding may swallow.
    for name, model in (("sharp", make.SHARP), ("noisy", make.NOISY)):
        vocab = model.config["d_vocab"]
        for method in ("brute-force", "enumerate", "count"):
            keys = {"layout": [[1, 0]], "blocks": [[64, []]]} if method == "count" else {}
            cells = [
                make.root(
                    m,
                    [[q, q]],
                    method,
                    **({} if method == "brute-force" else {"layout": [[1, m]] if m else []}),
                    **({"blocks": keys["blocks"]} if keys else {}),
                )
                for m in range(vocab)
                for q in range(m + 1)
            ]
            doc = make.tightened(model, claimed(make.document(model, cells)))
            book.accept("SPEC-12.5", f"{name}-{method}", "every cell in float32", model, doc)
    extreme = [make.root(m, [[0, m - 1]], "extreme", layout=[[1, m]]) for m in (3,)]
    columns = [[2**11 * j for j in range(4)], [-(2**10) * j * j for j in range(4)]]
    steep = make.Model(make.SHARP.config, make.SHARP.tensors | {"unembed.W_U": columns})
    real = make.proved(steep, make.completed(4, extreme))
    loose = make.put(claimed(real), "proof/operations", str(10**11))
    book.refuse(
        "SPEC-7.13",
        "real-margin-in-float32",
        "a margin of real logits claimed of computed ones",
        loose,
        steep,
    )
    # A bracket of 2^-30 beside logits of 1: right in real arithmetic, open in float32.
    close = make.models.pair(
        **{"unembed.b_U": [0, Fraction(1, 2**30)], ATTENTION_V: [[[0]]], "unembed.W_U": [[1, 1]]}
    )
    real = make.proved(close, make.completed(2, []))
    book.refuse(
        "SPEC-7.13",
        "real-failures-in-float32",
        "failures of real arithmetic, where rounding may decide",
        make.put(claimed(real), "proof/operations", str(10**11)),
        close,
    )


ATTENTION_V = "blocks.0.attn.W_V"


def _requirements(book: Any, make: Any) -> None:
    """SPEC-9.3: what a user may require of the arithmetic."""
    doc = make.tightened(make.PAIR, claimed(make.document(make.PAIR, make.PAIR_CELLS)))
    for name, arguments in (
        ("float32", ("--semantics", NAME)),
        ("exp", ("--eps-exp", EPS, "--eta-exp", ETA)),
        ("less-exp", ("--eps-exp", "1/4194305")),
        ("half", ("--semantics", NAME, "--at-least", "1/2")),
        ("eps-means-float32", ("--eps-exp", EPS, "--at-least", "1/2")),
    ):
        book.accept(
            "SPEC-9.3",
            f"float32-{name}",
            "a requirement that holds",
            make.PAIR,
            doc,
            arguments=arguments,
        )
    for name, arguments in (
        ("real", ("--semantics", "real")),
        ("more-eps", ("--eps-exp", "1/4194303")),
        ("more-eta", ("--eta-exp", f"1/{2**126 - 1}")),
        ("at-least-means-real", ("--at-least", "1/2")),
    ):
        book.refuse(
            "SPEC-9.3",
            f"float32-{name}",
            "another arithmetic is required",
            doc,
            arguments=arguments,
        )
    good = make.tightened(
        make.PAIR, claimed(make.document(make.PAIR, make.PAIR_CELLS), eps_exp="1/8388608")
    )
    for name, more in (("asked", ("--eps-exp", "1/8388608")), ("any", ())):
        all_asked = ("--semantics", NAME, *more, *(("--at-least", "1/2") if more else ()))
        book.accept(
            "SPEC-9.3",
            f"float32-better-exp-{name}",
            "an exp that is as good as allowed",
            make.PAIR,
            good,
            arguments=all_asked,
        )
    book.refuse(
        "SPEC-9.3",
        "float32-better-exp",
        "a better exp than is usual, and not allowed",
        good,
        arguments=("--semantics", NAME, "--at-least", "1/2"),
    )
    for option in ("--eps-exp", "--eta-exp"):
        book.refuse(
            "SPEC-9.3",
            f"real{option[1:]}",
            "real arithmetic says nothing about exp",
            make.BASE,
            arguments=(option, "0/1"),
        )
        book.refuse(
            "SPEC-9.3",
            f"real{option[1:]}-of-real",
            "real arithmetic is required, and an error of exp, which it does not have",
            make.BASE,
            arguments=("--semantics", "real", option, "0/1"),
        )
    book.refuse(
        "SPEC-9.3",
        "real-for-float32",
        "float32 is required",
        make.BASE,
        arguments=("--semantics", NAME),
    )


def chapter(book: Any, make: Any) -> None:
    """SPEC-5.4, SPEC-9.3 and SPEC-12."""
    _forms(book, make)
    _theorem(book, make)
    _requirements(book, make)
