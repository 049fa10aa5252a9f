"""pytest's side of a run: settings, hooks, the fixture, and the mode of the run."""
