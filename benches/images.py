#!/usr/bin/env python3
"""(d) How soon a new build runs: from the end of `docker build` until the new pod answers.

  benches/images.py [--rounds 3] [--keep FILE]

An image of 300 MB in 10 layers, of which the last one, of 1 MB, is new in each round. Three ways, interleaved, to one
cluster of cmdr's: `cmdr up --build`, without the seconds of its `docker build`; `kind load docker-image` and
`helm upgrade --wait`; a push to the local registry and `helm upgrade --wait`. BASE is an image with a service of port
9898.
"""
import concurrent.futures, json, os, subprocess, sys, time

from shared import CMDR, NAME, PORT, ROOT, Clock, Workspace, answer, main, run
from usage import Usage

BASE = os.environ.get("BASE", f"{os.environ.get('RIG_REGISTRY', 'ghcr.io')}/stefanprodan/podinfo:6.9.2")
LAYERS, LAYER_MB = 9, 33
PROJECTS = f"""version: 1
name: {NAME}
defaults: {{values: {{ports: {{http: 9898}}}}}}
projects:
  cmdr: {{build: {{context: image}}, host: cmdr, check: {{path: /readyz}}}}
  load: {{image: "{BASE}", host: load, check: {{path: /readyz}}}}
  push: {{image: "{BASE}", host: push, check: {{path: /readyz}}}}
"""
OWN, LOAD, PUSH = "new build: cmdr up --build", "new build: kind load + helm", "new build: push + helm"


class Builder(Workspace):
    def __init__(self, folder):
        super().__init__(folder, PROJECTS)
        self.image = self.folder / "image"
        self.image.mkdir()
        for number in range(LAYERS):
            (self.image / f"layer-{number}").write_bytes(os.urandom(LAYER_MB << 20))
        self.change("none")

    def change(self, mark):
        """A new last layer of 1 MB, and a word by which the new pod is told from the old one."""
        copies = "".join(f"COPY layer-{number} /layer-{number}\n" for number in range(LAYERS))
        text = f"FROM {BASE}\n{copies}COPY new /new\nENV PODINFO_UI_MESSAGE={mark}\n"
        (self.image / "Dockerfile").write_text(text)
        (self.image / "new").write_bytes(os.urandom(1 << 20))

    def answered(self, project, mark):
        """Waits until the new pod answers for the first time."""
        while f'"{mark}"' not in answer(PORT, f"{project}.{NAME}.localhost", "/api/info")[1]:
            time.sleep(0.01)

    # --- the arms: what was used from the end of the build

    def own(self, mark):
        command = [CMDR, "-C", str(self.folder), "up", "--build", "cmdr", "--output", "json"]
        child = subprocess.Popen(command, env=self.environment, text=True, stdout=subprocess.PIPE)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answered = usage = None
            for line in child.stdout:
                if not usage and json.loads(line).get("message", "").startswith("pushing "):
                    usage = Usage()
                    answered = pool.submit(self.answered, "cmdr", mark)
            if child.wait() or not usage:
                sys.exit("cmdr up --build failed")
            answered.result()
            return usage.end()

    def load(self, mark):
        image = self.build("load", mark)
        usage = Usage()
        run("kind", "load", "docker-image", image, "--name", NAME)
        self.upgrade("load", image)
        self.answered("load", mark)
        return usage.end()

    def push(self, mark):
        port = run("docker", "port", "cmdr-registry", "5000/tcp").split(":")[1].split()[0]
        image = self.build(f"localhost:{port}/bench", mark)
        usage = Usage()
        run("docker", "push", "--quiet", image)
        self.upgrade("push", image)
        self.answered("push", mark)
        return usage.end()

    def build(self, name, mark):
        run("docker", "build", "--quiet", "--tag", f"{name}:{mark}", self.image)
        return f"{name}:{mark}"

    def upgrade(self, release, image):
        run("helm", "upgrade", release, ROOT / "charts/service", "--namespace", NAME, "--reuse-values",
            "--set", f"image={image}", "--wait", "--kubeconfig", self.kubeconfig)


def measure(rounds, folder):
    workspace, clock = Builder(folder), Clock()
    try:
        workspace.up()
        # The first image of each way is whole; what is measured is a change.
        for number in range(rounds + 1):
            for name, arm in ((OWN, workspace.own), (LOAD, workspace.load), (PUSH, workspace.push)):
                mark = f"{arm.__name__}-{number}"
                workspace.change(mark)
                used = arm(mark)
                number and clock.note(name, **used)
    finally:
        workspace.down()
    return clock.result({"new build: cmdr / kind load + helm": (OWN, LOAD), "new build: cmdr / push + helm": (OWN, PUSH)})


if __name__ == "__main__":
    main(measure, __doc__, tools=("kind", "helm", "docker"))
