"""The family of proofs of chains: Max-of-K on models whose head moves one or two numbers."""
