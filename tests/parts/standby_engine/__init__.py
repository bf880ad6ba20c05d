"""A database engine for the standby in tests."""
