"""Which study next: functions on arrays (probabilities, embeddings); no files, networks or readers."""
