"""Proofs of cells: Max-of-K on one layer, one head.  (SPEC-7)"""
