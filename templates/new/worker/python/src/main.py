"""{{ name }} works in the background."""

import threading
import time

from server import Server, items, port, serve

# The seconds between two items.
INTERVAL = 1
# How many seconds an item may take before the worker is not healthy.
PATIENCE = 60


class Worker:
    """Processes items one after the other."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self.last = time.monotonic()

    def run(self) -> None:
        """Processes items until `stopped` is set; the item in work is finished."""
        while not self.stopped.wait(INTERVAL):
            self.process()

    def process(self) -> None:
        """Where the work belongs, such as one message of a queue."""
        items.add()
        self.last = time.monotonic()

    def problem(self) -> str | None:
        """Why the worker is not healthy."""
        if time.monotonic() - self.last > PATIENCE:
            return "no item was processed for a minute\n"
        return None


def main() -> None:
    worker = Worker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        serve(Server(port(), lambda *_: (404, b"not found\n"), worker.problem))
    finally:
        worker.stopped.set()
        thread.join()


if __name__ == "__main__":
    main()
