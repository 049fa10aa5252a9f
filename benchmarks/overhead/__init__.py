"""Costs of the plugin itself: start-up, time and memory of a profile."""
