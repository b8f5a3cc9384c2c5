"""What a model file has to say and how much it may hold: SPEC-4.3 and SPEC-3.5, at the edge."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import networks
import pytest

from checker.ground.decode import canonical
from checker.ground.errors import Declined, Malformed, Refusal
from checker.ground.ledger import Room
from checker.statement import model
from checker.statement.container import read_matrix
from checker.statement.model import MODEL_FORMAT, WITHOUT_PAIRS, load_model, parse_config

TABLE = {
    "d_head": 1024, "d_model": 1024, "d_vocab": 1024, "d_vocab_out": 1024, "n_ctx": 64,
    "n_heads": 16, "n_layers": 16, "d_mlp": 4096,
}  # fmt: skip
"""The limits of SPEC-3.5."""


def config_of(**chosen: Any) -> dict[str, Any]:
    """Return the fields of a small network."""
    return dict(networks.of(random.Random("config"), chosen).config)


def refused(config: dict[str, Any], larger: dict[str, int] | None = None) -> Refusal | None:
    """Return how a config is refused, if it is."""
    text = canonical(config).decode().removesuffix("\n")
    try:
        parse_config({"format": MODEL_FORMAT, "config": text}, larger or {})
    except Refusal as refusal:
        return refusal
    return None


@pytest.mark.parametrize(
    ("chosen", "name"), [({"mlp": "relu"}, "d_mlp"), ({"normalization_type": "LN"}, "eps")]
)
def test_an_mlp_needs_a_width_and_a_norm_an_eps(chosen: dict[str, Any], name: str) -> None:
    config = config_of(**chosen)
    assert refused(config) is None
    del config[name]
    refusal = refused(config)
    assert isinstance(refusal, Malformed)
    assert (refusal.rule, refusal.why) == ("SPEC-4.3", f"config lacks {name}")


def test_the_exact_gelu_is_known_and_no_mlp_may_have_it() -> None:
    assert refused(config_of() | {"act_fn": "gelu"}) is None
    refusal = refused(config_of(mlp="relu") | {"act_fn": "gelu"})
    assert isinstance(refusal, Declined)
    assert (refusal.rule, "act_fn" in refusal.why) == ("SPEC-4.3", True)
    assert refused(config_of(mlp="relu") | {"act_fn": "silu"}) is None


@pytest.mark.parametrize(
    ("eps", "kept"), [(0.0, False), (5e-324, True), (2.0**-149, True), (1e-5, True), (3.0, True)]
)
def test_eps_is_any_number_above_zero(eps: float, kept: bool) -> None:
    refusal = refused(config_of(normalization_type="LN") | {"eps": eps.hex()})
    assert (refusal is None) == kept
    if refusal is not None:
        assert isinstance(refusal, Declined)
        assert (refusal.rule, refusal.why) == ("SPEC-4.3", "config field eps is zero")


@pytest.mark.parametrize("larger", [{}, WITHOUT_PAIRS])
@pytest.mark.parametrize("name", TABLE)
def test_sizes_have_the_limits_of_the_page(name: str, larger: dict[str, int]) -> None:
    most = 4096 if larger and name in ("d_vocab", "d_vocab_out") else TABLE[name]
    config = config_of(mlp="relu")
    assert refused(config | {name: most}, larger) is None
    refusal = refused(config | {name: most + 1}, larger)
    assert isinstance(refusal, Declined)
    assert (refusal.rule, refusal.why) == (
        "SPEC-3.5", f"config field {name} is larger than {most}"
    )  # fmt: skip
    assert isinstance(refused(config | {name: 0}, larger), Malformed)


@pytest.mark.parametrize("more", [0, 1])
def test_a_file_has_at_most_34_mebibytes(more: int) -> None:
    # What is small enough is refused for what it says: a header of no bytes.
    with pytest.raises(Refusal) as found:
        load_model(bytes(34 * 2**20 + more))
    assert (found.value.why == "the model is larger than 34 MiB") == bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_a_model_has_at_most_four_million_numbers(
    more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = canonical(config_of()).decode().removesuffix("\n")
    metadata = {"format": MODEL_FORMAT, "config": config}
    shapes = {"one": (2048, 1024), "two": (2**21 - 5,), "three": (5,), "four": (1,) * more}
    entries = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items() if shape}
    monkeypatch.setattr(model, "parse_container", lambda data: (metadata, entries, b""))
    with pytest.raises(Declined) as found:
        load_model(b"")
    expected = [
        ("SPEC-4.3", "the model has the unknown tensor one"),
        ("SPEC-3.5", "the model holds too many numbers"),
    ]
    assert (found.value.rule, found.value.why) == expected[more]


def test_all_tensors_together_have_a_room_of_256_mebibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[Room] = []

    def watched(name: str, entry: Any, payload: Any, room: Room) -> Any:
        rooms.append(room)
        return read_matrix(name, entry, payload, room)

    monkeypatch.setattr(model, "read_matrix", watched)
    loaded = load_model(networks.of(random.Random("room"), {}).bytes)
    assert {id(room) for room in rooms} == {id(rooms[0])}
    assert rooms[0].most == 8 * 256 * 2**20
    assert loaded.held == rooms[0].held
