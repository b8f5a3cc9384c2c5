"""Measurements, not tests: prover time, checker time, proof length and bound of the shipped
models.
"""
