"""Hostile variants of files: bytes, JSON certificates, safetensors models.

Every function yields `Mutant = (name, bytes)`, lazily, never equal to the original.
The name says what was done, so a failing test can be repeated from it alone.

Most JSON mutants are re-encoded canonically: they reach the checks behind the
decoder.  The names of those that are deliberately not canonical start with "text".
A mutant of a model is normally refused because its hash differs from the
certificate's; `retarget` rewrites the hash so that it has to be refused for itself.

Large files have millions of single-field mutants: `sample_json_mutants` picks
fields evenly by kind (list indices count as one kind), so that the single field
`format` is hit as often as the thousand fields `cells[*].queries`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from models import bytes_per_entry, canonical, safetensors_bytes

Mutant = tuple[str, bytes]
Path = tuple[str | int, ...]
T = TypeVar("T")

HUGE = 10**200
SLOT = "@@MUTANT@@"
DEPTH = 100_000
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


# --- sampling ---------------------------------------------------------------------


def generator(seed: int | None = None, label: str = "mutators") -> random.Random:
    """Return a generator whose seed is printed, so that a failure can be repeated."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    print(f"{label}: seed {seed}")  # noqa: T201
    return random.Random(seed)


def sample(mutants: Iterable[T], count: int, rng: random.Random) -> list[T]:
    """Return `count` of the mutants (all, if fewer), each equally likely."""
    kept: list[T] = []
    for number, mutant in enumerate(mutants):
        if len(kept) < count:
            kept.append(mutant)
        elif (slot := rng.randrange(number + 1)) < count:
            kept[slot] = mutant
    return kept


# --- bytes ------------------------------------------------------------------------


def byte_mutants(data: bytes, rng: random.Random, per_kind: int = 8) -> Iterator[Mutant]:
    """Yield byte-level damage: fixed variants, then `per_kind` random ones of each kind."""

    def different() -> Iterator[Mutant]:
        yield "empty", b""
        yield "one newline", b"\n"
        yield "twice", data + data
        yield "byte order mark", b"\xef\xbb\xbf" + data
        yield "utf-16", data.decode("latin-1").encode("utf-16")
        yield "utf-16-le", data.decode("latin-1").encode("utf-16-le")
        yield "utf-32", data.decode("latin-1").encode("utf-32")
        yield "crlf", data.replace(b"\n", b"\r\n")
        yield "leading space", b" " + data
        yield "leading newline", b"\n" + data
        yield "last byte removed", data[:-1]
        yield "first byte removed", data[1:]
        for tail in (b"\n", b" ", b"\x00", b"\x1a", b"{}", b"null", b"\xff" * 8):
            yield f"appended {tail!r}", data + tail
        yield "reversed", data[::-1]
        yield "all zero", bytes(len(data))
        for _ in range(per_kind):
            at, bit = rng.randrange(len(data)), rng.randrange(8)
            yield (
                f"bit {bit} of byte {at} flipped",
                _splice(data, at, at + 1, bytes([data[at] ^ 1 << bit])),
            )
            at = rng.randrange(len(data))
            yield f"truncated at {at}", data[:at]
            at, byte = rng.randrange(len(data)), rng.randrange(256)
            yield f"byte {at} set to {byte}", _splice(data, at, at + 1, bytes([byte]))
            at, byte = rng.randrange(len(data) + 1), rng.randrange(256)
            yield f"byte {byte} inserted at {at}", _splice(data, at, at, bytes([byte]))
            a, b = _slice(data, rng)
            yield f"slice {a}:{b} removed", _splice(data, a, b, b"")
            a, b = _slice(data, rng)
            yield f"slice {a}:{b} doubled", _splice(data, b, b, data[a:b])
            a, b = _slice(data, rng)
            yield f"slice {a}:{b} zeroed", _splice(data, a, b, bytes(b - a))
            a, b = _slice(data, rng)
            at = rng.randrange(len(data) + 1)
            yield f"slice {a}:{b} copied to {at}", _splice(data, at, at, data[a:b])
            digits = [m.start() for m in re.finditer(rb"[0-9]", data[: 1 << 16])]
            if digits:
                at = rng.choice(digits)
                digit = b"%d" % ((data[at] - 48 + rng.randrange(1, 10)) % 10)
                yield f"digit at {at} changed to {digit!r}", _splice(data, at, at + 1, digit)

    return (mutant for mutant in different() if mutant[1] != data)


