"""Actions of operators on a group. Each is a conditional UPDATE whose row count says whether it changed anything."""

from ingest.problems.models import Problem

State = Problem.State

# By action: the states it applies to, and the new state.
ACTS = {
    "mute": ((State.OPEN, State.RESOLVED), State.MUTED),
    "resolve": ((State.OPEN, State.MUTED), State.RESOLVED),
    "reopen": ((State.MUTED, State.RESOLVED), State.OPEN),
}


def settle(problem_id: int, *, act: str) -> bool:
    """Mute, resolve or reopen a group. Returns False if the action does not apply to its state."""
    before, after = ACTS[act]
    changed = Problem.objects.filter(pk=problem_id, state__in=before).update(state=after, is_alert_due=False)
    return changed == 1
