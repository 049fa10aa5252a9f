"""Multiply-accumulates of a call, counted by formula."""
