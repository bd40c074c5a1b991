"""The adapters between MONAI Label and vpt_plugin: a request becomes a typed call, its answer JSON.

MONAI Label puts this folder's parent on ``sys.path`` only while it loads ``main.py``. Inside the package
imports are therefore relative and stand at the top of the files.
"""
