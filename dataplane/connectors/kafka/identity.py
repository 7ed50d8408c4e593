"""Which topic it is: brokers give each an id when it is made, which tells it from another one of the same name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_SECONDS = 5.0
# What a consumer is told beside these, no other client knows.
_SHARED = ("bootstrap.", "client.", "security.", "sasl.", "ssl.", "socket.")
_SILENT = logging.Logger("kafka", logging.CRITICAL + 1)


class Identities:
    """The ids of a cluster's topics, of which a consumer tells nothing; a client of its own asks for them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: those of the consumer."""
        self._settings = {name: value for name, value in settings.items() if name.startswith(_SHARED)}
        self._admin: AdminClient | None = None
        self._answers = True

    def of(self, topic: str) -> str:
        """Empty where the brokers are older than such ids, or do not say it now."""
        import confluent_kafka as kafka
        from confluent_kafka.admin import AdminClient

        if not self._answers:
            return ""
        try:
            self._admin = self._admin or AdminClient(self._settings, logger=_SILENT)
            asked = self._admin.describe_topics(kafka.TopicCollection([topic]), request_timeout=_SECONDS)
            found = asked[topic].result().topic_id
        except kafka.KafkaException:
            # A hint for the next time, for which nobody waits twice.
            self._answers = False
            return ""
        return str(found) if found.get_most_significant_bits() or found.get_least_significant_bits() else ""
