"""A server that answers with any bytes, with or without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

#: Writes an answer to a connection, given the head of its request.
Answer: TypeAlias = Callable[[socket.socket, bytes], None]

#: For 127.0.0.1, and signed by nobody else: a certificate and its key, which protect nothing.
CERTIFICATE = "MIIBjzCCATagAwIBAgIUN2RaDufKLJ29w0vzIda3Nl6xnMIwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMzE5MzYzMVoYDzIxMjYxMDMwMTkzNjMxWjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASUpRfqghvaP/wUppiPig60QdqbpTXjQtueDgcsUdC7HCsfhkrOF9NyXskPWg6Pwu+1VTxYdfl3GInk9OZ6KE2qo2QwYjAdBgNVHQ4EFgQUd56nRZFy0RFAaJUwjC5Jt16tvaUwHwYDVR0jBBgwFoAUd56nRZFy0RFAaJUwjC5Jt16tvaUwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0cAMEQCIA/Z0fSBJikknemr/ZkOKYy8XOvtLaVi3aGmfgGF6GLoAiBKYPaNONnrz2PqdAEv7EPL+0UpGASSIDtpik7cw8rQ2Q=="
CERTIFICATE_KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+izSB0s8CN9i/UNs327kZEIbYh1vCbq3zv2425GV2kuhRANCAASUpRfqghvaP/wUppiPig60QdqbpTXjQtueDgcsUdC7HCsfhkrOF9NyXskPWg6Pwu+1VTxYdfl3GInk9OZ6KE2q"

KEY = b'{"sessionKey": "a-session-key-of-the-wire"}'


def certificate(folder: Path) -> Path:
    """Write a file with the certificate and its key."""
    file = folder / "certificate.pem"
    kinds = (("PRIVATE KEY", CERTIFICATE_KEY), ("CERTIFICATE", CERTIFICATE))
    file.write_text("".join(f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n" for kind, text in kinds))
    return file


def ok(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """An answer that leaves the connection open."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def trickle(connection: socket.socket, start: bytes, piece: bytes) -> None:
    """Send a beginning, and then piece after piece until the client hangs up."""
    with suppress(OSError):
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            connection.settimeout(0.02)
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return


class RawServer:
    """The requests it received, and its port.

    Authentications get a key, unless they too go to ``answer``, as all other requests do. The connection stays open after an answer.
    """

    def __init__(self, answer: Answer, context: ssl.SSLContext | None, *, authenticate: bool = True) -> None:
        self._authenticate = authenticate
        self.heard: list[bytes] = []
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The address."""
        return f"http{'' if self._context is None else 's'}://127.0.0.1:{self.port}"

    @property
    def calls(self) -> int:
        """How many requests were received."""
        return len(self.heard)

    def stop(self) -> None:
        """Close every connection."""
        for connection in (self._listener, *self._open):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, while its thread reads
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            connection = plain if self._context is None else self._context.wrap_socket(plain, server_side=True)
            self._open.append(connection)
            with connection:
                while head := connection.recv(65536):
                    self.heard.append(head)
                    if self._authenticate and b"/authenticate" in head.split(b"\r\n")[0]:
                        connection.sendall(ok(KEY))
                    else:
                        self._answer(connection, head)


@contextmanager
def raw_server(answer: Answer, *, certificate: Path | None = None) -> Iterator[RawServer]:
    """Run a server."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = RawServer(answer, context)
    try:
        yield server
    finally:
        server.stop()
