"""Many proofs of many models, each kept by what it is about."""
