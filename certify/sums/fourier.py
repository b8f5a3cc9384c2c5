"""The Fourier view of a network with two operands: which frequencies, or which irreducible
representations of a group, its neurons use.  Estimates in float64, for illustration.

A function f on the residues modulo p has the power |F(k)|^2 + |F(-k)|^2 at the frequency k, with F
its discrete Fourier transform.  On a group, the sums over conjugacy classes commute with all
translations, so the eigenspaces of a generic combination of them, symmetric under inversion, are
the isotypic components of the real functions on the group: of dimension d^2 for a real irreducible
representation of dimension d.  The power of f in a component is the square of its projection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model
from certify.question.question import Question
from certify.question.rules import GROUP, MODULAR_ADDITION, POLYNOMIAL

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LARGEST_ORDER = 1024
CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Basis:
    """An orthogonal decomposition of the functions on the values, [values, values], columns
    together that belong together.

    ``columns``: orthonormal.  ``of``: to which part a column belongs.  ``names``: of the parts.
    ``what``: what a part is called.
    """

    columns: Floats
    of: Integers
    names: tuple[str, ...]
    what: str

    def shares(self, functions: Floats) -> Floats:
        """Return the share of each part in the power of functions [values, many], means taken off:
        [many, parts].
        """
        centred = functions - functions.mean(axis=0)
        power = (self.columns.T @ centred) ** 2
        parts = np.stack([power[self.of == part].sum(axis=0) for part in range(len(self.names))])
        total = parts.sum(axis=0)
        found: Floats = (parts / np.where(total > 0, total, 1.0)).T
        return found


@dataclass(frozen=True, slots=True)
class View:
    """What neurons read and write in a basis: shares of power, [neurons, parts]."""

    basis: Basis
    reading: Floats
    writing: Floats


def view_of(model: Model, question: Question) -> View | None:
    """Return the Fourier view, or None where the values have no such structure.

    Cost: that of an eigenvalue problem of the size of the group, at most 1024.
    """
    basis = _basis(question)
    if basis is None:
        return None
    domain = question.domain
    position = domain.operands[0]
    order = np.argsort(np.array(domain.values[position]))
    tokens = np.array(domain.tokens[position])[order]
    answers = np.argsort(np.array(domain.answers))
    outputs = np.array(domain.outputs)[answers][: len(basis.columns)]
    return View(
        basis,
        basis.shares(_reading(model)[tokens]),
        basis.shares(_writing(model)[:, outputs].T),
    )


def _reading(model: Model) -> Floats:
    """Return what a token adds to each neuron by way of attention, [tokens, neurons]."""
    embedding = model.tensor("embed.W_E")
    values, outputs = (model.tensor(f"blocks.0.attn.W_{letter}") for letter in "VO")
    inside = model.tensor("blocks.0.mlp.W_in")
    moved = sum((embedding @ v @ o for v, o in zip(values, outputs, strict=True)), 0.0 * embedding)
    found: Floats = moved @ inside
    return found


def _writing(model: Model) -> Floats:
    """Return what a neuron adds to each logit, [neurons, outputs]."""
    found: Floats = model.tensor("blocks.0.mlp.W_out") @ model.tensor("unembed.W_U")
    return found


def _basis(question: Question) -> Basis | None:
    """Return the basis that belongs to a task, if every value is taken once by the first operand
    and answered.
    """
    domain = question.domain
    values = sorted(domain.values[domain.operands[0]] or ())
    order = len(values)
    whole = values == list(range(order)) and sorted(domain.answers)[:order] == values
    if not whole or order > LARGEST_ORDER:
        return None
    if question.name in (MODULAR_ADDITION, POLYNOMIAL):
        return cyclic_basis(order) if int(question.fields["modulus"]) == order else None
    if question.name == GROUP:
        product = _product(question)
        return None if product is None else _isotypic(product)
    return None


def cyclic_basis(p: int) -> Basis:
    """Return cosines and sines on the residues modulo ``p`` by their frequency, from 1; the
    constant is left out.
    """
    numbers = np.arange(p)
    columns, of = [], []
    half = p // 2
    for k in range(1, half + 1):
        waves = [np.cos(2 * np.pi * k * numbers / p)]
        if 2 * k != p:
            waves.append(np.sin(2 * np.pi * k * numbers / p))
        for wave in waves:
            columns.append(wave / np.linalg.norm(wave))
            of.append(k - 1)
    names = tuple(str(k) for k in range(1, half + 1))
    return Basis(np.stack(columns, axis=1), np.array(of), names, "frequency")


def _product(question: Question) -> Integers | None:
    """Return the number of x y for each x and y, [order, order], both operands taking all
    values.
    """
    domain = question.domain
    first, second = domain.operands
    order = len(domain.tokens[first])
    if sorted(domain.values[second] or ()) != list(range(order)):
        return None
    places = domain.places_between(0, domain.inputs)
    answers = question.right(places)[:, 0]
    stands_for = np.zeros(max(domain.outputs) + 1, dtype=np.int64)
    stands_for[list(domain.outputs)] = domain.answers
    values = domain.values_at(places)
    found = np.zeros((order, order), dtype=np.int64)
    found[values[:, 0], values[:, 1]] = stands_for[answers]
    return found


def _isotypic(product: Integers) -> Basis:
    """Return the isotypic components of the functions on a group, small dimensions first."""
    order = len(product)
    numbers = np.arange(order)
    identity = int(np.flatnonzero((product == numbers[:, None]).all(axis=0))[0])
    inverse = np.argmax(product == identity, axis=1)
    conjugates = product[product, inverse[:, None]]
    classes = conjugates.min(axis=0)
    # One weight for a class and that of its inverses makes the matrix symmetric.
    paired = np.minimum(classes, classes[inverse])
    weights = np.random.default_rng(0).standard_normal(order)[paired]
    mixing = weights[product[:, inverse]]
    eigenvalues, columns = np.linalg.eigh(mixing)
    steps = np.diff(eigenvalues) > CLOSE * max(1.0, float(np.abs(eigenvalues).max()))
    raw = np.concatenate([[0], np.cumsum(steps)])
    found = [columns[:, raw == part] for part in range(int(raw[-1]) + 1)]
    kept = [part for part in found if not _is_constant(part)]
    kept.sort(key=lambda part: (part.shape[1], -abs(float(part[identity] @ part[identity]))))
    of = np.concatenate([np.full(part.shape[1], number) for number, part in enumerate(kept)])
    return Basis(np.concatenate(kept, axis=1), of, _dimensions(kept), "representation")


def _is_constant(part: Floats) -> bool:
    return part.shape[1] == 1 and bool(np.ptp(part) < CLOSE)


def _dimensions(parts: list[Floats]) -> tuple[str, ...]:
    """Return names of components by the dimension of the representation: ``4a``, ``4b``."""
    sizes = [part.shape[1] for part in parts]
    texts = []
    for number, size in enumerate(sizes):
        root = round(size**0.5)
        name = f"{root}" if root * root == size else f"2x{round((size / 2) ** 0.5)}"
        if sizes.count(size) > 1:
            name += chr(ord("a") + sizes[:number].count(size) % 26)
        texts.append(name)
    return tuple(texts)
