"""The embedded default: PostgreSQL, Valkey and SeaweedFS from wheels, and every process of the product, supervised."""
