"""Proofs of sums: modular addition.  (SPEC-13)"""
