"""Bytes to plain values: one spelling for every value, everything else refused.  (SPEC-3)

Nothing downstream sees JSON.  No number reaches ``int`` without a full-match pattern first, because
``int("1_0")``, ``int(" 7 ")`` and ``int("７")`` all succeed.
"""

import json
import re
from fractions import Fraction
from typing import NoReturn, TypeVar

from checker.ground.errors import Malformed, require_form, require_support

T = TypeVar("T")
Pair = tuple[int, int]
Fields = dict[str, object]
MAX_DEPTH = 16
MAX_ITEMS = 4096
"""Of one list, unless another limit is named.  (SPEC-3.5)"""
_BIG = re.compile(r"0|-?[1-9][0-9]{0,3999}")
_SMALL = re.compile(r"0|-?[1-9][0-9]{0,9}")
_HEX = re.compile(r"0x([01])\.([0-9a-f]{1,13})p([+-])([0-9]{1,4})")


def _no_float(text: str) -> NoReturn:
    raise Malformed("SPEC-3.3", f"{text[:40]} is not an exact number")


def _small_integer(text: str) -> int:
    require_form(
        _SMALL.fullmatch(text) is not None,
        "SPEC-3.3",
        f"{text[:40]} is not a small integer in its one spelling",
    )
    return int(text)


def _no_duplicates(pairs: list[tuple[str, object]]) -> Fields:
    require_form(
        len({key for key, _ in pairs}) == len(pairs),
        "SPEC-3.2",
        "an object has the same key twice",
    )
    return dict(pairs)


_DECODER = json.JSONDecoder(
    parse_float=_no_float,
    parse_constant=_no_float,
    parse_int=_small_integer,
    object_pairs_hook=_no_duplicates,
)


def parse_json(data: bytes, where: str) -> object:
    """Return the value of strict JSON text: ASCII, no floats, no duplicate keys, bounded depth.
    (SPEC-3.2)

    Raises: Malformed (SPEC-3.2, SPEC-3.3), Declined (SPEC-3.5) for nesting deeper than
            ``MAX_DEPTH``.
    Cost:   linear in ``len(data)``; depth is measured before the parser recurses.
    """
    depth = 0
    without_escapes = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside_strings = b"".join(without_escapes.split(b'"')[::2])
    for bracket in re.finditer(rb"[\[\]{}]", outside_strings):
        depth += 1 if bracket[0] in b"[{" else -1
        require_support(
            depth <= MAX_DEPTH, "SPEC-3.5", f"{where} is nested deeper than {MAX_DEPTH}"
        )
    try:
        return _DECODER.decode(data.decode("ascii"))
    except ValueError as error:
        raise Malformed(
            "SPEC-3.2",
            f"{where} is not JSON in ASCII: {' '.join(str(error).split())[:80]}",
        ) from error


def canonical(value: object) -> bytes:
    """Return the one encoding of a value: sorted keys, no spaces, ASCII, one trailing newline.
    (SPEC-3.2)
    """
    return (
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
    )


def parse_canonical(data: bytes, where: str) -> object:
    """Return the value of ``data``, which must be its canonical encoding byte for byte.

    (SPEC-3.2)
    """
    value = parse_json(data, where)
    require_form(
        canonical(value) == data, "SPEC-3.2", f"{where} is not in canonical form"
    )
    return value


def typed(value: object, kind: type[T], where: str) -> T:
    """Return ``value``, which must be of exactly the type ``kind``: str, list or dict.

    (SPEC-3.4)
    """
    if type(value) is kind:
        return value
    raise Malformed("SPEC-3.4", f"{where} is not a JSON {kind.__name__}")


def fields(
    value: object, where: str, required: str, optional: str | None = ""
) -> Fields:
    """Return ``value`` as an object with exactly the keys named (separated by spaces).  (SPEC-3.4)

    ``optional`` keys may be absent; None allows any other key, for tables whose keys are names.
    """
    found = typed(value, dict, where)
    due = set(required.split())
    allowed = set(found) if optional is None else due | set(optional.split())
    missing = sorted(due - set(found))
    unknown = sorted(set(found) - allowed)
    require_form(not missing, "SPEC-3.4", f"{where} lacks {', '.join(missing)}")
    require_form(not unknown, "SPEC-3.4", f"{where} has the unknown key {unknown[:1]}")
    return found


