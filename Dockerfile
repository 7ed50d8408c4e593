FROM python:3.11-slim-bookworm

# One image for the web server, the workers, beat and Flower. It runs without root and on a read-only file system:
# what it writes goes to /data and /tmp.
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
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=manifold.settings \
    MANIFOLD_HOME=/data \
    REMAP_SIGTERM=SIGQUIT
USER 10001:10001
EXPOSE 8480
CMD ["gunicorn", "--bind", "0.0.0.0:8480", "--worker-class", "manifold.serving.Worker", "--workers", "2", "--threads", "8", \
     "--preload", "--no-control-socket", "--worker-tmp-dir", "/dev/shm", "manifold.wsgi"]
