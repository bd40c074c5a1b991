"""A stand-in for the Slicer application, for the tests of the module: the scene is real, the rest is ours.

The scene, its logic classes, ``slicer.util`` and the pixels of the slice views are those of the wheel
slicer-core; the widgets are those of PySide6 with the manners of PythonQt; the loader of modules, the main
window and the dialogs are small replacements that keep the contract of Slicer's.
"""
