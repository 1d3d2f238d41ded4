"""The API on a loopback port."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, cast

from pulseframes._version import __version__
from pulseframes.simulator.access import Response, json_response
from pulseframes.simulator.app import App
from pulseframes.simulator.faults import Fault

HOST: Final = "127.0.0.1"

#: The type of a connection and of its address, which the base class leaves open.
Peer = Any

#: Closing a socket with this option set sends a reset.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_LONGEST_REQUEST_BODY: Final = 1 << 20
#: Smaller answers are not worth compressing.
_WORTH_COMPRESSING: Final = 1024


class Server(ThreadingHTTPServer):
    """Serves an app until it is stopped.

    Parameters
    ----------
    app
        Answers the requests.
    port
        The port; 0 is any free one.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, app: App, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.app = app
        self.stopping = threading.Event()
        #: Connections that will end with a reset.
        self.to_reset: set[Peer] = set()
        self._open: set[Peer] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """The address and port, as in a Host header."""
        return f"{HOST}:{self.server_address[1]}"

    def stop(self) -> None:
        """Stop at once: end delays, close every connection, and wait for the threads."""
        self.stopping.set()
        with suppress(OSError), socket.create_connection((HOST, self.server_address[1]), timeout=1):
            self._thread.join()  # it waits for a connection
        self.server_close()
        with self._changed:
            for connection in self._open:
                _hang_up(connection)
            self._changed.wait_for(lambda: not self._open, timeout=5)

    def _accept(self) -> None:
        """Serve without a pause in which a stop would have to wait."""
        while not self.stopping.is_set():
            self.handle_request()

    def verify_request(self, request: Peer, client_address: Peer) -> bool:  # noqa: ARG002  of the base class
        """Refuse the connection that ends the wait for one."""
        return not self.stopping.is_set()

    def server_bind(self) -> None:
        """Bind the port, without asking a name server for the host's name, as the base class would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def process_request(self, request: Peer, client_address: Peer) -> None:
        """Remember a connection before its thread starts."""
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Peer, client_address: Peer) -> None:
        """Serve a connection, and forget it at its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.discard(request)
                self._changed.notify_all()

    def shutdown_request(self, request: Peer) -> None:
        """Close a connection, without the usual farewell if it will be reset."""
        if request in self.to_reset:
            self.to_reset.discard(request)
        else:
            _hang_up(request)
        request.close()

    def handle_error(self, request: Peer, client_address: Peer) -> None:
        """Ignore clients that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = f"pulseframes-simulator/{__version__}"
    sys_version = ""
    disable_nagle_algorithm = True
    # Headers and body leave in one piece.
    wbufsize = -1

    def _serve(self) -> None:
        server = cast("Server", self.server)
        if not self._skip_body():
            return
        path, _, query = self.path.partition("?")
        try:
            response = server.app.handle(self.command, path, query, dict(self.headers.items()))
        except Exception as error:  # noqa: BLE001 - a drift's own function may fail in any way
            response = json_response(500, {"message": f"the simulator failed: {error!r}"})
        fault = response.fault
        if fault is not None and fault.kind == "delay" and server.stopping.wait(fault.seconds):
            self.close_connection = True
        elif fault is not None and fault.kind == "reset" and fault.at_bytes is None:
            self._reset()
        else:
            self._send(response, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - names of the base class

    def _skip_body(self) -> bool:
        """Read past the request's body to where the next request begins; if that fails, hang up and return False."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LONGEST_REQUEST_BODY or "Transfer-Encoding" in self.headers:
            self.send_error(400)
            self.close_connection = True
            return False
        self.rfile.read(int(length))
        return True

    def _send(self, response: Response, fault: Fault | None) -> None:
        """Send an answer, or the part that a fault lets through."""
        headers, body = dict(response.headers), response.body
        if len(body) >= _WORTH_COMPRESSING and "gzip" in self.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=1, mtime=0)
        cuts = fault is not None and fault.kind in ("reset", "truncate")
        framing = fault.framing if fault is not None and fault.kind == "truncate" else "length"
        self.send_response(response.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif framing == "length":
            self.send_header("Content-Length", str(len(body)))
        if cuts:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and cuts:
            part = body[: len(body) // 2 if fault.at_bytes is None else fault.at_bytes]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" and part else part)
            self.wfile.flush()
            self.close_connection = True
            if fault.kind == "reset":
                self._reset()
        else:
            self.wfile.write(body)

    def _reset(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        cast("Server", self.server).to_reset.add(self.connection)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Write no log, as the app remembers the requests."""


def _hang_up(connection: socket.socket) -> None:
    """End a connection in both directions, unless the other side did."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
