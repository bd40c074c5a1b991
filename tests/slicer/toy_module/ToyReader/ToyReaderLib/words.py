"""A word that a reload must make anew."""

GREETING = ["hello"]
