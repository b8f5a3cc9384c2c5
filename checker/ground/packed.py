"""Vectors of integers packed into one integer, so that a sum of multiples of vectors is a few
operations.  (SPEC-13.2, SPEC-14.3)

A packed row is ``sum_k row[k] * 2^(8 size k)``.  Sums and multiples of packed rows are packed rows,
whatever the signs: slots are only looked at when they are read, after adding half of the range of
a slot to each of them.
"""

from collections.abc import Iterable, Sequence
from struct import Struct

WORD = 8
"""So many bytes, if that will do, are kept of each slot: they are read as one number."""


def weighed(scalars: Iterable[int], rows: Iterable[int]) -> int:
    """Return ``sum_j scalars[j] * row_j``, in as many steps: a row may have millions of bits."""
    return sum(scalar * row for scalar, row in zip(scalars, rows, strict=True))


class Slots:
    """Slots for sums below ``2^bits`` in size; reading rounds the lowest ``drop`` bytes of each
    toward minus infinity.
    """

    def __init__(self, columns: int, bits: int, drop: int) -> None:
        """Lay out the slots.

        Requires: columns >= 1, 0 <= 8 drop < bits.
        """
        kept = max(bits // 8 + 1 - drop, WORD)
        size = drop + kept
        self.columns = columns
        self.size = size
        self.width = columns * size
        self.half = 1 << 8 * size - 1
        self.middle = 1 << 8 * kept - 1
        self.offset = int.from_bytes((bytes(size - 1) + b"\x80") * columns, "little")
        self.words = kept == WORD
        one = "q" if self.words else f"{kept}s"
        self.split = Struct("<" + f"{drop}x{one}" * columns).unpack

    def pack(self, values: Sequence[int]) -> int:
        """Return the packed row of these values.

        Requires: as many values as columns, each below ``2^bits`` in size.
        """
        parts = [(value + self.half).to_bytes(self.size, "little") for value in values]
        return int.from_bytes(b"".join(parts), "little") - self.offset

    def combine(self, scalars: Sequence[int], rows: Sequence[int]) -> list[int]:
        """Return ``floor(sum_j scalars[j] * row_j[k] / 2^(8 drop))`` for every column k.

        Requires: the sum is below ``2^bits`` in size in every column.
        Sound because each slot of the sum plus ``offset`` is then between 0 and ``2 half``, for
        ``2^bits <= half``: the bytes of the whole are those of the slots, one after the other, and
        nothing carries.  A word with its highest bit turned is its number in two's complement.
        """
        total = weighed(scalars, rows) + self.offset
        if self.words:
            total ^= self.offset
            return list(self.split(total.to_bytes(self.width, "little")))
        from_bytes = int.from_bytes
        parts = self.split(total.to_bytes(self.width, "little"))
        return [from_bytes(part, "little") - self.middle for part in parts]
