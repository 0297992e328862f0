"""What all parts of the benchmark use: commands, a workspace for cmdr, clocks, and what is kept of them."""
import argparse, http.client, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile, threading, time

from usage import Usage

ROOT = pathlib.Path(__file__).resolve().parent.parent
CMDR = os.environ.get("CMDR", "cmdr")
NAME = os.environ.get("CMDR_BENCH_NAME", "cmdr-bench")
# On 127.0.0.1: http of cmdr's cluster, its https 363 above, http of the peers' cluster 10 above.
PORT = int(os.environ.get("CMDR_BENCH_PORT", "18080"))
HTTPS_PORT, PEER_PORT = PORT + 363, PORT + 10
# Seconds after which what never comes true ends the benchmark.
PATIENCE = 300


def run(*command, **options):
    """Runs a command and gives what it printed; a failure shows what it said and ends the benchmark."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def until(test, what):
    end = time.monotonic() + PATIENCE
    while not test():
        if time.monotonic() > end:
            sys.exit(f"never came true: {what}")
        time.sleep(0.05)


def answer(port, host, path):
    """Status and body of a request to the cluster behind `port`; None and nothing where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()


def prove(releases, port, kubeconfig):
    """Waits until every URL answers as it should, and a pod finds another by its name."""
    for url, status in [(check["url"], check["status"]) for release in releases for check in release["checks"]]:
        host, path = url.removeprefix("http://").split("/", 1)
        host = host.split(":")[0]
        # Without a status, cmdr accepts every answer of the project. A 404 may be that of Traefik.
        accepted = [status] if status else range(200, 400)
        until(lambda: answer(port, host, "/" + path)[0] in accepted, url)
    namespace = releases[-1]["namespace"]
    dns = ["kubectl", "--kubeconfig", str(kubeconfig), "-n", namespace, "exec", "postgres-0", "--", "getent", "hosts", "redis"]
    until(lambda: subprocess.run(dns, capture_output=True).returncode == 0, "in-cluster DNS")


class Workspace:
    """A projects.yaml of the benchmark's own, and cmdr at work on it."""

    def __init__(self, folder, text=None):
        self.folder = pathlib.Path(folder, "workspace")
        self.folder.mkdir()
        self.state = pathlib.Path(folder, "state")
        self.environment = {**os.environ, "CMDR_STATE": str(self.state)}
        self.kubeconfig = self.state / "clusters" / NAME / "kubeconfig"
        self.write(text or (ROOT / "projects.yaml").read_text().replace("name: tunes", f"name: {NAME}", 1))

    def write(self, text):
        ports = f"environments: {{local: {{ports: {{http: {PORT}, https: {HTTPS_PORT}}}}}}}\n"
        (self.folder / "projects.yaml").write_text(text.replace("\nprojects:\n", f"\n{ports}projects:\n", 1))

    def text(self):
        return (self.folder / "projects.yaml").read_text()

    def cmdr(self, *arguments):
        return run(CMDR, "-C", self.folder, *arguments, env=self.environment)

    def up(self):
        self.cmdr("up", "--quiet")

    def down(self):
        self.cmdr("down", "--yes")

    def releases(self):
        """Every release with chart and values, as cmdr hands them to helm."""
        return json.loads(self.cmdr("plan", "--output", "json"))["releases"]

    def peak(self, *arguments):
        """Runs cmdr and gives the most memory that it held, in MB."""
        child = subprocess.Popen([CMDR, "-C", str(self.folder), *arguments], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        peak, status = 0, pathlib.Path(f"/proc/{child.pid}/status")
        reader = threading.Thread(target=lambda: setattr(child, "told", child.stderr.read()))
        reader.start()
        while child.poll() is None:
            held = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
            peak = max([peak, *(int(kilobytes) / 1024 for kilobytes in held)])
            time.sleep(0.01)
        reader.join()
        if child.returncode:
            sys.exit(f"cmdr {' '.join(arguments)} failed:\n{child.told[-3000:]}")
        return round(peak, 1)


class Clock:
    """What a part's arms took, in the order of their running."""

    def __init__(self):
        self.runs, self.left_out = {}, {}

    def time(self, name, arm, *arguments):
        """Runs an arm and keeps how long it took, with processor-seconds of the machine and of each program."""
        usage = Usage()
        told = arm(*arguments)
        self.note(name, **usage.end())
        return told

    def note(self, name, seconds, **more):
        """Keeps what an arm has measured itself."""
        self.runs.setdefault(name, []).append({"seconds": round(seconds, 3), **more})
        processor = f"   {more['processor']:6.1f} processor-seconds" if "processor" in more else ""
        print(f"{name:36} {seconds:8.2f} s{processor}", flush=True)

    def leave_out(self, name, reason):
        self.left_out[name] = reason
        print(f"{name:36} left out: {reason}", flush=True)

    def medians(self, what):
        """The medians of seconds or processor-seconds, of the arms that have measured them."""
        kept = {name: [run[what] for run in runs if what in run] for name, runs in self.runs.items()}
        return {name: round(statistics.median(values), 3) for name, values in kept.items() if values}

    def programs(self):
        """The median of the processor-seconds of each program in each arm, the largest first."""
        medians = {}
        for name, runs in self.runs.items():
            programs = {program for run in runs for program in run.get("programs", {})}
            used = {it: statistics.median(run.get("programs", {}).get(it, 0) for run in runs) for it in programs}
            medians[name] = {it: round(used[it], 2) for it in sorted(used, key=used.get, reverse=True) if used[it] > 0}
        return {name: used for name, used in medians.items() if used}

    def result(self, ratios, **more):
        """What is kept: `ratios` names pairs of arms, of which the first is divided by the second."""
        kept = {}
        for what, medians in (("seconds", self.medians("seconds")), ("processor", self.medians("processor"))):
            pairs = {name: pair for name, pair in ratios.items() if all(medians.get(arm) for arm in pair)}
            quotients = {name: round(medians[one] / medians[other], 3) for name, (one, other) in pairs.items()}
            kept[what] = {"medians": medians, "ratios": quotients}
        rest = {"programs": self.programs(), "runs": self.runs, "left_out": self.left_out, "processors": os.cpu_count()}
        return {**kept, **rest, **more}


def main(measure, description, tools=("kind", "helm", "helmfile", "kubectl", "docker")):
    """The command line of a part: `measure` is given the rounds and an empty folder, and gives what is kept."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=pathlib.Path, help="write the results to this file, as JSON")
    options = parser.parse_args()
    for tool in tools:
        shutil.which(tool) or sys.exit(f"{tool} is not on PATH")
    refuse_others()
    with tempfile.TemporaryDirectory() as folder:
        result = {"rounds": options.rounds, **measure(options.rounds, pathlib.Path(folder))}
    for what, unit in (("processor", "processor-seconds"), ("seconds", "seconds")):
        for name, ratio in result[what]["ratios"].items():
            print(f"{name}: {ratio:.3f} ({unit})")
    if options.keep:
        options.keep.write_text(json.dumps(result, indent=1) + "\n")


def refuse_others():
    """Somebody's cluster of the same name, or another benchmark's, is not taken for this one's."""
    names = run("docker", "ps", "--all", "--format", "{{.Names}}").split()
    taken = {f"{NAME}-control-plane", f"{NAME}-peer-control-plane"}.intersection(names)
    taken and sys.exit(f"{', '.join(taken)} is there: wait until it is gone, or name another cluster and port with CMDR_BENCH_NAME and CMDR_BENCH_PORT")
