"""What lies below MQTT, TLS and sockets; and why a broker cannot be had, in a line that names the remedy."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from vigil.errors import RetryableError

if TYPE_CHECKING:
    from vigil.config.mqtt import TlsConfig


class BrokerError(RetryableError):
    """The broker cannot be reached, refuses, or went away."""

    reason = "broker"


class UnknownVersionError(BrokerError):
    """The broker does not speak this version of MQTT."""


class LoginError(BrokerError):
    """The broker does not accept user name and password."""

    slow = True


class RivalError(BrokerError):
    """Another client has the same name, and each throws the other out."""

    slow = True


def why_not(broker: str, error: OSError | ValueError) -> BrokerError:
    """Explain why no connection was made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerError(
            f"{broker}: its certificate is not accepted ({error.verify_message}); "
            "mqtt.tls.ca_file names who vouches for it"
        )
    if isinstance(error, ssl.SSLError):
        return BrokerError(
            f"{broker}: no TLS comes about ({error.reason}); mqtt.port may not be the one for TLS"
        )
    return BrokerError(f"{broker}: {error}")


def rival(broker: str, client_id: str) -> RivalError:
    """Explain that somebody else took over the name."""
    return RivalError(
        f"{broker}: another client connects with the name {client_id!r}; "
        "give each a mqtt.client_id of its own"
    )


class _ClosedOnFailure(ssl.SSLSocket):
    """A socket that a failed handshake closes: paho would leave it open until the garbage is collected."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 -- as the library has it
        """Agree on keys, or close."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(settings: TlsConfig) -> ssl.SSLContext:
    """Return what checks the broker's certificate and name, and shows vigil's own; raises `BrokerError`."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise BrokerError(f"mqtt.tls.ca_file: {settings.ca_file} cannot be used ({error})") from error
    context.sslsocket_class = _ClosedOnFailure
    if settings.certificate_file is not None:
        try:
            # An empty password: nobody is there to be asked for one.
            context.load_cert_chain(settings.certificate_file, settings.key_file, password="")
        except OSError as error:
            raise BrokerError(
                f"mqtt.tls: {settings.certificate_file} and {settings.key_file} cannot be used ({error})"
            ) from error
    return context


def without_delay(number: int) -> None:
    """Have small packets sent at once, whatever wraps the socket with this file number."""
    borrowed = socket.socket(fileno=number)
    try:
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    finally:
        borrowed.detach()
