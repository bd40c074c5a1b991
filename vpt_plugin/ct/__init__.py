"""A chest CT as data: reading it, its geometry, its intensities, its clips. No torch in here."""
