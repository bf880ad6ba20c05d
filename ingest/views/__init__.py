"""The HTTP endpoints: each authenticates, parses, calls one service and serializes."""
