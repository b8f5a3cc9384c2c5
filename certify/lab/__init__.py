"""The laboratory: experiments on what models do, each over bounds that the checker verified.

An experiment is one row of ``EXPERIMENTS`` (``certify.lab.experiments``) and one module; ``run``
runs it, keeps every step by the hash of all that it depends on, and writes the results.  Nothing
here is trusted: what is certified is what the checker said, and its verdict line is in the results.
"""
