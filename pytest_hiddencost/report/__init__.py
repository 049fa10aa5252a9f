"""What people and other programs read: terminal, failing message, run file."""
