"""What the Slicer module VPTCT is made of; nothing of ``vpt_plugin``, for Slicer has its own Python.

Of what is here so far nothing knows Qt or Slicer: the client of the server (``client``, with ``contract``,
``routes`` and ``transport`` below it), the labels that wait for the server (``outbox``), and how a study is
named to it (``which_study``). It needs the standard library and ``requests``, and runs on Python 3.9 to 3.12.
"""
