"""Throughput by operator kind: a battery for the device, and replays of a model's operators."""
