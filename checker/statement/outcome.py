"""What is proved of one set of inputs, whatever the kind of proof.  (SPEC-7)"""

from checker.ground import record

MAX_CELLS = 10**6
"""The most cells or leaves of a proof.  (SPEC-3.5)"""

MARGIN_BITS = 20
"""Margins are derived in multiples of 2^-20 logits, rounded down.  (SPEC-7.6)"""


@record
class Outcome:
    """What one leaf proves of its set of inputs; of two leaves the sets have no input in common.

    ``lower``:  at least so much weight of the set is answered wrong.
    ``upper``:  at most so much weight of the set is answered wrong; the rest is right.
    ``size``:   the weight of the whole set.
    ``margin``: every input that is not counted in ``upper`` has at least this margin, in units of
                2^-20; 0 where only the sign was shown, None where nothing is shown right.
    """

    lower: int
    upper: int
    size: int
    margin: int | None
