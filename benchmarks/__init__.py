"""Programs that measure what the plugin claims; ``python -m benchmarks`` lists them."""
