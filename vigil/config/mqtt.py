"""The broker's part of the configuration: `mqtt`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vigil.config.address import is_loopback
from vigil.config.section import Section, WithPassword
from vigil.config.units import (
    Age,
    ExistingFile,
    Port,
    SecretFile,
    Size,
    Text,
    Timeout,
    TopicPrefix,
    secret_or_file,
    wrong,
)


class BrokerUserConfig(Section):
    """One who may use the embedded broker; after validation `password` is there, wherever it came from."""

    # A password in place of the keys is a mistake that must not be repeated in the message.
    model_config = ConfigDict(json_schema_extra={"writeOnly": True})

    password_file: SecretFile | None = Field(
        default=None, description="File that holds the password, instead of `password`; read at load time."
    )
    password: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        default=None,
        validate_default=True,
        description="Password; better `${VARIABLE}` or `password_file` than the secret itself.",
    )

    @field_validator("password", mode="before")
    @classmethod
    def _password_or_file(cls, value: Any, info: ValidationInfo) -> Any:
        secret = secret_or_file(value, info)
        if secret is None and "password_file" in info.data:
            raise wrong("is missing; write `password` or `password_file`")
        return secret


class EmbeddedConfig(Section):
    """The embedded broker, which runs when there is no `mqtt.host`."""

    users: dict[Text, BrokerUserConfig] = Field(
        default_factory=dict,
        description="Who may come in, by user name; without any everybody may, from this machine alone.",
    )
    host: Text = Field(
        default="127.0.0.1",
        description="Address to listen on; another than this machine's own asks for `users`.",
    )
    persistence: bool = Field(
        default=True, description="Whether retained messages survive when the broker starts again."
    )

    @field_validator("host")
    @classmethod
    def _open_to_users_only(cls, host: str, info: ValidationInfo) -> str:
        if not is_loopback(host) and info.data.get("users") == {}:
            raise wrong("lets in everybody who reaches it; add `users`, or listen on 127.0.0.1")
        return host


class TlsConfig(Section):
    """How the broker and vigil prove who they are; the broker's certificate and name are always checked."""

    ca_file: ExistingFile | None = Field(
        default=None,
        description="Certificates (PEM) of who vouches for the broker; null trusts whom the system trusts.",
    )
    certificate_file: ExistingFile | None = Field(
        default=None, description="vigil's own certificate (PEM), for a broker that asks for one."
    )
    key_file: ExistingFile | None = Field(
        default=None, description="The private key of `certificate_file` (PEM, without a passphrase)."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> TlsConfig:
        if (self.certificate_file is None) != (self.key_file is None):
            raise wrong("needs both `certificate_file` and `key_file`, or none of them")
        return self


class OutboxConfig(Section):
    """What waits for a broker that is away; the oldest goes first when it becomes too much."""

    size: Size = Field(
        default="100MB",
        validate_default=True,
        description="Most that may wait, payloads and topics together.",
    )
    age: Age = Field(default="7d", validate_default=True, description="Longest that an event may wait.")


def _protocol(value: object) -> object:
    """Read the YAML number 5 as the word."""
    return str(value) if type(value) is int else value


class MqttConfig(WithPassword):
    """The broker that results go to."""

    host: Text | None = Field(default=None, description="The broker's host; null starts the embedded broker.")
    port: Port = Field(default=1883, description="The broker's port.")
    embedded: EmbeddedConfig = Field(
        default_factory=EmbeddedConfig, description="How the embedded broker runs; without `host` only."
    )
    topic_prefix: TopicPrefix = Field(default="vigil", description="First part of every topic.")
    client_id: Text | None = Field(
        default=None,
        description="vigil's name at the broker, one of a kind; null makes one up and keeps it.",
    )
    keepalive: Timeout = Field(
        default="30s",
        validate_default=True,
        description="Longest silence before the broker is asked for a sign.",
    )
    protocol: Annotated[Literal["auto", "3.1.1", "5"], BeforeValidator(_protocol)] = Field(
        default="auto",
        description="MQTT's version; `auto` is 5, and 3.1.1 for a broker that does not know it.",
    )
    transport: Literal["tcp", "websocket"] = Field(
        default="tcp", description="What carries MQTT; with `tls` a WebSocket is wss."
    )
    websocket_path: Annotated[
        str,
        StringConstraints(pattern=r"^/\S*$"),
        Field(json_schema_extra={"x-expects": "a path that begins with /, such as /mqtt"}),
    ] = Field(default="/mqtt", description="Path of the WebSocket at the broker.")
    tls: TlsConfig | None = Field(
        default=None, description="TLS to the broker; `{}` is TLS with the system's authorities, null none."
    )
    outbox: OutboxConfig = Field(
        default_factory=OutboxConfig, description="Events that wait for a broker that is away."
    )

    @model_validator(mode="after")
    def _needs_a_broker(self) -> MqttConfig:
        """Refuse what the embedded broker cannot do: it listens on TCP alone."""
        if self.host is None and (self.tls is not None or self.transport != "tcp"):
            raise wrong("has `tls` or `transport` for the embedded broker, which has neither; add `host`")
        return self

    @field_validator("password")
    @classmethod
    def _after_username(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """MQTT knows no password without a user name."""
        if password is not None and info.data.get("username", "") is None:
            raise wrong("has no user name beside it; add `username`")
        return password

    def with_login(self, username: str, password: str) -> MqttConfig:
        """Return the same with another login."""
        return self.model_copy(update={"username": username, "password": SecretStr(password)})
