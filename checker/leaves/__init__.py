"""Proofs of leaves: every input evaluated.  (SPEC-14)"""
