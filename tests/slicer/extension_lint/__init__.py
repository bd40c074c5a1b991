"""Rules for the files of the Slicer extension, which only Slicer and its builds would otherwise try."""
