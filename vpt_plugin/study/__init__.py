"""The published experiment: a plan, its cells, the run of one cell, results, tables and figures."""
