"""What gunicorn serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from manifold import celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "manifold.settings")

# What a request sends goes to the broker of this application; importing it makes it the current one.
celery.app.set_default()
application = get_wsgi_application()
