"""Plain data and words: no torch, no pytest."""
