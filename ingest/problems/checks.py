"""Django system checks of the alert settings. Each message names the variable."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError
from django.core.validators import validate_email


def problems_of_settings() -> list[CheckMessage]:
    """Errors of the webhook's URL, the e-mail addresses and the public URL."""
    found: list[CheckMessage] = []
    for number, name in enumerate(("EVERMUSE_ALERT_WEBHOOK_URL", "EVERMUSE_PUBLIC_URL"), start=1):
        if (value := getattr(settings, name)) and not is_http_url(value):
            # The message omits the value, because a webhook's URL is often a secret.
            found.append(Error(f"{name} must be an absolute http:// or https:// URL.", id=f"problems.E00{number}"))
    for address in settings.EVERMUSE_ALERT_EMAILS:
        try:
            validate_email(address)
        except ValidationError:
            found.append(Error(f"EVERMUSE_ALERT_EMAILS: {address!r} is not an e-mail address.", id="problems.E003"))
    return found


def is_http_url(text: str) -> bool:
    """Whether a text is an absolute http or https URL with a host and a valid port."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(c.isspace() for c in text)
