"""A network that fails on demand, between a client and a server on this machine."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

SIZE = 2**16


class Proxy:
    """Passes on what is sent to it.

    ``cut_after`` is bytes that, once seen in a request, let it reach the server and lose the
    reply, as often as ``cuts`` says; ``black_hole`` takes everything and answers nothing, and so it
    is after ``silent_after`` requests.
    """

    def __init__(self, port: int) -> None:
        self.target, self.cut_after, self.cuts, self.black_hole = port, b"", 0, False
        self.silent_after: float = float("inf")
        self._doomed: set[int] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    @property
    def uri(self) -> str:
        # A replica set would send its clients past the proxy.
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection(("127.0.0.1", self.target))
                self._sockets.append(server)
                for source, sink, asks in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(
                        target=self._pass_on, args=(source, sink, id(client), asks), daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, pair: int, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(SIZE):
                if asks and self.cuts and self.cut_after in data:
                    self.cuts -= 1
                    self._doomed.add(pair)
                elif not asks and pair in self._doomed:
                    break
                if asks and b"hello" not in data and b"isMaster" not in data:
                    self.silent_after -= 1
                    self.black_hole |= self.silent_after < 0
                if not self.black_hole:
                    sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections; first of all the listener, so that there are no new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(5)
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)
