"""The failures that a ``certify`` command reports, one class for each exit code.

Every message is one line that names the file and the field.  ``certify.command``
is the only place that turns these into text on standard error and an exit code.
"""

from __future__ import annotations

from typing import ClassVar


class CertifyError(Exception):
    """A failure with a one-line message for the user and a fixed exit code."""

    exit_code: ClassVar[int] = 20


class Unsupported(CertifyError):
    """The input is well formed, but outside what this version handles."""


class BadInput(CertifyError):
    """The input cannot be read, or is not what its format says it must be."""


class UnusedOption(CertifyError):
    """An option was given that the chosen strategy has no use for."""

    exit_code: ClassVar[int] = 2


class ProvesNothing(CertifyError):
    """The strategy shows nothing of this model: neither that an input is right nor that one is
    wrong.
    """

    exit_code: ClassVar[int] = 11


class CheckerRejected(CertifyError):
    """The independent checker did not verify a certificate."""

    exit_code: ClassVar[int] = 10


class WrongOption(CertifyError):
    """An option is missing that says what a file does not, or contradicts what the file says."""

    exit_code: ClassVar[int] = 2
