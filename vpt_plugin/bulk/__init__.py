"""Answers for a whole archive: streamed over Ray workers, written as Parquet, resumable at any moment."""
