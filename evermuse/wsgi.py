"""Django as a WSGI application; `evermuse.asgi` is what servers run, it proves first that a body is whole."""

import os

from django.core.wsgi import get_wsgi_application

from evermuse import serving

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
serving.demand()
application = get_wsgi_application()
