"""Studies and their labels as data to learn from: manifest, split, prepared studies, clips."""
