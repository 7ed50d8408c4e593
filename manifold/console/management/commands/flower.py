"""`manage.py flower`: the page /flower/ of the console reads from here. `manifold up` does it itself."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from manifold.flower import server


class Command(BaseCommand):
    help = "Serve Flower, read-only and with a password that only the console knows, until it is stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--address", default="127.0.0.1", help="Address to listen on.")
        parser.add_argument("--port", type=int, default=5555, help="Port to listen on.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            server.serve(options["address"], options["port"], lambda: self.stdout.write("Flower listens."))
        except server.ListenError as error:
            raise CommandError(str(error)) from None
