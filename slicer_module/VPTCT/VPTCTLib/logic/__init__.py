"""Logic: what the panel knows and can do, without Qt."""
