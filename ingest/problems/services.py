"""What operators do to a group: each a conditional UPDATE whose row count says whether anything changed."""

from ingest.problems.models import Problem

State = Problem.State

# act → (from which states, to which)
ACTS = {
    "mute": ((State.OPEN, State.RESOLVED), State.MUTED),
    "resolve": ((State.OPEN, State.MUTED), State.RESOLVED),
    "reopen": ((State.MUTED, State.RESOLVED), State.OPEN),
}


def settle(problem_id: int, *, act: str) -> bool:
    """Mute, resolve or reopen a group; False when it is there already."""
    before, after = ACTS[act]
    changed = Problem.objects.filter(pk=problem_id, state__in=before).update(state=after, is_alert_due=False)
    return changed == 1