def listing(value: object, where: str, most: int = MAX_ITEMS) -> list[object]:
    """Return ``value`` as a list of at most ``most`` items.  (SPEC-3.4, SPEC-3.5)"""
    listed = typed(value, list, where)
    require_support(
        len(listed) <= most, "SPEC-3.5", f"{where} holds more than {most} items"
    )
    return listed


def integer(value: object, where: str, low: int, high: int) -> int:
    """Return ``value`` as a JSON integer with ``low <= value <= high``; ``true`` is not 1.
    (SPEC-3.3)
    """
    if type(value) is not int:
        raise Malformed("SPEC-3.3", f"{where} is not an integer")
    require_form(
        low <= value <= high, "SPEC-3.3", f"{where} is not between {low} and {high}"
    )
    return value


def integers(
    value: object, where: str, low: int, high: int, most: int = MAX_ITEMS
) -> tuple[int, ...]:
    """Return ``value`` as a tuple of at most ``most`` JSON integers within bounds.  (SPEC-3.3)"""
    return tuple(
        integer(item, where, low, high) for item in listing(value, where, most)
    )


def couples(value: object, where: str) -> list[list[object]]:
    """Return ``value`` as a list of lists of two.  (SPEC-3.4)"""
    found = [listing(item, where) for item in listing(value, where)]
    two = all(len(couple) == 2 for couple in found)
    require_form(two, "SPEC-3.4", f"{where} is not a list of pairs")
    return found


def pairs(value: object, where: str, low: int, high: int) -> list[Pair]:
    """Return ``value`` as a list of pairs of JSON integers within bounds.  (SPEC-3.3, SPEC-3.4)"""
    found = [integers(couple, where, low, high) for couple in couples(value, where)]
    return [(first, second) for first, second in found]


def big(value: object, where: str) -> int:
    """Return the integer written as a decimal string of at most 4 000 digits in its one spelling.
    (SPEC-3.3)
    """
    written = typed(value, str, where)
    require_form(
        _BIG.fullmatch(written) is not None,
        "SPEC-3.3",
        f"{where} is not an integer string",
    )
    return int(written)


def dyadic(value: object, where: str) -> Pair:
    """Return (mantissa, exponent) of ``["mantissa", "exponent"]``, mantissa odd or the pair 0, 0.
    (SPEC-3.3)
    """
    pair = listing(value, where)
    require_form(
        len(pair) == 2, "SPEC-3.3", f"{where} is not a pair of integer strings"
    )
    mantissa, exponent = (big(written, where) for written in pair)
    lowest_terms = mantissa % 2 == 1 or (mantissa, exponent) == (0, 0)
    require_form(
        lowest_terms and abs(exponent) <= 4096,
        "SPEC-3.3",
        f"{where} is not a dyadic number in lowest terms",
    )
    return mantissa, exponent


def hexadecimal(value: object, where: str) -> Pair:
    """Return (mantissa, exponent <= 0) of a non-negative hexadecimal number such as "0x1.8p-3".
    (SPEC-3.3)
    """
    match = _HEX.fullmatch(typed(value, str, where))
    if match is None:
        raise Malformed(
            "SPEC-3.3", f"{where} is not a hexadecimal number such as 0x1.8p-3"
        )
    whole, part, sign, power = match.groups()
    exponent = (-int(power) if sign == "-" else int(power)) - 4 * len(part)
    return int(whole + part, 16) << max(exponent, 0), min(exponent, 0)


def ratio(written: str, where: str) -> Pair:
    """Return (p, q) of the text ``p/q`` or ``p`` with q > 0, for requirements given on the command
    line.
    """
    numerator, bar, denominator = written.partition("/")
    p = big(numerator, where)
    q = big(denominator, where) if bar else 1
    require_form(
        p >= 0 and q > 0,
        "SPEC-3.3",
        f"{where} is not a fraction P/Q with P >= 0 and Q > 0",
    )
    return p, q


def fraction(value: object, where: str) -> Fraction:
    """Return the number written ``P/Q`` in lowest terms, with P >= 0 and Q > 0.  (SPEC-3.3)"""
    written = typed(value, str, where)
    found = Fraction(*ratio(written, where))
    require_form(
        written == f"{found.numerator}/{found.denominator}",
        "SPEC-3.3",
        f"{where} is not a fraction in lowest terms",
    )
    return found
