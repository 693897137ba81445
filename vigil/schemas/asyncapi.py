"""The same as an AsyncAPI 3 document, from which others generate clients and pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vigil import __version__
from vigil.schemas.payloads import PAYLOADS
from vigil.schemas.topics import PARAMETERS, PREFIX, TOPICS

if TYPE_CHECKING:
    from vigil.schemas.topics import Topic

_BINDING = "0.2.0"


def asyncapi(prefix: str = PREFIX) -> dict[str, Any]:
    """Return the document; `send` is what vigil says, `receive` what it hears."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "vigil",
            "version": __version__,
            "description": "What a video analytics daemon says of its cameras, and the commands it takes.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server(prefix)},
        "channels": {_id(topic): _channel(topic, prefix) for topic in TOPICS},
        "operations": {_id(topic): _operation(topic) for topic in TOPICS},
        "components": {
            "schemas": PAYLOADS,
            "messages": {topic.payload: _message(topic) for topic in TOPICS},
            "parameters": {name: {"description": meaning} for name, meaning in PARAMETERS.items()},
        },
    }


def _server(prefix: str) -> dict[str, Any]:
    will = {"topic": f"{prefix}/status", "qos": 1, "message": "offline", "retain": True}
    return {
        "host": "{host}:{port}",
        "protocol": "mqtt",
        "description": "Any MQTT broker, or the embedded one.",
        "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "1883"}},
        "bindings": {"mqtt": {"lastWill": will, "bindingVersion": _BINDING}},
    }


def _channel(topic: Topic, prefix: str) -> dict[str, Any]:
    path = topic.path.replace("<", "{").replace(">", "}")
    parameters = {name: {"$ref": f"#/components/parameters/{name}"} for name in topic.parameters}
    return {
        "address": f"{prefix}/{path}",
        "messages": {topic.payload: {"$ref": f"#/components/messages/{topic.payload}"}},
        # Only where the address has some.
        **({"parameters": parameters} if parameters else {}),
    }


def _operation(topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{_id(topic)}"
    return {
        "action": "receive" if topic.asked else "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{topic.payload}"}],
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retained, "bindingVersion": _BINDING}},
    }


def _message(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.payload,
        "contentType": topic.content,
        "payload": {"$ref": f"#/components/schemas/{topic.payload}"},
    }


def _id(topic: Topic) -> str:
    return re.sub(r"[<>]", "", topic.path).replace("/", "_")
