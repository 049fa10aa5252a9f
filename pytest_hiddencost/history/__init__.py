"""The store of runs: Parquet files that any number of runs add to, and the questions to them."""
