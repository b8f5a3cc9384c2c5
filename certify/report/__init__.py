"""The page that a person reads: what was proved of a model, what was not, and who checked it.

Nothing here is trusted, and nothing here knows a family of proofs: each says what it can show
(``certify.report.portrait``), and the checker, run while the page is made, says what holds.
"""
