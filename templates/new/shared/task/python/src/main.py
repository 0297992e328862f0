"""{{ name }} runs a task and ends."""

import signal
import sys
import threading

stopped = threading.Event()


def run(items: list[str]) -> int:
    """Processes the items, and returns how many are done. It stops between two items."""
    done = 0
    for item in items:
        if stopped.is_set():
            break
        print(f"processing {item}")
        done += 1
    return done


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    items = ["first", "second"]
    done = run(items)
    print(f"{done} of {len(items)} items are done")
    # The exit code tells Kubernetes to run an interrupted task again.
    return 0 if done == len(items) else 1


if __name__ == "__main__":
    sys.exit(main())
