"""Serves stored files: makes their URLs, and answers them in the web process if the store must not serve files itself."""
