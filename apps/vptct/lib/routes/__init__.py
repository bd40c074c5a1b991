"""All routes of this server. One file per subject; ``install.py`` puts them in place of MONAI Label's.

MONAI Label's own are coroutines that compute, so that one inference stops the whole server, they leave
uploads behind when something goes wrong, and they join what a client sends to paths. None of them is kept.
Ours are plain functions, each of which FastAPI gives a thread, and every one says which role it wants.
Imports are relative, as in the package around it.
"""
