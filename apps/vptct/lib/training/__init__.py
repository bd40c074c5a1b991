"""Trainings on this server: the queue, what is kept of each on the disk, and the process that does one.

``queue.Trainings`` is what the rest of the server knows. Each training runs in a process of its own
(``vpt_plugin.training.worker``), one at a time. Imports are relative, as in the package around it.
"""
