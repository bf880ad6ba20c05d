"""Logins of the admin: passwords, and django-axes, which counts failures in PostgreSQL. Nothing here is set from outside."""

from datetime import timedelta

AUTHENTICATION_BACKENDS = ["evermuse.logins.Throttle", "django.contrib.auth.backends.ModelBackend"]
# By name and address together, so that nobody can lock an administrator out from elsewhere. `evermuse.logins` limits
# addresses.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "evermuse.logins.Handler"
AXES_LOCKOUT_CALLABLE = "evermuse.logins.locked_out"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Otherwise continued attempts would block the login for ever.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
# The log needs names and addresses. It never contains passwords.
AXES_SENSITIVE_PARAMETERS: list[str] = []
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ACCESS_FAILURE_LOG = True
# `evermuse.asgi` sets the client's address, which a trusted proxy may name.
AXES_CLIENT_IP_CALLABLE = "evermuse.logins.address"
AXES_USERNAME_CALLABLE = "evermuse.logins.username"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
