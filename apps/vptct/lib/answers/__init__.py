"""Answers for studies: equal questions are computed once, and the answers of the last ones are kept.

Nothing in here knows about HTTP.
"""
