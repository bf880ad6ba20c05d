"""The web process: uvicorn's server with a connection class of ours, and the byte budgets of what it holds."""

import os

# The modules of this package read settings when they are imported.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")

# The connection class builds on internals of uvicorn's protocol that were read in this version; a test fails at another one.
WRITTEN_FOR = {"uvicorn": "0.54.0"}
