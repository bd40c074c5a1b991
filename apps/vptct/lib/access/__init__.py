"""Who may ask this server: where it listens, which web pages and hosts it answers, and who is logged in.

Imports are relative, as in the package around it. ``install.py`` puts all of it before the routes.
"""
