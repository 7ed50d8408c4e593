"""What the client reports, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataplane.connectors.kafka.params import LARGEST, KafkaParams
from dataplane.connectors.streams.connector import no_stream
from dataplane.connectors.streams.server import tls_fails
from dataplane.errors import ConfigurationError, DataError, ManifoldError, TransientError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_NAMED = 5


def explained(error: KafkaError, params: KafkaParams, seconds: float) -> ManifoldError:
    """A failure between the client and the brokers."""
    import confluent_kafka as kafka

    if error.code() in (kafka.KafkaError._AUTHENTICATION, kafka.KafkaError.SASL_AUTHENTICATION_FAILED):
        return ConfigurationError(
            f"The brokers do not let {params.user or 'us'} in. Correct the user, the password and the way of "
            "signing in.",
            code="authentication",
            evidence={"user": params.user},
        )
    if error.code() == kafka.KafkaError._SSL:
        return tls_fails("the brokers", error.str())
    if error.code() in (kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED, kafka.KafkaError.GROUP_AUTHORIZATION_FAILED):
        return _forbidden(error)
    return silent(error, params, seconds)


def refuses(error: KafkaError) -> bool:
    """Whether it says that we are not let in, which no patience changes where it was said."""
    import confluent_kafka as kafka

    codes = (kafka.KafkaError._AUTHENTICATION, kafka.KafkaError.SASL_AUTHENTICATION_FAILED, kafka.KafkaError._SSL)
    return error.code() in codes


def mistrusted(error: KafkaError) -> str:
    """The server whose TLS fails, as it was entered; empty for other failures."""
    import confluent_kafka as kafka

    if error.code() != kafka.KafkaError._SSL:
        return ""
    # Such a report begins with ssl://host:port/bootstrap.
    return error.str().partition("://")[2].partition("/")[0]


def passes(error: KafkaError) -> bool:
    """Whether it says that nothing has come yet."""
    import confluent_kafka as kafka

    return error.code() in (kafka.KafkaError._TRANSPORT, kafka.KafkaError._TIMED_OUT)


def oversized(error: KafkaError) -> bool:
    """Whether it says that an answer is larger than the client takes, or is none of Kafka's."""
    import confluent_kafka as kafka

    return error.code() == kafka.KafkaError._BAD_MSG


def too_large(stream: str, ahead: dict[str, int]) -> DataError:
    """A message that the client does not take. ahead: what comes next in each partition that is not at its end."""
    places = ", ".join(f"partition {each} from offset {offset} on" for each, offset in list(ahead.items())[:_NAMED])
    return DataError(
        f"A message of {stream} is larger than {LARGEST // 1_000_000} MB, so it is not read: in {places}. Have its "
        "sender keep such things elsewhere and send where they are; once the brokers have removed it, when_gone lets "
        "the source go on.",
        code="message_too_large",
        evidence={"stream": stream, "ahead": ahead},
    )


def of_topic(stream: str, error: KafkaError | None) -> ManifoldError:
    """What is wrong with a topic."""
    import confluent_kafka as kafka

    missing = (
        kafka.KafkaError.UNKNOWN_TOPIC_OR_PART,
        kafka.KafkaError._UNKNOWN_TOPIC,
        kafka.KafkaError._UNKNOWN_PARTITION,
    )
    if error is None or error.code() in missing:
        return no_stream(stream, "topic")
    if error.code() == kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return _forbidden(error)
    return TransientError(f"The brokers answer for {stream}: {error.str()[:200]}.", code="server_error")


def gone(stream: str, partition: int) -> DataError:
    """Messages went while they were read."""
    return DataError(
        f"Messages of {stream}, partition {partition}, went while they were read. Run it again: the plan says what is "
        "left.",
        code="messages_gone",
        evidence={"stream": stream, "partition": partition},
    )


def silent(error: KafkaError | None, params: KafkaParams, seconds: float) -> TransientError:
    """Nothing came; `error` is what was heard before, if anything."""
    why = f" ({error.str()[:200]})" if error is not None else ""
    return TransientError(
        f"No broker has answered for {seconds:.0f} seconds{why}. Check the addresses, also those that the brokers tell "
        "of themselves (advertised.listeners), and whether they want TLS.",
        code="connection_lost",
        evidence={"servers": list(params.servers)},
    )


def _forbidden(error: KafkaError) -> ConfigurationError:
    return ConfigurationError(
        f"The brokers do not allow it: {error.str()[:200]}. Have the user granted READ and DESCRIBE on the topic, and "
        "READ on the group.",
        code="permission_denied",
    )
