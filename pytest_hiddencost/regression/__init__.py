"""Regression: what was recorded on this device, and whether a profile is worse than that."""
