"""Staff users of the admin."""

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils.crypto import get_random_string


def logged_in(*permissions: str) -> Client:
    """A client of a new staff user with these permissions (codenames)."""
    user = get_user_model().objects.create_user(f"user-{get_random_string(8)}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client
