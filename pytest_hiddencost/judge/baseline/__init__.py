"""Verdicts against the baselines of this device."""
