"""Programs on the store of runs and its change points."""
