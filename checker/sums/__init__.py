"""Proofs of sums: two operands in any context.  (SPEC-13)"""
