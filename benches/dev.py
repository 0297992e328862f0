#!/usr/bin/env python3
"""(l) From a change of a source to its answer: cmdr dev beside tilt up. Then both at rest for a minute.

  benches/dev.py [--rounds 10] [--keep FILE]

Both run at the same time on one cluster of cmdr's, with its registry, and with the same chart and values. Each changes
services of its own, in turn: one whose page is copied into the container, and one whose image of 300 MB has a new layer
of 1 MB. At least 10 rounds. Needs on PATH: tilt, which `rig/rig peers` builds.
"""
import json, os, pathlib, signal, subprocess, sys, time

from shared import CMDR, NAME, PORT, Clock, Workspace, answer, main, run, until
from usage import busy_of

BASE = os.environ.get("BASE", f"{os.environ.get('RIG_REGISTRY', 'docker.io')}/library/busybox:1.36")
LAYERS, LAYER_MB, LEAST_ROUNDS, REST = 9, 33, 10, 60
SERVICES = ("sync", "build")
VALUES = "{ports: {http: 8080}, security: {profile: image}, grace: 1, drain: 0, resources: {requests: {cpu: 10m, memory: 16Mi}}}"
PROJECTS = f"""version: 1
name: {NAME}
defaults: {{values: {VALUES}}}
projects:
  sync: {{build: {{context: cmdr/sync}}, host: sync, dev: {{sync: {{page: /app/page}}}}}}
  build: {{build: {{context: cmdr/build}}, host: build}}
  tilt-sync: {{image: "{BASE}", host: tilt-sync}}
  tilt-build: {{image: "{BASE}", host: tilt-build}}
"""
# The registry is the one that the cluster announces.
TILTFILE = """allow_k8s_contexts(k8s_context())
docker_build('tilt-sync', 'tilt/sync', live_update=[sync('tilt/sync/page', '/app/page')])
docker_build('tilt-build', 'tilt/build')
k8s_yaml(['tilt-sync.yaml', 'tilt-build.yaml'])
"""


class Loop(Workspace):
    """The same services twice, and what watches them."""

    def __init__(self, folder):
        super().__init__(folder, PROJECTS)
        self.watching = {}
        for tool in ("cmdr", "tilt"):
            for service in SERVICES:
                self.write_sources(self.folder / tool / service, LAYERS if service == "build" else 0)

    def write_sources(self, context, layers):
        (context / "page").mkdir(parents=True)
        (context / "page/index.html").write_text("none")
        for number in range(layers):
            (context / f"layer-{number}").write_bytes(os.urandom(LAYER_MB << 20))
        copies = "".join(f"COPY layer-{number} /layer-{number}\n" for number in range(layers))
        page = "COPY --chown=1000:1000 page /app/page\nUSER 1000\n"
        start = 'CMD ["busybox", "httpd", "-f", "-p", "8080", "-h", "/app/page"]\n'
        (context / "Dockerfile").write_text(f"FROM {BASE}\n{copies}{page}{start}")

    def start(self):
        self.cmdr("up", "--quiet", *SERVICES)
        self.watch("cmdr", CMDR, "-C", str(self.folder), "dev", *SERVICES)
        self.describe_for_tilt()
        (self.folder / "Tiltfile").write_text(TILTFILE)
        self.watch("tilt", "tilt", "up", "--stream", "--port", "0", "--file", str(self.folder / "Tiltfile"))
        for tool in self.watching:
            for service in SERVICES:
                # The first change is made again until it is seen: what watches says only that it has started.
                until(lambda: self.is_watched(tool, service), f"{tool} watches {service}")

    def describe_for_tilt(self):
        """The charts and values that cmdr gives to Helm, rendered with the images that Tilt builds."""
        for release in self.releases():
            name = release["name"]
            if name in ("tilt-sync", "tilt-build"):
                values = self.folder / f"{name}.json"
                values.write_text(json.dumps(release["values"] | {"image": name}))
                chart = ["helm", "template", name, release["chart"], "--namespace", release["namespace"], "--values", values]
                (self.folder / f"{name}.yaml").write_text(run(*chart))

    def watch(self, tool, *command):
        """Starts what watches. Both use the same kind of builder."""
        log = self.folder.parent / f"{tool}.log"
        environment = {**self.environment, "KUBECONFIG": str(self.kubeconfig), "TILT_WEB_MODE": "prod", "TILT_DISABLE_ANALYTICS": "1"}
        if subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode:
            environment["DOCKER_BUILDKIT"] = "0"
        with log.open("w") as file:
            self.watching[tool] = subprocess.Popen(command, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    def change(self, tool, service, mark):
        context = self.folder / tool / service
        if service == "build":
            (context / "page/blob").write_bytes(os.urandom(1 << 20))
        (context / "page/index.html").write_text(mark)

    def shows(self, tool, service, mark):
        ended = [tool for tool, child in self.watching.items() if child.poll() is not None]
        ended and sys.exit(f"{ended[0]} has ended:\n{(self.folder.parent / f'{ended[0]}.log').read_text()[-3000:]}")
        host = service if tool == "cmdr" else f"tilt-{service}"
        return answer(PORT, f"{host}.{NAME}.localhost", "/")[1] == mark

    def is_watched(self, tool, service):
        mark = f"first {time.monotonic()}"
        self.change(tool, service, mark)
        end = time.monotonic() + 15
        while time.monotonic() < end and not self.shows(tool, service, mark):
            time.sleep(0.05)
        return self.shows(tool, service, mark)

    def answered(self, tool, service, mark):
        """The seconds from a change to its first answer."""
        start = time.monotonic()
        self.change(tool, service, mark)
        while not self.shows(tool, service, mark):
            time.sleep(0.01)
            time.monotonic() - start < 120 or sys.exit(f"{tool} does not show the change of {service}")
        return time.monotonic() - start

    def stop(self):
        for child in self.watching.values():
            child.send_signal(signal.SIGINT)
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
        self.watching = {}


def measure(rounds, folder):
    workspace, clock = Loop(folder), Clock()
    try:
        workspace.start()
        for number in range(max(rounds, LEAST_ROUNDS)):
            for service in SERVICES:
                for tool in workspace.watching:
                    seconds = workspace.answered(tool, service, f"{tool} {number}")
                    clock.note(arm(tool, service), seconds)
                    # What a change leaves to do, such as the end of the old pod, is not part of the next one.
                    time.sleep(2)
        memory = rest(workspace, clock)
    finally:
        workspace.stop()
        workspace.down()
    pairs = {f"dev: {service}, cmdr / tilt": (arm("cmdr", service), arm("tilt", service)) for service in (*SERVICES, "at rest")}
    return clock.result(pairs, resident_memory_mb=memory)


def rest(workspace, clock):
    """Nothing changes: the processor-seconds of a minute, and the memory."""
    before = {tool: busy_of(child.pid) for tool, child in workspace.watching.items()}
    time.sleep(REST)
    memory = {}
    for tool, child in workspace.watching.items():
        clock.note(arm(tool, "at rest"), busy_of(child.pid) - before[tool])
        status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        memory[arm(tool, "at rest")] = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS"))
    return memory


def arm(tool, service):
    what = {"sync": "file copied", "build": "image built", "at rest": "processor-seconds of a minute at rest"}
    return f"dev: {what[service]}, {'cmdr dev' if tool == 'cmdr' else 'tilt up'}"


if __name__ == "__main__":
    main(measure, __doc__, tools=("kind", "helm", "docker", "tilt"))
