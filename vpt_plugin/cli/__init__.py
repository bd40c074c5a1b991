"""The command line, ``vpt``: one file per group of commands.

Torch and the other large packages are imported inside the commands, so that ``vpt --help`` answers at once.
"""

from vpt_plugin.cli.app import app, main

__all__ = ["app", "main"]
