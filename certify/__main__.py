"""Run the command line as ``python -m certify``."""

from certify.cli import main

main(prog_name="certify")
