"""Active learning: scores of all studies, the worklist, when to train again, and what it saves."""
