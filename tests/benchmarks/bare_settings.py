"""The limit with which accepting is compared: the same server and threads, and a view that only inserts the body."""

from evermuse.settings import *  # noqa: F403

ROOT_URLCONF = "tests.benchmarks.bare_urls"
MIDDLEWARE = []
