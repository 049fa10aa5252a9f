"""Decisions of the gates: false alarms, missed regressions, false greens."""
