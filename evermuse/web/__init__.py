"""The web process: uvicorn with our own connection class, and budgets for the bytes that it holds."""

import os

# The modules of this package read settings when they are imported.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")

# The connection class uses internals of uvicorn's protocol. A test fails with any other version.
WRITTEN_FOR = {"uvicorn": "0.54.0"}
