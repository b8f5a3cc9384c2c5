"""Measure the exp of installed libraries, and keep what was measured as a record."""
