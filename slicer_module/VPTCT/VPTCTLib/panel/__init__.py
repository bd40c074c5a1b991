"""Panel: what the reader sees and clicks."""
