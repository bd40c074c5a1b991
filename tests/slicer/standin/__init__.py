"""A stand-in for the Slicer application, for the tests of the module: the scene is real, the rest is ours.

The scene, its logic classes, ``slicer.util`` and the pixels of the slice views are those of the wheel
slicer-core; the widgets are those of PySide6 with the manners of PythonQt; the loader of modules, the main
window and the dialogs are small replacements that keep the contract of Slicer's.

It cannot show: Slicer's own layout and style, Qt 5, what PythonQt does otherwise than PySide6 beyond the
manners that are copied here or linted, views in 3D, plots and tables in views, markups and segments over the
slices, Slicer's DICOM database on disk, its build and its packaging. How threads fare beside Slicer's event
loop is shown by ``slicer_event_loop`` alone; all other waiting lets them run freely.
"""