def _slice(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.randint(1, 1 + len(data) // 4))


def _splice(data: bytes, start: int, end: int, new: bytes) -> bytes:
    return data[:start] + new + data[end:]


# --- JSON -------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a certificate."""
    return canonical(value).encode() + b"\n"


def json_mutants(data: bytes) -> Iterator[Mutant]:
    """Yield every single-field mutant of a canonical JSON file, and hostile spellings."""
    document = json.loads(data)
    for path, value in _walk(document):
        yield from _mutants_at(data, document, path, value)
    yield from _whole(data, document)


def sample_json_mutants(data: bytes, count: int, rng: random.Random) -> list[Mutant]:
    """Return `count` mutants: a kind of field, then a field, then a mutation, at random."""
    document = json.loads(data)
    kinds: dict[str, list[tuple[Path, Any]]] = {}
    for path, value in _walk(document):
        kind = "/".join("*" if isinstance(step, int) else step for step in path)
        kinds.setdefault(kind, []).append((path, value))
    whole = list(_whole(data, document)) if len(data) < 1 << 22 else []
    names = sorted(kinds)
    found: list[Mutant] = []
    while len(found) < count:
        number = rng.randrange(len(names) + 1)
        if number == len(names):
            options = whole
        else:
            path, value = rng.choice(kinds[names[number]])
            changes = list(_changes(path, value, _parent(document, path)))
            name, change = rng.choice(changes)
            options = [(name, change(document))]
        found += [m for m in ([rng.choice(options)] if options else []) if m[1] != data]
    return found


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key in sorted(value):
            yield from _walk(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))


def _parent(document: Any, path: Path) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document if path else None


def _put(document: Any, path: Path, new: Any) -> Any:
    """Return a copy with one value replaced; only the containers on the way are copied."""
    if not path:
        return new
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = _put(document[path[0]], path[1:], new)
    return copy


def _mutants_at(data: bytes, document: Any, path: Path, value: Any) -> Iterator[Mutant]:
    for name, change in _changes(path, value, _parent(document, path)):
        if (new := change(document)) != data:
            yield name, new


Change = Callable[[Any], bytes]


def _changes(path: Path, value: Any, parent: Any) -> Iterator[tuple[str, Change]]:
    """Yield (name, document -> bytes) for every mutation of one field."""
    where = "/".join(map(str, path)) or "(root)"

    def replaced(new: Any) -> Change:
        return lambda document: encode(_put(document, path, new))

    for name, new in _other_values(value):
        yield f"{where}: {name}", replaced(new)
    for name, literal in _other_literals(value):
        yield f"text {where}: {name}", _literal(path, literal)
    if isinstance(parent, dict):
        yield from _key_changes(path, where, parent)
    elif isinstance(parent, list):
        yield from _element_changes(path, where, parent)
    if isinstance(value, dict):
        for key in ("", "extra", "Format", "__proto__"):
            yield f"{where}: key {key!r} added", replaced({**value, key: 1})
    if isinstance(value, list):
        yield f"{where}: reversed", replaced(value[::-1])
        yield f"{where}: everything twice", replaced(value + value)
        yield f"{where}: null appended", replaced([*value, None])


def _other_values(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield values to put in the place of this one."""
    for other in (
        None,
        True,
        False,
        0,
        1,
        -1,
        HUGE,
        "",
        "0",
        "1",
        [],
        {},
        [value],
        {"value": value},
    ):
        yield f"set to {canonical(other)[:40]}", other
    if isinstance(value, int) and not isinstance(value, bool):
        yield from _nearby(value)
        yield "as a string", str(value)
    if isinstance(value, str):
        yield from _other_strings(value)


def _nearby(value: int) -> Iterator[tuple[str, int]]:
    for step in (1, -1, 2, 1 << 20, 1 << 31, 1 << 32, 1 << 63, 1 << 64):
        yield f"plus {step}", value + step
    yield "sign flipped", -value
    yield "doubled", 2 * value
    yield "halved", value // 2
    yield "huge", HUGE
    yield "minus huge", -HUGE


def _other_strings(value: str) -> Iterator[tuple[str, Any]]:
    if re.fullmatch(r"-?[0-9]+", value):
        number = int(value)
        for name, new in _nearby(number):
            yield name, str(new)
        yield "as an integer", number
        yield "of ten thousand digits", "9" * 10_000
        for pattern in (
            "{}_0",
            "+{}",
            "0{}",
            "00{}",
            " {}",
            "{} ",
            "{}\n",
            "{}\x00",
            "{}.0",
            "{}e0",
            "0x{}",
            "{}/1",
            "--{}",
        ):
            yield f"spelled {pattern!r}", pattern.format(value)
        yield "underscored", "_".join(value)
        yield "full-width digits", value.translate(FULL_WIDTH)
        yield "minus zero", "-0"
        yield "NaN", "NaN"
        yield "Infinity", "Infinity"
    else:
        yield "upper case", value.upper()
        yield "with a space", value + " "
        yield "with a null character", value + "\x00"
        yield "with a newline and a verdict", value + "\ns VERIFIED task=max-of-k"
        yield "with an escape sequence", "\x1b[2K" + value
        yield "not ASCII", value + "é"
        yield "lone surrogate", value + "\ud800"
        yield "shortened", value[:-1]
        yield "a path", "/etc/passwd"
        yield "a million characters", "x" * 1_000_000
        if re.search(r"[0-9a-f]{64}", value):
            yield "last hex digit changed", value[:-1] + ("0" if value[-1] != "0" else "1")


def _other_literals(value: Any) -> Iterator[tuple[str, str]]:
    """Yield JSON texts, not canonical, to put in the place of this value."""
    text = canonical(value) if not isinstance(value, (dict, list)) or len(value) < 100 else "0"
    for pattern in (" {}", "{} ", "{}\n", "{},", "{}{}"):
        yield f"literal {pattern!r}", pattern.replace("{}", text)
    if isinstance(value, int):
        for pattern in ("+{}", "0{}", "{}.0", "{}e0", "{}E+0", "{}_0", "0x{}", "-{}", "--{}"):
            yield f"literal {pattern!r}", pattern.format(text)
        yield "minus zero", "-0"
        yield "1e400", "1e400"
        yield "a tiny exponent", "1e-400"
        yield "five thousand digits", "9" * 5_000
        yield "a hundred thousand digits", "9" * 100_000
        yield "full-width digits", text.translate(FULL_WIDTH)
    for literal in (
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "undefined",
        "None",
        "True",
        "'0'",
        "0x10",
        "1/2",
        "",
    ):
        yield f"literal {literal or '(nothing)'}", literal
    if isinstance(value, str) and value:
        escaped = f'"\\u{ord(value[0]):04x}{json.dumps(value[1:])[1:]}'
        yield "first character escaped", escaped
    yield f"{DEPTH} arrays deep", "[" * DEPTH + "0" + "]" * DEPTH
    yield f"{DEPTH} objects deep", '{"a":' * DEPTH + "0" + "}" * DEPTH
    yield f"{DEPTH} arrays opened", "[" * DEPTH


def _literal(path: Path, literal: str) -> Change:
    """Return a change that writes a raw text in the place of a value."""
    return lambda document: encode(_put(document, path, SLOT)).replace(
        json.dumps(SLOT).encode(), literal.encode("utf-8")
    )


def _key_changes(path: Path, where: str, parent: dict[str, Any]) -> Iterator[tuple[str, Change]]:
    key, up = path[-1], path[:-1]
    assert isinstance(key, str)

    def with_parent(new: dict[str, Any]) -> Change:
        return lambda document: encode(_put(document, up, new))

    rest = {k: v for k, v in parent.items() if k != key}
    yield f"{where}: key removed", with_parent(rest)
    for name, new in (
        ("in capitals", key.upper()),
        ("with a space", key + " "),
        ("with a null", key + "\x00"),
    ):
        if new not in parent:
            yield f"{where}: key {name}", with_parent({**rest, new: parent[key]})
    for other in sorted(rest):
        if rest[other] != parent[key]:
            swapped = {**parent, key: parent[other], other: parent[key]}
            yield f"{where}: swapped with {other}", with_parent(swapped)
            yield f"{where}: copied from {other}", with_parent({**parent, key: parent[other]})

    def duplicate(new: Any) -> Change:
        def change(document: Any) -> bytes:
            marked = encode(_put(document, up, {**rest, SLOT: 0})).decode()
            both = f"{json.dumps(key)}:{canonical(parent[key])},{json.dumps(key)}:{canonical(new)}"
            return marked.replace(f"{json.dumps(SLOT)}:0", both).encode()

        return change

    yield f"text {where}: key twice, same value", duplicate(parent[key])
    yield f"text {where}: key twice, other value", duplicate(0)


def _element_changes(path: Path, where: str, parent: list[Any]) -> Iterator[tuple[str, Change]]:
    index, up = path[-1], path[:-1]
    assert isinstance(index, int)

    def with_parent(make: Callable[[], list[Any]]) -> Change:
        return lambda document: encode(_put(document, up, make()))

    item = parent[index]
    yield f"{where}: element doubled", with_parent(lambda: [*parent[: index + 1], *parent[index:]])
    yield f"{where}: element removed", with_parent(lambda: [*parent[:index], *parent[index + 1 :]])
    yield (
        f"{where}: moved to the front",
        with_parent(lambda: [item, *parent[:index], *parent[index + 1 :]]),
    )
    if index + 1 < len(parent):
        following = parent[index + 1]
        yield (
            f"{where}: swapped with the next",
            with_parent(lambda: [*parent[:index], following, item, *parent[index + 2 :]]),
        )
        yield (
            f"{where}: replaced by the next",
            with_parent(lambda: [*parent[:index], following, *parent[index + 1 :]]),
        )
        yield f"{where}: list cut here", with_parent(lambda: parent[: index + 1])


def _whole(data: bytes, document: Any) -> Iterator[Mutant]:
    """Yield other spellings of the whole document."""
    texts = {
        "indented": json.dumps(document, sort_keys=True, indent=1) + "\n",
        "spaced": json.dumps(document, sort_keys=True) + "\n",
        "no final newline": canonical(document),
        "two final newlines": canonical(document) + "\n\n",
        "keys backwards": json.dumps(_backwards(document), separators=(",", ":")) + "\n",
        "inside a list": canonical([document]) + "\n",
        "as a string": canonical(canonical(document)) + "\n",
        "with a comment": "//\n" + canonical(document) + "\n",
        "with a second document": canonical(document) + "\n" + canonical(document) + "\n",
    }
    for name, text in texts.items():
        if text.encode() != data:
            yield f"text (whole): {name}", text.encode()


def _backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _backwards(value[key]) for key in sorted(value, reverse=True)}
    return [_backwards(item) for item in value] if isinstance(value, list) else value


# --- safetensors ------------------------------------------------------------------


def split_safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return (header, tensor data) of a valid file."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def safetensors_mutants(data: bytes) -> Iterator[Mutant]:
    """Yield damaged model files; config fields are mutated as in `json_mutants`."""
    header, payload = split_safetensors(data)
    groups = (
        _length_mutants(data),
        _layout_mutants(header, payload),
        _entry_mutants(header, payload),
        _payload_mutants(header, payload),
        _header_text_mutants(header, payload),
        _metadata_mutants(header, payload),
    )
    return (mutant for group in groups for mutant in group if mutant[1] != data)


def config_mutants(data: bytes) -> Iterator[Mutant]:
    """Yield model files whose config alone is changed."""
    header, payload = split_safetensors(data)
    meta = header["__metadata__"]
    for name, text in json_mutants(meta["config"].encode() + b"\n"):
        config = text.decode("utf-8").removesuffix("\n")
        new = safetensors_bytes({**header, "__metadata__": {**meta, "config": config}}, payload)
        if new != data:
            yield f"config {name}", new


def retarget(certificate: bytes, old_model: bytes, new_model: bytes) -> bytes:
    """Return the certificate with the hash of `old_model` replaced by that of `new_model`."""
    old, new = (hashlib.sha256(m).hexdigest().encode() for m in (old_model, new_model))
    if old not in certificate:
        raise ValueError("the certificate does not name this model")
    return certificate.replace(old, new)


def _tensors(header: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def _length_mutants(data: bytes) -> Iterator[Mutant]:
    (length,) = struct.unpack("<Q", data[:8])
    for new in (
        0,
        1,
        2,
        7,
        8,
        length - 8,
        length - 1,
        length + 1,
        length + 8,
        len(data) - 8,
        len(data),
        10**8,
        2**31,
        2**32,
        2**63 - 1,
        2**63,
        2**64 - 1,
    ):
        if 0 <= new < 2**64:
            yield f"header length {new}", struct.pack("<Q", new) + data[8:]
    yield "header length big-endian", struct.pack(">Q", length) + data[8:]
    for end in (0, 1, 7, 8, 9, 8 + length - 1, 8 + length, len(data) - 1):
        yield f"cut at {end}", data[:end]
    yield "one trailing byte", data + b"\x00"
    yield "eight trailing bytes", data + bytes(8)
    yield "a second file behind", data + data


def _layout_mutants(header: dict[str, Any], payload: bytes) -> Iterator[Mutant]:
    """Yield overlaps, holes, and offsets that point outside."""
    for name, entry in _tensors(header).items():
        start, end = entry["data_offsets"]
        moved = {
            "one byte later": [start + 1, end + 1],
            "one byte earlier": [start - 1, end - 1],
            "one byte longer": [start, end + 1],
            "one byte shorter": [start, end - 1],
            "backwards": [end, start],
            "empty": [start, start],
            "at the start": [0, end - start],
            "behind the end": [len(payload), len(payload) + end - start],
            "far away": [2**62, 2**62 + end - start],
            "everything": [0, len(payload)],
            "one number": [start],
            "three numbers": [start, end, end],
            "text": [str(start), str(end)],
            "booleans": [False, True],
            "null": None,
        }
        for what, offsets in moved.items():
            yield (
                f"{name} offsets {what}",
                safetensors_bytes({**header, name: {**entry, "data_offsets": offsets}}, payload),
            )
        shifted = {
            other: {**e, "data_offsets": [x + 8 if x >= end else x for x in e["data_offsets"]]}
            if other not in ("__metadata__", name) and e["data_offsets"][0] >= end
            else e
            for other, e in header.items()
        }
        yield (
            f"hole after {name}",
            safetensors_bytes(shifted, payload[:end] + bytes(8) + payload[end:]),
        )
    names = list(_tensors(header))
    for a, b in itertools.pairwise(names):
        aliased = {**header, a: {**header[a], "data_offsets": header[b]["data_offsets"]}}
        yield f"{a} aliases {b}", safetensors_bytes(aliased, payload)
        swapped = {
            **header,
            a: {**header[a], "data_offsets": header[b]["data_offsets"]},
            b: {**header[b], "data_offsets": header[a]["data_offsets"]},
        }
        yield f"{a} and {b} swapped", safetensors_bytes(swapped, payload)


def _entry_mutants(header: dict[str, Any], payload: bytes) -> Iterator[Mutant]:
    """Yield wrong dtypes, shapes, names; missing and extra tensors."""
    for name, entry in _tensors(header).items():
        start, end = entry["data_offsets"]

        def write(new: Any, name: str = name) -> bytes:
            return safetensors_bytes({**header, name: new}, payload)

        for dtype in (
            "F8_E4M3",
            "F8_E5M2",
            "I64",
            "I32",
            "U8",
            "BOOL",
            "C64",
            "f32",
            "",
            "F128",
            None,
            32,
            ["F32"],
        ):
            yield f"{name} dtype {dtype!r}", write({**entry, "dtype": dtype})
        for dtype in ("F16", "BF16", "F32", "F64"):
            yield f"{name} dtype {dtype}", write({**entry, "dtype": dtype})
        shape = entry["shape"]
        shapes = {
            "reversed": shape[::-1],
            "flat": [(end - start) // bytes_per_entry(entry["dtype"])],
            "one dimension more": [1, *shape],
            "one dimension less": shape[1:],
            "first plus one": [shape[0] + 1, *shape[1:]],
            "first minus one": [shape[0] - 1, *shape[1:]],
            "zero": [0, *shape[1:]],
            "negative": [-x for x in shape],
            "two negatives": [-shape[0], *shape[1:-1], -shape[-1]],
            "overflowing": [2**32, 2**32, *shape],
            "huge": [2**63, *shape[1:]],
            "huge times zero": [2**63, 0],
            "empty": [],
            "text": [str(x) for x in shape],
            "true": [True, *shape],
            "a million dimensions": [1] * 1_000_000,
            "null": None,
        }
        for what, new in shapes.items():
            yield f"{name} shape {what}", write({**entry, "shape": new})
        yield f"{name} with an extra field", write({**entry, "extra": 1})
        for key in entry:
            yield f"{name} without {key}", write({k: v for k, v in entry.items() if k != key})
        values: tuple[Any, ...] = (None, [], "", 0, True)
        for value in values:
            yield f"{name} is {value!r}", write(value)
        without, shorter = remove_tensor(header, payload, name)
        yield f"{name} missing", safetensors_bytes(without, shorter)
        yield (
            f"{name} missing, data kept",
            safetensors_bytes({k: v for k, v in header.items() if k != name}, payload),
        )
        yield (
            f"{name} renamed",
            safetensors_bytes(
                {**without, name + "_": _appended(entry, shorter)}, shorter + payload[start:end]
            ),
        )
        yield (
            f"{name} in capitals",
            safetensors_bytes(
                {**without, name.upper(): _appended(entry, shorter)}, shorter + payload[start:end]
            ),
        )
    for extra in (
        "extra",
        "blocks.1.attn.W_Q",
        "blocks.0.mlp.W_in",
        "blocks.0.attn.mask",
        "blocks.0.ln1.w",
        "",
        "../../etc/passwd",
        "a" * 100_000,
    ):
        entry = {"dtype": "F32", "shape": [1], "data_offsets": [len(payload), len(payload) + 4]}
        yield (
            f"extra tensor {extra[:40]!r}",
            safetensors_bytes({**header, extra: entry}, payload + bytes(4)),
        )
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [len(payload), len(payload)]}
    yield "extra empty tensor", safetensors_bytes({**header, "extra": empty}, payload)
    yield "no tensors", safetensors_bytes({"__metadata__": header["__metadata__"]}, b"")
    many = {f"t{i}": empty for i in range(20_000)}
    yield "twenty thousand empty tensors", safetensors_bytes({**header, **many}, payload)


def _appended(entry: dict[str, Any], payload: bytes) -> dict[str, Any]:
    start, end = entry["data_offsets"]
    return {**entry, "data_offsets": [len(payload), len(payload) + end - start]}


def remove_tensor(
    header: dict[str, Any], payload: bytes, name: str
) -> tuple[dict[str, Any], bytes]:
    """Return header and data of the valid file without one tensor."""
    start, end = header[name]["data_offsets"]
    size = end - start
    kept = {
        other: entry
        if other == "__metadata__" or entry["data_offsets"][0] < end
        else {**entry, "data_offsets": [x - size for x in entry["data_offsets"]]}
        for other, entry in header.items()
        if other != name
    }
    return kept, payload[:start] + payload[end:]


SPECIAL_PATTERNS = {
    # dtype: quiet NaN, NaN with a payload, signalling NaN, negative NaN, +inf, -inf
    "F16": (0x7E00, 0x7E55, 0x7C01, 0xFE00, 0x7C00, 0xFC00),
    "BF16": (0x7FC0, 0x7FD5, 0x7F81, 0xFFC0, 0x7F80, 0xFF80),
    "F32": (0x7FC00000, 0x7FDEADBE, 0x7F800001, 0xFFC00000, 0x7F800000, 0xFF800000),
    "F64": (
        0x7FF8 << 48,
        0x7FF8DEADBEEF0000,
        0x7FF0000000000001,
        0xFFF8 << 48,
        0x7FF0 << 48,
        0xFFF0 << 48,
    ),
}
SPECIAL_NAMES = (
    "NaN",
    "NaN with a payload",
    "signalling NaN",
    "negative NaN",
    "infinity",
    "minus infinity",
)


def _payload_mutants(header: dict[str, Any], payload: bytes) -> Iterator[Mutant]:
    """Yield NaN and infinity in the first and last entry of every tensor."""
    for name, entry in _tensors(header).items():
        start, end = entry["data_offsets"]
        size = bytes_per_entry(entry["dtype"])
        for label, bits in zip(SPECIAL_NAMES, SPECIAL_PATTERNS[entry["dtype"]], strict=True):
            for at in {start, end - size}:
                yield (
                    f"{name} {label} at {at}",
                    safetensors_bytes(
                        header, _splice(payload, at, at + size, bits.to_bytes(size, "little"))
                    ),
                )


def _header_text_mutants(header: dict[str, Any], payload: bytes) -> Iterator[Mutant]:
    text = json.dumps(header, separators=(",", ":"))
    name = next(iter(_tensors(header)))
    entry = json.dumps(header[name], separators=(",", ":"))
    variants = {
        "duplicate tensor": text[:-1] + f',"{name}":{entry}}}',
        "duplicate tensor, other offsets": text[:-1]
        + f',"{name}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}}}',
        "duplicate metadata": text[:-1] + ',"__metadata__":{"format":"certify.model/1"}}',
        "duplicate field": text.replace('"dtype":"', '"dtype":"F16","dtype":"', 1),
        "NaN offset": re.sub(r'"data_offsets":\[\d+', '"data_offsets":[NaN', text, count=1),
        "float offset": re.sub(r'"data_offsets":\[(\d+)', r'"data_offsets":[\1.0', text, count=1),
        "exponent offset": re.sub(
            r'"data_offsets":\[(\d+)', r'"data_offsets":[\1e0', text, count=1
        ),
        "huge offset": re.sub(
            r'"data_offsets":\[\d+', '"data_offsets":[' + "9" * 5000, text, count=1
        ),
        "leading space": " " + text,
        "leading newline": "\n" + text,
        "trailing null": text + "\x00",
        "trailing comma": text[:-1] + ",}",
        "trailing text": text + "x",
        "comment": text + "/**/",
        "list": "[" + text + "]",
        "null": "null",
        "empty object": "{}",
        "empty": "",
        "unclosed": text[:-1],
        "deep arrays": text[:-1] + ',"x":' + "[" * DEPTH + "]" * DEPTH + "}",
        "deep unclosed": "[" * DEPTH,
        "single quotes": text.replace('"', "'"),
        "byte order mark": "\ufeff" + text,
        "a lone surrogate escape": text.replace('"dtype"', '"\\ud800"', 1),
    }
    for what, new in variants.items():
        yield f"header {what}", safetensors_bytes(new.encode(), payload)
    yield "header not utf-8", safetensors_bytes(text.encode()[:-1] + b',"\xff":0}', payload)
    yield "header utf-16", safetensors_bytes(text.encode("utf-16"), payload)


def _metadata_mutants(header: dict[str, Any], payload: bytes) -> Iterator[Mutant]:
    meta = header["__metadata__"]
    config = meta["config"]
    variants: dict[str, Any] = {
        "missing config": {"format": meta["format"]},
        "missing format": {"config": config},
        "format 2": {**meta, "format": "certify.model/2"},
        "format with a space": {**meta, "format": meta["format"] + " "},
        "format as a number": {**meta, "format": 1},
        "extra key": {**meta, "extra": "1"},
        "config as an object": {**meta, "config": json.loads(config)},
        "config empty": {**meta, "config": ""},
        "config null": {**meta, "config": "null"},
        "config with a newline": {**meta, "config": config + "\n"},
        "config with spaces": {**meta, "config": json.dumps(json.loads(config), sort_keys=True)},
        "config unsorted": {
            **meta,
            "config": json.dumps(_backwards(json.loads(config)), separators=(",", ":")),
        },
        "config twice": {**meta, "config": config + config},
        "config duplicate key": {**meta, "config": config[:-1] + ',"n_ctx":1}'},
        "config deep": {**meta, "config": "[" * DEPTH + "]" * DEPTH},
        "null": None,
        "list": [],
        "text": "x",
        "empty": {},
    }
    for what, new in variants.items():
        yield f"metadata {what}", safetensors_bytes({**header, "__metadata__": new}, payload)
    yield "metadata missing", safetensors_bytes(_tensors(header), payload)
