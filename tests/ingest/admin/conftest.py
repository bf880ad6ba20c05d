"""Users of each role."""

import logging
from collections.abc import Callable, Iterator
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

# Importing the URLs registers the pages that tests go through.
from evermuse import roles
from evermuse import urls as urls


@pytest.fixture
def login(db: None) -> Callable[[str], Client]:
    """Returns a browser of a user with a role: "" is staff without a role, "superuser" needs none."""

    def make(role: str) -> Client:
        roles.ensure()
        user = User.objects.create_user(
            f"{role}-{User.objects.count()}", is_staff=True, is_superuser=role == "superuser"
        )
        if role in roles.ROLES:
            user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def boss(login: Callable[[str], Client], caplog: pytest.LogCaptureFixture) -> Iterator[Client]:
    """A superuser's browser for thousands of requests, whose answers alone matter.

    Reading the session, the user and the permissions again is four of a request's six queries, and the log of a refused
    request is a traceback.
    """
    client = login("superuser")
    client.raise_request_exception = False
    user = User.objects.get(is_superuser=True)
    caplog.set_level(logging.CRITICAL, "django.request")
    with mock.patch("django.contrib.auth.middleware.get_user", lambda request: user):
        yield client
