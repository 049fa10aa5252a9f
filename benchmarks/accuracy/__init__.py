"""Accuracy of the figures: times of operators, and the reference workload."""
