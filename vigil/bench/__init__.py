"""Measurements of vigil against the bare parts that it is made of."""
