#!/usr/bin/env python3
"""Measures how the sample sleeps, wakes and returns, each until every URL answers.

  benches/sleep.py [--rounds 3]

Needs on PATH: cmdr (or CMDR), kind, helm, docker. Brings the sample up once, and deletes it at the end.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CMDR = os.environ.get("CMDR", "cmdr")
NAME = "cmdr-sleep-bench"


class Bench:
    def __init__(self, folder):
        self.workspace = pathlib.Path(folder) / "workspace"
        self.workspace.mkdir()
        text = (ROOT / "projects.yaml").read_text().replace("name: tunes", f"name: {NAME}", 1)
        text = text.replace("projects:\n", "environments: {local: {ports: {http: 18081, https: 18444}}}\nprojects:\n", 1)
        (self.workspace / "projects.yaml").write_text(text)
        self.environment = {**os.environ, "CMDR_STATE": str(pathlib.Path(folder) / "state")}

    def cmdr(self, *arguments):
        """Runs cmdr; gives the seconds to its end, and those to the last URL that answered, if any was asked."""
        command = [CMDR, "-C", str(self.workspace), *arguments, "--yes", "--output", "json"]
        start, answered = time.monotonic(), None
        child = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=self.environment)
        for line in child.stdout:
            event = json.loads(line)
            if event.get("action") == "check" and str(event.get("message")).startswith("200 "):
                answered = time.monotonic() - start
        if child.wait():
            sys.exit(f"cmdr {' '.join(arguments)} failed")
        return time.monotonic() - start, answered

    def round(self):
        times = {"stop": self.cmdr("stop")[0]}
        times["start"], times["start, to every URL"] = self.cmdr("start")
        times["stop --warm"] = self.cmdr("stop", "--warm")[0]
        times["start from memory"] = self.cmdr("start")[0]
        times["snapshot save, running again"] = self.cmdr("snapshot", "save", "bench")[0]
        times["snapshot restore"], times["snapshot restore, to every URL"] = self.cmdr("snapshot", "restore", "bench")
        self.cmdr("snapshot", "delete", "bench")
        return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        bench.cmdr("up")
        try:
            results = [bench.round() for _ in range(rounds)]
        finally:
            bench.cmdr("down")
    for what in results[0]:
        seconds = [result[what] for result in results if result[what] is not None]
        print(f"{what:32} median {statistics.median(seconds):6.1f} s   {[round(one, 1) for one in seconds]}")


if __name__ == "__main__":
    main()
