"""Proofs of sums: models with one layer and a ReLU MLP that add two tokens."""
