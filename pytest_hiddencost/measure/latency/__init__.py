"""The latency of a call, and the reference workload that runs between the calls."""
