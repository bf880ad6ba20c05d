"""Labels of the admin spell abbreviations as people do."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, label_for_field
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import RequestFactory

from evermuse import labels

RAW = re.compile(r"_|\b(api|ids?|Api|Ids?|[Mm]d5|[Mm]ime|[Ss]ha256|[Uu]r[il])\b")


def shown() -> Iterator[tuple[str, str]]:
    """The label of every field of every list, form and filter, and where it is."""
    request = RequestFactory().get("/")
    request.user = get_user_model()(is_superuser=True, is_staff=True)
    for model, page in admin.site._registry.items():
        whole: list[tuple[Any, Any, list[Any]]] = [
            (model, page, [*page.get_list_display(request), *flatten_fieldsets(page.get_fieldsets(request))])
        ]
        whole += [(one.model, one, list(one.get_fields(request))) for one in page.get_inline_instances(request)]
        whole.append((model, page, [name for name in page.get_list_filter(request) if isinstance(name, str)]))
        for of, options, names in whole:
            for name in names:
                # Passwords of the form for a new login are no fields of the model.
                if isinstance(name, str) and name not in {"password1", "password2", "usable_password"}:
                    yield f"{of.__name__}.{name}", str(label_for_field(name, of, options))


def test_no_label_of_the_admin_is_a_raw_field_name(db: None) -> None:
    admin.autodiscover()
    found = dict(shown())
    assert len(found) > 100
    assert {place: label for place, label in found.items() if RAW.search(label)} == {}
    assert found["Attachment.vendor_url"] == "vendor URL"


@pytest.mark.parametrize(
    ("label", "spelled"), [("sha256", "SHA-256"), ("upload intent id", "upload intent ID"), ("paid idle", "paid idle")]
)
def test_only_whole_words_are_spelled(label: str, spelled: str) -> None:
    assert labels.spelled(label) == labels.spelled(spelled) == spelled


def test_spelled_labels_need_no_migration(db: None) -> None:
    admin.autodiscover()
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
