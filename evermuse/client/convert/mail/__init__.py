"""E-mail (RFC 5322) on disk: splits mailboxes, parses mails, and makes one record for each mail."""
