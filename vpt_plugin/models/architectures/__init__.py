"""The networks that no library ships: one file per family. No weights and no CT in here."""
