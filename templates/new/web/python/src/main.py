"""{{ name }} is an HTTP service."""

from server import Answer, Server, port, serve


def routes(method: str, path: str, body: bytes) -> Answer:
    match method, path:
        case "GET", "/":
            return 200, b"hello from {{ name }}\n"
    return 404, b"not found\n"


if __name__ == "__main__":
    serve(Server(port(), routes))
