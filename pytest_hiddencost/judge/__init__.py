"""Verdicts: on budgets, on structure, against a baseline and against another revision."""
