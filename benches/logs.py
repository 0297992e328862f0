#!/usr/bin/env python3
"""(h) Log throughput beside stern: the same lines of 50 containers from the same API server. No cluster is needed.

  benches/logs.py [--rounds 3] [--keep FILE]

The API server is this program: it knows 50 pods, and sends the log of each as fast as it is read, half of the lines
JSON. Both write to a file. cmdr merges the lines by time and folds JSON; `--raw` only merges. Needs on PATH: cmdr (or
CMDR) and stern, which `rig/rig peers` builds. CMDR_BENCH_LINES sets the lines of each container (10000).
"""
import argparse, http.server, json, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile, threading, time

PODS, LINES = 50, int(os.environ.get("CMDR_BENCH_LINES", "10000"))
CMDR = shutil.which(os.environ.get("CMDR", "cmdr")) or sys.exit("cmdr is not on PATH, and CMDR names no program")
ARMS = {
    "logs: cmdr": [CMDR, "logs", "--env", "staging", "--tail", str(LINES)],
    "logs: cmdr --raw": [CMDR, "logs", "--env", "staging", "--tail", str(LINES), "--raw"],
    "logs: stern": ["stern", ".", "--namespace", "staging", "--no-follow", "--tail=-1", "--color=never", "--max-log-requests=100"],
}


def log(pod):
    """The lines of a pod, with the times of an even flow."""
    lines = []
    for number in range(LINES):
        at = number * PODS + pod
        time_of_line = f"2026-01-02T{at // 3600000:02}:{at // 60000 % 60:02}:{at // 1000 % 60:02}.{at % 1000:03}000000Z"
        plain = f"INFO request {number} of /api/orders/{number % 97} has taken 12 ms"
        fields = {"time": time_of_line, "level": "info", "msg": "order accepted", "order": number, "status": 200}
        lines.append(f"{time_of_line} {json.dumps(fields) if number % 2 else plain}\n")
    return "".join(lines).encode()


def pod(number):
    name = f"p{number:02}"
    status = {"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 0, "containerID": f"c://{name}", "state": {"running": {"startedAt": "2026-01-02T00:00:00Z"}}}
    return {
        "metadata": {"name": f"{name}-1", "namespace": "staging", "uid": name, "resourceVersion": "1", "labels": {"app.kubernetes.io/instance": name}},
        "spec": {"containers": [{"name": name, "image": "i"}], "nodeName": "n"},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    logs = {}

    def do_GET(self):
        if "/log?" in self.path:
            body, kind = self.logs[self.path.split("/pods/")[1].split("/")[0]], "text/plain"
        elif "watch=" in self.path:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            time.sleep(3)
            return
        elif "kube-system" in self.path:
            body, kind = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "1"}}).encode(), "application/json"
        else:
            items = [pod(number) for number in range(PODS)]
            body, kind = json.dumps({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items}).encode(), "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def workspace(folder, port):
    projects = "".join(f"  p{number:02}: {{image: 'docker.io/library/redis:7.0'}}\n" for number in range(PODS))
    environments = "environments:\n  staging: {context: fake, namespace: staging, platform: external}\n"
    (folder / "projects.yaml").write_text(f"version: 1\nname: bench\n{environments}projects:\n{projects}")
    cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "fake", "context": {"cluster": "fake", "user": "fake"}}
    users = [{"name": "fake", "user": {}}]
    kubeconfig = {"apiVersion": "v1", "kind": "Config", "current-context": "fake", "clusters": [cluster], "contexts": [context], "users": users}
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))


def measure(command, folder):
    """The seconds, processor-seconds and peak memory of one run, which must print every line."""
    output = folder / "output"
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(folder / "kubeconfig")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with output.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE, cwd=folder, env=environment)
        peak = 0
        while child.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
                peak = max([peak] + [int(line.split()[1]) for line in status.split("\n") if line.startswith("VmHWM")])
            except OSError:
                pass
            time.sleep(0.02)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    printed = output.read_bytes().count(b"\n")
    child.returncode and sys.exit(f"{command[0]} failed: {child.stderr.read().decode()[-2000:]}")
    printed >= PODS * LINES or sys.exit(f"{' '.join(command)} printed {printed} of {PODS * LINES} lines")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 3), "processor": round(processor, 3), "peak_mb": round(peak / 1024, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=pathlib.Path, help="write the results to this file, as JSON")
    options = parser.parse_args()
    left_out = {} if shutil.which("stern") else {"logs: stern": "stern is not on PATH"}
    Server.logs = {f"p{number:02}-1": log(number) for number in range(PODS)}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    runs = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        workspace(folder, server.server_address[1])
        for _ in range(options.rounds):
            for arm in [arm for arm in ARMS if arm not in left_out]:
                runs.setdefault(arm, []).append(measure(ARMS[arm], folder))
    median = lambda arm, what: statistics.median(run[what] for run in runs[arm])
    for arm in runs:
        rate = PODS * LINES / median(arm, "seconds")
        print(f"{arm:24} {rate:10,.0f} lines/s {median(arm, 'processor'):6.2f} processor-seconds {median(arm, 'peak_mb'):6.0f} MB")
    ratios = {}
    for arm in [arm for arm in runs if arm != "logs: stern" and "logs: stern" in runs]:
        for what in ("seconds", "processor"):
            ratios[f"{what} of {arm} / stern"] = round(median(arm, what) / median("logs: stern", what), 3)
    for ratio, value in ratios.items():
        print(f"{ratio}: {value:.3f}")
    if options.keep:
        peaks = {arm: median(arm, "peak_mb") for arm in runs}
        medians = {arm: median(arm, "seconds") for arm in runs}
        result = {"rounds": options.rounds, "seconds": {"medians": medians, "ratios": ratios}, "peak_memory_mb": peaks, "runs": runs, "left_out": left_out}
        options.keep.write_text(json.dumps(result, indent=1) + "\n")


main()
