"""How requests travel: connections that can be closed at any time, retries, the login, uploads, downloads."""
