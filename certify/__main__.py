"""Run the command line as ``python -m certify``."""

from certify.command import main

main(prog_name="certify")
