"""Studies and labels on disk. Nothing of MONAI Label in here, and no torch."""
