"""Collects the participants of a record, each once, with a role derived from the domain of the address."""

from collections.abc import Sequence
from hashlib import sha256

from evermuse.client.convert.rejects import sound_text
from evermuse.client.convert.validation import is_email

MAX_PARTICIPANTS, MAX_ID, MAX_NAME, MAX_EMAIL = 5000, 256, 256, 320


class People:
    """Collects participants. Without internal domains, a role that the source does not state is unknown."""

    def __init__(self, internal_domains: Sequence[str]) -> None:
        self._domains = tuple(domain.lower().lstrip("@") for domain in internal_domains)
        self._by_id: dict[str, dict[str, str]] = {}

    def add(self, *, id: str = "", name: str = "", email: str = "", role: str = "", type: str = "") -> None:
        """Add a participant. ``id``: the source's id; the default is the address, else the name. Without any, adds nothing.

        An address that the envelope refuses is left out of the participant. ``data`` still has it.
        """
        name, email = sound_text(name).strip(), sound_text(email).strip()
        given = sound_text(id).strip() or email.lower() or name
        if not given:
            return
        entry = self._by_id.setdefault(short_id(given, MAX_ID), {"role": "unknown"})
        if is_address := (len(email) <= MAX_EMAIL and is_email(email)):
            entry.setdefault("email", email)
        if name:
            entry.setdefault("name", name[:MAX_NAME])
        if type:
            entry.setdefault("type", type)
        if entry["role"] == "unknown":
            entry["role"] = role or (self.role(email) if is_address else "unknown")

    def role(self, email: str) -> str:
        """The role of an address. A subdomain belongs to its domain."""
        if not self._domains:
            return "unknown"
        domain = email.rpartition("@")[2].lower()
        inside = any(domain == one or domain.endswith(f".{one}") for one in self._domains)
        return "internal" if inside else "external"

    @property
    def count(self) -> int:
        return len(self._by_id)

    @property
    def entries(self) -> list[dict[str, str]]:
        """The participants in the envelope's form, in the order of their first mention, at most 5,000."""
        return [{"id": key, **entry} for key, entry in list(self._by_id.items())[:MAX_PARTICIPANTS]]


def short_id(text: str, limit: int) -> str:
    """The text. If it exceeds the limit, its beginning and a digest that keeps it unique."""
    if len(text) <= limit:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{text[: limit - 33]}~{digest}"
