"""The networks: one catalog page, their classifiers, and where their weights come from."""
