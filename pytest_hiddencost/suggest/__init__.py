"""Suggestions: limits that would hold today, and markers written into test files."""
