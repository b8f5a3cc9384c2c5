"""The three ways a check can end without a theorem, and the only door to them.

``Rejected``: the certificate, the model or a requirement of the user does not hold (exit 10).
``Malformed``: a special case, the bytes are not a certificate or a model at all (exit 10).
``Declined``: well-formed, but outside what this checker supports or is willing to spend (exit 20).

Every refusal carries the SPEC clause it enforces.  Nothing here returns a verdict: a check that
fails raises.
"""


class Refusal(Exception):
    """A verdict other than VERIFIED, with the SPEC clause behind it.

    ``why`` may quote hostile text; it is kept as one short line of printable ASCII.
    """

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(rule, why)
        self.rule = rule
        self.why = ascii(why)[1:-1][:300]


class Rejected(Refusal):
    """The claim is not proved."""


class Malformed(Rejected):
    """The bytes are not what SPEC-3 or SPEC-4 describe."""


class Declined(Refusal):
    """Outside the supported scope, or past a limit."""


def require(condition: bool, /, rule: str, why: str) -> None:
    """Refuse the certificate unless ``condition`` is exactly ``True``.

    Not merely truthy: a stray tuple, array or count is a bug, never a pass.
    """
    if condition is not True:
        raise Rejected(rule, why)


def require_form(condition: bool, /, rule: str, why: str) -> None:
    """Refuse bytes that do not have the form of the SPEC, unless ``condition`` is ``True``."""
    if condition is not True:
        raise Malformed(rule, why)


def require_support(condition: bool, /, rule: str, why: str) -> None:
    """Decline what the SPEC does not support or limits, unless ``condition`` is ``True``."""
    if condition is not True:
        raise Declined(rule, why)
