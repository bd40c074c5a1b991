"""What the server answers, as frozen dataclasses; one file per contract of the project's tests/contract.

Each is read by ``read_...`` from the decoded JSON. What is agreed must be there and of its kind; another
schema is refused; what a newer server adds is passed over. What the server does not know (null) is None.
"""
