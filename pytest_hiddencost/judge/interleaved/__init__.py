"""Verdicts on a call that was measured interleaved with another revision's."""
