"""Django's database backend for PostgreSQL, for the versions that we support."""
