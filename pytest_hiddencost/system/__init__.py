"""The machine around the tests: git, memory, processes, cores."""
