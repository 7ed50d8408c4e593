"""Topics of Kafka and compatible brokers."""

from __future__ import annotations

from dataplane.connectors.kafka.connector import Kafka

__all__ = ["Kafka"]
