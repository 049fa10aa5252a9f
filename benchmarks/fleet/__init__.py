"""A fleet of devices on one machine."""
