"""Servers that the embedded stack does not have, for tests and `make matrix`: each from a package of the system."""
