"""Experiments that chose between designs."""
