"""Labels of the admin that Django makes from the names of fields: "vendor url" becomes "vendor URL"."""

import re

from django.db.models import Field, Model

WORDS = {
    "api": "API", "id": "ID", "ids": "IDs", "md5": "MD5", "mime": "MIME", "sha1": "SHA-1", "sha256": "SHA-256", "uri": "URI", "url": "URL",
}  # fmt: skip
_WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")


def spell(model: type[Model]) -> None:
    """Spell abbreviations in the labels of a model's fields. May be repeated.

    Migrations compare the names that models give, so this needs none.
    """
    for field in model._meta.get_fields():
        if isinstance(field, Field):
            field.verbose_name = spelled(str(field.verbose_name))


def spelled(label: str) -> str:
    """The label with its abbreviations in capitals."""
    return _WORD.sub(lambda found: WORDS[found[0]], label)
