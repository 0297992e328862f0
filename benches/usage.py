"""Processor-seconds while an arm runs: of the machine, and of each program."""
import collections, os, pathlib, threading, time

TICKS = os.sysconf("SC_CLK_TCK")
# Seconds between two looks: a program that ends within them is counted as short-lived.
EVERY = 0.1
SHORT = "programs that ended at once, and the kernel"


def busy():
    """Seconds for which this machine's processors have worked since it started."""
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def busy_of(process):
    """Seconds for which the processors have worked for this process and those of its children that have ended."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(word) for word in fields[11:15]) / TICKS


class Usage:
    """Counts from its creation until `end`."""

    def __init__(self):
        # By process and its start: a number of ended processes is given again.
        self.before, self.latest, self.names = {}, {}, {}
        self.space, self.over = os.readlink("/proc/self/ns/pid"), threading.Event()
        self.look()
        self.before = dict(self.latest)
        self.start, self.used = time.monotonic(), busy()
        self.watch = threading.Thread(target=self.keep_looking, daemon=True)
        self.watch.start()

    def keep_looking(self):
        while not self.over.wait(EVERY):
            self.look()

    def look(self):
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                with open(f"/proc/{entry.name}/stat", encoding="utf-8", errors="replace") as file:
                    head, rest = file.read().rsplit(")", 1)
                fields = rest.split()
                key = (entry.name, fields[19])
                # A process that starts a program first has the name of its parent.
                self.names[key] = self.name(entry.name, head.split("(", 1)[1])
                self.latest[key] = (int(fields[11]) + int(fields[12])) / TICKS
            except OSError:
                continue

    def name(self, process, program):
        """The program; those in the node and in other containers are told from those of the machine itself."""
        try:
            is_inside = os.readlink(f"/proc/{process}/ns/pid") != self.space
        except PermissionError:
            is_inside = False
        return f"{program} (in containers)" if is_inside else program

    def end(self):
        """Seconds and processor-seconds, as they are kept."""
        seconds, processor = time.monotonic() - self.start, busy() - self.used
        self.over.set()
        self.watch.join()
        self.look()
        programs = collections.Counter()
        for key, ticks in self.latest.items():
            programs[self.names[key]] += ticks - self.before.get(key, 0)
        programs[SHORT] = processor - sum(programs.values())
        shown = {name: round(used, 2) for name, used in programs.most_common() if used >= 0.05}
        return {"seconds": round(seconds, 3), "processor": round(processor, 2), "programs": shown}
