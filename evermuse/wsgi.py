"""Django as a WSGI application. Servers run `evermuse.asgi`, which first checks that a body is complete."""

import os

from django.core.wsgi import get_wsgi_application

from evermuse import serving

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
serving.require_settings_or_exit("web")
application = get_wsgi_application()
serving.refuse_old_database_or_exit()
