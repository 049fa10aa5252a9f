"""Two revisions measured in lock-step, block by block, in two processes on one machine."""
