"""Proofs of chains: Max-of-K without a table of pairs of tokens.  (SPEC-15)"""
