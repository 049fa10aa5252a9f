"""Verdicts against what was recorded on this device."""
