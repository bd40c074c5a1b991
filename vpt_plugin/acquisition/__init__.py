"""Which study next: functions on arrays (probabilities, embeddings); nothing of files, networks or readers."""
