"""The command line: one function for each command, one place for failures.

Results go to standard output, progress and messages to standard error.  Exit
codes: 0 done; 2 wrong usage, an option that the strategy does not use included;
10 the checker rejected a certificate; 11 the strategy proves nothing of this
model; 20 the input is unreadable, malformed or not supported.
"""

from __future__ import annotations

from typing import Any

import click

from certify import __version__
from certify.command.console import (
    report_failure,
)
from certify.errors import CertifyError


class FailureReporter(click.Group):
    """The command group that turns every expected failure into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; report a failure on standard error and exit with its code."""
        try:
            return super().invoke(ctx)
        except CertifyError as error:
            report_failure(str(error))
            ctx.exit(error.exit_code)
        except MemoryError:
            report_failure("not enough memory for this input")
            ctx.exit(CertifyError.exit_code)


@click.group(
    cls=FailureReporter,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="certify")
def main() -> None:
    """Prove how often a small transformer is right, and let an independent checker confirm it.

    A typical session:

    \b
      certify train max-of-k --k 4 --vocab 64 --d-model 32 --seed 0 --out model.safetensors
      certify evaluate model.safetensors --task max-of-k
      certify prove model.safetensors --task max-of-k --out certificate.json
      certify verify model.safetensors certificate.json

    'certify COMMAND --help' explains one command.
    """
