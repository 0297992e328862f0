"""{{ name }} keeps values by their keys on a volume."""

import os
import tempfile
import urllib.parse
from pathlib import Path

from server import Answer, Server, port, serve

# The size limit of a value, in bytes.
LONGEST = 1 << 20


class Store:
    """Keeps each value in a file of a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def routes(self, method: str, path: str, body: bytes) -> Answer:
        key = path.removeprefix("/keys/")
        if key in ("", path):
            return 404, b"not found\n"
        try:
            match method:
                case "GET":
                    return 200, self.file(key).read_bytes()
                case "PUT" if len(body) > LONGEST:
                    return 413, b"the value is too large\n"
                case "PUT":
                    self.put(key, body)
                case "DELETE":
                    self.file(key).unlink()
                case _:
                    return 405, b"method not allowed\n"
        except FileNotFoundError:
            return 404, b"not found\n"
        return 204, b""

    def put(self, key: str, value: bytes) -> None:
        """Replaces a value as a whole: a crash leaves the old value or the new one."""
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".new-", delete=False) as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.file(key))

    def file(self, key: str) -> Path:
        """The file of a key. Its prefix keeps keys apart from temporary files."""
        return self.folder / ("key-" + urllib.parse.quote(key, safe=""))

    def problem(self) -> str | None:
        """Why the store is not healthy."""
        return None if self.folder.is_dir() else "its folder does not exist\n"


if __name__ == "__main__":
    store = Store(os.environ.get("DATA_DIR") or "/data")
    serve(Server(port(), store.routes, store.problem))
