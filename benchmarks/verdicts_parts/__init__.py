"""The parts of the verdicts benchmark; a package, so that the tests it generates can import it."""
