"""Sessions kept as Parquet files that any tool reads."""
