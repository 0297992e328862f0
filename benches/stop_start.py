#!/usr/bin/env python3
"""(f) The times to stop, start, save and restore the sample.

  benches/stop_start.py [--rounds 3] [--keep FILE]

`cmdr stop` and `start`, `stop --pause` and `start`, `snapshot save` and `restore`. Times are until every URL
responds, and until cmdr ends. A row in postgres and a key in redis must be there after each.
"""
import json, subprocess, sys, time

from shared import CMDR, Clock, Workspace, main, run



class StopStart(Workspace):
    def kubectl(self, *arguments):
        return run("kubectl", "--kubeconfig", self.kubeconfig, "-n", self.releases_in, *arguments)

    def sql(self, text):
        ask = 'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U postgres -tAc "$0"'
        return self.kubectl("exec", "postgres-0", "--", "sh", "-c", ask, text)

    def write_data(self):
        self.kubectl("exec", "redis-0", "--", "redis-cli", "set", "kept", "yes")
        self.kubectl("exec", "redis-0", "--", "redis-cli", "save")
        self.sql("create table kept (word text); insert into kept values ('yes')")

    def data_is_there(self):
        key = self.kubectl("exec", "redis-0", "--", "redis-cli", "get", "kept").strip()
        row = self.sql("select word from kept").strip()
        (key, row) == ("yes", "yes") or sys.exit("data was lost")

    def answered(self, *arguments):
        """Runs cmdr and gives the seconds until the last URL had answered."""
        command = [CMDR, "-C", str(self.folder), *arguments, "--yes", "--output", "json"]
        start, answered = time.monotonic(), 0
        child = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=self.environment)
        for line in child.stdout:
            event = json.loads(line)
            if event.get("action") == "check" and str(event.get("message")).startswith("200 "):
                answered = time.monotonic() - start
        child.wait() and sys.exit(f"cmdr {' '.join(arguments)} failed")
        return answered


def measure(rounds, folder):
    workspace, clock = StopStart(folder), Clock()
    workspace.releases_in = workspace.releases()[-1]["namespace"]

    def measure_start(name, *arguments):
        answered = clock.time(f"{name}, to its end", workspace.answered, *arguments)
        clock.note(f"{name}, to every URL", answered)
        workspace.data_is_there()

    try:
        workspace.up()
        workspace.write_data()
        for _ in range(rounds):
            clock.time("stop", workspace.cmdr, "stop")
            measure_start("start", "start")
            clock.time("stop --pause", workspace.cmdr, "stop", "--pause")
            measure_start("start from memory", "start")
            clock.time("snapshot save, running again", workspace.cmdr, "snapshot", "save", "bench")
            measure_start("snapshot restore", "snapshot", "restore", "bench")
            workspace.cmdr("snapshot", "delete", "bench")
    finally:
        workspace.down()
    return clock.result({})


if __name__ == "__main__":
    main(measure, __doc__, tools=("kind", "helm", "kubectl", "docker"))
