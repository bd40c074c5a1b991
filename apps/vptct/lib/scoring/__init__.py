"""Scorings on this server: what a version says of every study, computed ahead in a process behind all others.

``desk.ScoringDesk`` is what the rest of the server knows. It looks itself at what is served, so nobody has to
tell it, and no request starts a scoring. Imports are relative, as in the package around it.
"""
