"""Scene: what the module keeps in, reads from and shows through Slicer's scene (MRML); no Qt, no server."""
