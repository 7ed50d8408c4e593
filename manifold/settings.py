"""Django's settings. What differs between installations is an environment variable, see `environment`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.templatetags.static import static

from manifold import environment, logs
from manifold.database import django_database
from manifold.environment.setting import data_folder

BASE_DIR = Path(__file__).resolve().parent.parent
MANIFOLD_HOME = data_folder()

# --- Security -------------------------------------------------------------------------------------------------------
SECRET_KEY = environment.SECRET_KEY.read()
DEBUG = False
ALLOWED_HOSTS = environment.ALLOWED_HOSTS.read()
CSRF_TRUSTED_ORIGINS = environment.TRUSTED_ORIGINS.read()
HTTPS = environment.HTTPS.read()
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|startupz|metrics)$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SESSION_ENGINE = "apps.accounts.sessions"
SESSION_COOKIE_NAME = "manifold_session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = environment.SESSION_HOURS.read() * 3600
CSRF_COOKIE_NAME = "manifold_csrf"
X_FRAME_OPTIONS = "DENY"
# The console's Alpine evaluates its attributes, which needs 'unsafe-eval'; inline scripts stay forbidden.
CONTENT_SECURITY_POLICY = {
    "default-src": ["'self'"],
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "object-src": ["'none'"],
    "base-uri": ["'self'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
}

# --- Applications ---------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    # First, so that its templates win over those of the theme.
    "manifold.console",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "pgtrigger",
    "axes",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "apps.audit",
    "apps.accounts",
    "apps.sources",
    "apps.snapshots",
    "apps.quality",
    "apps.pipelines",
]
MIDDLEWARE = [
    "manifold.middleware.RequestId",
    "django.middleware.security.SecurityMiddleware",
    "manifold.middleware.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "manifold.middleware.IdleTimeout",
    "django.middleware.common.CommonMiddleware",
    # Within the one that says how long an answer is.
    "manifold.middleware.NotAPage",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "manifold.middleware.SecondFactorFirst",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last, so that its answer to somebody who is locked out is the one that is sent.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "manifold.urls"
WSGI_APPLICATION = "manifold.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "manifold.console.context.frame",
            ]
        },
    }
]
STATIC_URL = "/static/"
# Static files are served from where the packages keep them: nothing has to be collected before a start.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

# --- Database -------------------------------------------------------------------------------------------------------
_ADMIN_URL = environment.DATABASE_ADMIN_URL.read()
_URL = environment.DATABASE_URL.read() or "postgresql://manifold@127.0.0.1:5432/manifold"
_POOLED = environment.DATABASE_POOLER.read()
DATABASES = {"default": django_database(_URL, pooled=_POOLED)}
if _ADMIN_URL:
    # Only for migrations: `manage.py migrate --database admin`.
    DATABASES["admin"] = django_database(_ADMIN_URL, pooled=_POOLED, application_name="manifold admin") | {
        "TEST": {"MIRROR": "default"}
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People ---------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}}]

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "apps.accounts.passwords.PasswordBackend"]
# How many of our own proxies stand in front, each of which adds an address to X-Forwarded-For.
TRUSTED_PROXIES = environment.PROXIES.read()
# Wrong passwords are counted for a name together with an address.
AXES_FAILURE_LIMIT = environment.SIGN_IN_ATTEMPTS.read()
AXES_COOLOFF_TIME = timedelta(minutes=environment.SIGN_IN_LOCK_MINUTES.read())
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "apps.accounts.services.lockout.name_of_attempt"
AXES_CLIENT_IP_CALLABLE = "apps.accounts.addresses.network_of"
AXES_LOCKOUT_CALLABLE = "manifold.console.doors.locked_out"
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
REQUIRE_MFA = environment.REQUIRE_MFA.read()
# Signing in through an OpenID Connect issuer: apps/accounts/oidc.
OIDC_ISSUER = environment.OIDC_ISSUER.read()
OIDC_CLIENT_ID = environment.OIDC_CLIENT_ID.read()
OIDC_CLIENT_SECRET = environment.OIDC_CLIENT_SECRET.read()
OIDC_TITLE = environment.OIDC_TITLE.read()
OIDC_SCOPES = environment.OIDC_SCOPES.read()
OIDC_EMAIL_CLAIM = environment.OIDC_EMAIL_CLAIM.read()
OIDC_EMAIL_VERIFIED_CLAIM = environment.email_verified_claim()
OIDC_DOMAINS = environment.OIDC_DOMAINS.read()
OIDC_NEW_PEOPLE = environment.OIDC_NEW_PEOPLE.read()
OIDC_ONLY = bool(OIDC_ISSUER) and environment.OIDC_ONLY.read()
OIDC_MFA = environment.OIDC_MFA.read()
OIDC_GROUPS_CLAIM = environment.OIDC_GROUPS_CLAIM.read()
OIDC_GROUPS = environment.OIDC_GROUPS.read()
TOKEN_GUESSES = environment.TOKEN_GUESSES.read()
HOOK_MESSAGES = environment.HOOK_MESSAGES.read()
INBOX_EVENTS = environment.INBOX_EVENTS.read()
INBOX_KEPT = environment.INBOX_KEPT.read()
FLOWER_OPERATORS = environment.FLOWER_OPERATORS.read()

# --- Language and time ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
# A time without its zone is half a time, so the formats are ours.
FORMAT_MODULE_PATH = ["manifold.formats"]

# --- API ------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.TokenAuthentication",
        "apps.accounts.authentication.ConsoleSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # `?format=` is a parameter of downloads, not a way to choose a renderer.
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_PARSER_CLASSES": ["manifold.parsers.Body"],
    "DEFAULT_FILTER_BACKENDS": ["manifold.api.Filters"],
    "DEFAULT_PAGINATION_CLASS": "manifold.api.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "manifold.openapi.Schema",
    "EXCEPTION_HANDLER": "manifold.api.problem_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Manifold",
    "DESCRIPTION": "Sources, checked and versioned pipelines, immutable snapshots, audit.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "manifold.openapi.document_problems",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    # The same word for several things: run and step have a state, pipeline and source a health.
    "ENUM_NAME_OVERRIDES": {
        "RunState": "apps.pipelines.api.shapes.RUN_STATES",
        "RunMode": "apps.pipelines.services.MODES",
        "BackfillState": "apps.pipelines.api.backfills.STATES",
        "SliceState": "apps.pipelines.progress.SLICE_STATES",
        "StepState": "apps.pipelines.api.shapes.STEP_STATES",
        "SnapshotState": "apps.snapshots.api.shapes.STATES",
        "QueryState": "apps.snapshots.api.shapes.QUERY_STATES",
        "ParameterType": "apps.snapshots.api.shapes.PARAMETER_TYPES",
        "PipelineHealth": "apps.pipelines.api.shapes.HEALTH",
        "SourceHealth": "apps.sources.models.Health",
        "ChangeKind": "dataplane.drift.KINDS",
        "RuleAction": "apps.quality.api.ACTIONS",
        "FreshnessState": "apps.pipelines.states.FRESHNESS",
        "BudgetState": "apps.pipelines.states.SPENDING",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Console --------------------------------------------------------------------------------------------------------
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Manifold",
    "SITE_HEADER": "Manifold",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/mark.svg")},
    ],
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/theme.js"), lambda request: static("console/console.js")],
    "SHOW_VIEW_ON_SITE": False,
}

# --- Celery: it carries ids and says "wake up"; the truth is in PostgreSQL --------------------------------------------
CELERY_BROKER_URL = environment.REDIS_URL.read() or "redis://127.0.0.1:6379/0"
CELERY_TASK_IGNORE_RESULT = True
# Without results there is nothing to clean up every night.
CELERY_RESULT_EXPIRES = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_QUEUES = {
    name: {"exchange": name, "routing_key": name} for name in ("critical", "default", "bulk", "system")
}
CELERY_TASK_DEFAULT_EXCHANGE = CELERY_TASK_DEFAULT_ROUTING_KEY = "default"
# A publish that fails is repaired by the sweep; waiting long would hold up a request.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 3,
    # A broker that hangs holds up a request that publishes for four times this: more would outlast gunicorn's patience.
    # Workers ask with BRPOP for one second at a time, so none waits for a quiet queue.
    "socket_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 15,
    # The policy above tries again already; both would multiply.
    "retry_on_timeout": False,
    # Messages are acknowledged as soon as they are received: no book is kept in Redis of those that are not, which
    # costs two round trips for each, and nothing comes back an hour later.
    "ack_emulation": False,
    # The order in which a worker asks its queues.
    "queue_order_strategy": "priority",
}
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_MAX_MEMORY_PER_CHILD = environment.WORKER_MAX_MEMORY.read() // 1024
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20.0
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5


def _tick(task: str, seconds: float) -> dict[str, Any]:
    """A tick nobody took before the next one is due is worth nothing, so it expires."""
    return {
        "task": task,
        "schedule": timedelta(seconds=seconds),
        "options": {"queue": "system", "expire_seconds": seconds},
    }


CELERY_BEAT_SCHEDULE = {
    "sweep": _tick("apps.pipelines.tasks.sweep", 5),
    "reap": _tick("apps.pipelines.tasks.reap", 10),
    "schedules": _tick("apps.pipelines.tasks.schedules", 5),
    "watch": _tick("apps.pipelines.tasks.watch", 10),
    "connections": _tick("apps.sources.tasks.watch_connections", 5),
    "freshness": _tick("apps.pipelines.tasks.watch_freshness", 30),
    "inboxes": _tick("apps.pipelines.tasks.prune_inboxes", 300),
    "spending": _tick("apps.pipelines.tasks.watch_spending", 300),
    "seal": _tick("apps.audit.tasks.seal", 60),
}

# --- What the platform itself reads ---------------------------------------------------------------------------------
STORAGE_URL = environment.storage_url()
FILE_ROOTS = environment.file_roots()
NET_ALLOW = environment.NET_ALLOW.read()
UPLOAD_SIZE = environment.UPLOAD_SIZE.read()
HISTORY_DAYS = environment.HISTORY_DAYS.read()
# Asked at each use, so that the key is no value of the settings and a new one needs no restart.
MASTER_KEY = environment.MASTER_KEY.read
STEP_MEMORY = environment.STEP_MEMORY.read()
STEP_THREADS = environment.STEP_THREADS.read()
SQL_MEMORY = environment.SQL_MEMORY.read()
SQL_SECONDS = environment.SQL_SECONDS.read()
SQL_CONCURRENCY = environment.SQL_CONCURRENCY.read()
LEASE_SECONDS = environment.LEASE_SECONDS.read()
HEARTBEAT_SECONDS = environment.HEARTBEAT_SECONDS.read()
WORKERS = environment.WORKERS.read()

# --- Logs -----------------------------------------------------------------------------------------------------------
LOGGING = logs.logging_config(environment.LOG_LEVEL.read(), environment.LOG_FORMAT.read())
logs.configure_structlog()
# The apps hide secrets in what they keep of runs as the log does.
REDACT = logs.redact
