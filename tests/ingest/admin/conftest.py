"""Users of each role."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from evermuse import roles


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
