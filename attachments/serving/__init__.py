"""Serving stored files: the URLs that clients get, and the web process's own answers where the store's do not do."""
