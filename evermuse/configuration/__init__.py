"""Settings by area, each read once and described where it is read. `evermuse.settings` collects them for Django."""
