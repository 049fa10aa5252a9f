"""Processes that measure for a run: how they start, their messages, the plugins in them."""
