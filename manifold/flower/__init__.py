"""Flower, the view of Celery's own workers and messages, behind the console's login."""
