"""The embedded stack: PostgreSQL, Valkey and SeaweedFS from wheels, and all processes of the product, supervised."""
