"""Estimate the accuracy of a model in float64.  Nothing here is a bound."""
