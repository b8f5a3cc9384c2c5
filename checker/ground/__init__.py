"""What every rule stands on: refusals, decoding, exact numbers, enclosures, the ledger.  (SPEC-3,
SPEC-6, SPEC-8)
"""
