"""Proofs of wide cells: Max-of-K on one layer with several heads.  (SPEC-16)"""
