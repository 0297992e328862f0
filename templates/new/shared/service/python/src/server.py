"""Health check, metrics and the end of the service, around its routes."""

import os
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes]


class Counter:
    """Counts in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self._lock:
            self.value += 1


# The number of {{ counter }}, for the metrics.
{{ counter }} = Counter()


class Server(ThreadingHTTPServer):
    # Open requests are finished before the service ends.
    daemon_threads = False

    def __init__(
        self,
        port: int,
        routes: Callable[[str, str, bytes], Answer],
        problem: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(("", port), Handler)
        self.routes = routes
        self.problem = problem

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        match method, path:
            case "GET", "/healthz":
                problem = self.problem()
                return (503, problem.encode()) if problem else (200, b"ok\n")
            case "GET", "/metrics":
                text = f"# TYPE {{ metric }} counter\n{{ metric }} {{ '{' }}{{ counter }}.value}\n"
                return 200, text.encode()
{%- if template != "worker" %}
        {{ counter }}.add()
{%- endif %}
        return self.routes(method, path, body)


class Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 20

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.server.answer(self.command, self.path, body)
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = handle_request

    def log_request(self, code="-", size="-") -> None:
        """Requests are counted, not logged."""


def serve(server: Server) -> None:
    """Answers requests until SIGTERM or SIGINT, and then finishes the open ones."""

    def stop(*_: object) -> None:
        print("stopping")
        # `shutdown` waits for the loop that this signal interrupted.
        threading.Thread(target=server.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"listening on port {server.server_port}")
    with server:
        server.serve_forever(poll_interval=0.1)


def port() -> int:
    return int(os.environ.get("PORT") or 8080)
