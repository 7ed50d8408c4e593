FROM python:3.11-slim-bookworm

# One image for the web server, the workers and beat.
WORKDIR /srv/manifold
COPY requirements/runtime.lock requirements/runtime.lock
RUN pip install --no-cache-dir --no-deps --compile -r requirements/runtime.lock
COPY manage.py pyproject.toml LICENSE ./
COPY dataplane dataplane
COPY apps apps
COPY manifold manifold
RUN python -m compileall -q dataplane apps manifold \
 && useradd --create-home --uid 10001 manifold \
 && install -d -o manifold -g manifold /data /data/storage /data/files
ENV PYTHONPATH=/srv/manifold \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=manifold.settings \
    MANIFOLD_HOME=/data \
    REMAP_SIGTERM=SIGQUIT
USER manifold
EXPOSE 8480
CMD ["gunicorn", "--bind", "0.0.0.0:8480", "--worker-class", "gthread", "--workers", "2", "--threads", "8", \
     "--preload", "--no-control-socket", "manifold.wsgi"]
