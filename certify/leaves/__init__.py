"""Proofs of leaves: every input is evaluated, for any question and any supported model."""
