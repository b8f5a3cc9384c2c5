"""Proofs of cells: groups of inputs of a model with one layer of attention, for Max-of-K."""
