"""Which study next: what clients ask, what they are told, and who has which study at the moment.

The choosing itself is ``vpt_plugin.active.worklist``, for the command line, too; here is what HTTP adds.
"""
