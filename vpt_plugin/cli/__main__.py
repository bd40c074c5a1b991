"""``python -m vpt_plugin.cli``, for where the script ``vpt`` is not on the path."""

from vpt_plugin.cli import main

main()
