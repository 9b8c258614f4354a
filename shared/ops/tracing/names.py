"""The names of attributes in our spans, fixed here: OpenTelemetry's conventions for messaging may change.

Left out on purpose: addresses and paths of requests, keys of records, URLs of receivers. They hold names of
customers, or secrets.
"""

from enum import StrEnum


class Kind(StrEnum):
    """The role of a span, as OpenTelemetry names it."""

    SERVER = "SERVER"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    CLIENT = "CLIENT"
    INTERNAL = "INTERNAL"


SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"

ERROR_TYPE = "error.type"

HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"

MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_PARTITION = "messaging.destination.partition.id"
MESSAGING_OFFSET = "messaging.kafka.offset"
MESSAGING_GROUP = "messaging.consumer.group.name"
MESSAGING_BATCH = "messaging.batch.message_count"
MESSAGING_ID = "messaging.message.id"

STORE = "closeloop.store"
CHANNEL = "closeloop.channel"
CHANNEL_KIND = "closeloop.channel.kind"
DELIVERY_ID = "closeloop.delivery.id"
DELIVERY_REASON = "closeloop.delivery.reason"
DELIVERY_ATTEMPT = "closeloop.delivery.attempt"
DELIVERY_STATUS = "closeloop.delivery.status"
