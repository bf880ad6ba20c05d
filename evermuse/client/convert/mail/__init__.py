"""E-mail (RFC 5322) as it is found on disk: splitting, reading, and one record for each mail."""
