"""Names of workspaces, which object keys contain."""

from functools import lru_cache

from attachments.models import Lane


@lru_cache(10_000)
def name_of(workspace_id: int) -> str:
    """The workspace's name. It never changes, so each process reads it once."""
    return str(Lane(workspace_id=workspace_id).workspace.name)
