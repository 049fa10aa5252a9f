"""Output for people and for other programs: terminal, failing message, run file."""
