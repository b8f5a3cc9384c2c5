"""SwitchHints of every name: the checker accepts their form, and encloses as tightly as was
estimated.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_models import random_model
from usual import usual_places

from certify.cells import enclosures
from certify.certificate.document import matrix
from certify.errors import BadInput
from certify.model.config import Config
from certify.model.file import Model, load_model
from checker.cells.enclosed import parse_hints
from checker.cells.paths import Paths, decompose
from checker.ground.ledger import Ledger
from checker.statement.model import load_model as load_exactly

SHIPPED = (
    Path(__file__).resolve().parents[2] / "certificates" / "max-of-4-seed-0" / "model.safetensors"
)
NAMES = [
    (path, name)
    for path, named in enclosures.names().items()
    for name in (*named[:-1], "rank-1", "rank-3", "rank-16", "rank-999")
]
SMALL = Config(d_vocab=7, d_vocab_out=9, n_ctx=3, d_model=4, d_head=3)


def checked(file: Path, hints: dict[str, enclosures.Hint]) -> tuple[Paths, int]:
    """Return what the checker makes of the hints, and its operations."""
    book = Ledger(lambda done: None)
    loaded = load_exactly(file.read_bytes())
    return decompose(
        loaded,
        usual_places(loaded.sizes),
        parse_hints(json.loads(json.dumps(hints))) if hints else {},
        book,
    ), book.total


def tables(paths: Paths, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of a path in float64, rows as in the prover."""
    low, high = {
        "qk": (paths.eqke_low, paths.eqke_high),
        "ov": (paths.evou_low, paths.evou_high),
        "direct": (paths.eu_low, paths.eu_high),
    }[path]
    unit = 2 ** (paths.score_scale if path == "qk" else paths.value_scale)
    return np.array([[x / unit for x in row] for row in low]), np.array(
        [[x / unit for x in row] for row in high]
    )


@pytest.fixture(scope="module")
def shipped() -> Model:
    return load_model(SHIPPED)


@pytest.mark.parametrize(("path", "name"), NAMES, ids=["-".join(pair) for pair in NAMES])
def test_estimates_are_what_the_checker_derives(path: str, name: str, shipped: Model) -> None:
    hints = enclosures.hints_for(shipped, {path: name})
    paths, _ = checked(SHIPPED, hints)
    chain = enclosures.chains(shipped)[path]
    exact = enclosures.estimate(chain, None)[0]
    low, high = tables(paths, path)
    estimated_low, estimated_high = enclosures.estimate(chain, hints.get(path))
    # A spectral bound is a little above the largest singular value.
    slack = 0.01 * (high - low).max() + 1e-6
    assert np.all(estimated_low >= low - 1e-6)
    assert np.all(estimated_high <= high + 1e-6)
    assert np.abs(estimated_low - low).max() <= slack
    assert np.abs(estimated_high - high).max() <= slack
    assert np.all((exact - high).max(axis=1) <= (exact - low).min(axis=1) + 1e-6)
    assert paths.exact is (not hints)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_small_models_of_any_shape(seed: int, biases: bool) -> None:
    model = random_model(SMALL, seed, biases=biases)
    for path, name in NAMES:
        chain = enclosures.chains(model)[path]
        exact = enclosures.estimate(chain, None)[0]
        low, high = enclosures.estimate(chain, enclosures.hints_for(model, {path: name}).get(path))
        assert np.all((exact - high).max(axis=1) <= (exact - low).min(axis=1) + 1e-6)


def test_the_published_sizes(shipped: Model) -> None:
    # Ranges of whole rows, before the division by sqrt(d_head), in the order in which they were
    # published.
    chain = enclosures.chains(shipped)["qk"]

    def mean(name: str) -> float:
        return float(
            2 * enclosures.radii(chain, enclosures.hints_for(shipped, {"qk": name})["qk"]).mean()
        )

    order = (
        "max_diff_exact",
        "max_diff_subproduct",
        "max_diff",
        "svd",
        "max_diff_subproduct_recursive",
    )
    sizes = [mean(name) for name in order]
    assert sizes == sorted(sizes)
    assert sizes[0] < 3.4
    assert sizes[-1] < 102
    assert mean("rank-4") < mean("rank-2") < mean("rank-1") < mean("max_diff_subproduct")


@pytest.mark.parametrize(
    ("path", "name"),
    [("qk", "rank-0"), ("qk", "rank-R"), ("ov", "max_diff"), ("pv", "exact"), ("qk", "")],
)
def test_unknown_names_are_refused(path: str, name: str, shipped: Model) -> None:
    with pytest.raises(BadInput):
        enclosures.hints_for(shipped, {path: name})


@pytest.mark.parametrize(
    "values",
    [[[0.0, 0.0]], [[1e-30, -3e-31]], [[1e30, 1.0]], [[float("nan"), 1.0]], [[1e300, -1e300]]],
)
def test_hints_are_small_integers(values: list[list[float]]) -> None:
    hint = matrix(np.array(values), 30)
    assert abs(hint["exponent"]) <= 128
    assert all(type(x) is int and abs(x) <= 2**31 for row in hint["rows"] for x in row)
