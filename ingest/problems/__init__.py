"""The problem inbox: failures in groups, alerts about them, and jobs that retry a whole group."""
