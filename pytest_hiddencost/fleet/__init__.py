"""Runs tests on many devices by the scheduler of Dask; no server and no queue of our own."""
