"""The device of a measurement: its description and its health."""
