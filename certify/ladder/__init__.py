"""Many proofs of one model: how long each is, and how much it proves.  Knows no family of
proofs.
"""
