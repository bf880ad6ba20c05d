"""Django looks for the formats of a language in a module of its name."""
