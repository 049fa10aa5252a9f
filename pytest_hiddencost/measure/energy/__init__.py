"""Energy: meters of the device, and the pass that measures the energy of a call."""
