"""The time of a call, operator by operator."""
