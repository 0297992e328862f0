#!/usr/bin/env python3
"""Measures how soon a new build runs: from the end of `docker build` until the new pod answers.

  benches/images.py [--rounds 3] [--keep FILE]

An image of 300 MB in 10 layers, of which the last one, of 1 MB, is new in each round. Three ways, interleaved, to one
cluster of cmdr's: `cmdr up --build`, without the seconds of its `docker build`; `kind load docker-image` and
`helm upgrade --wait`; a push to the local registry and `helm upgrade --wait`. Read the ratios.

Needs on PATH: cmdr (or CMDR), kind, helm, docker; an image with a service of port 9898 (BASE).
"""
import argparse, concurrent.futures, http.client, json, os, pathlib, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CMDR = os.environ.get("CMDR", "cmdr")
REGISTRY = os.environ.get("RIG_REGISTRY", "ghcr.io")
BASE = os.environ.get("BASE", f"{REGISTRY}/stefanprodan/podinfo:6.9.2")
NAME = "img-bench"
LAYERS, LAYER_MB = 9, 33
PROJECTS = f"""version: 1
name: {NAME}
environments: {{local: {{ports: {{http: 18380, https: 18743}}}}}}
defaults: {{values: {{ports: {{http: 9898}}}}}}
projects:
  cmdr: {{build: {{context: image}}, host: cmdr, check: {{path: /readyz}}}}
  load: {{image: "{BASE}", host: load, check: {{path: /readyz}}}}
  push: {{image: "{BASE}", host: push, check: {{path: /readyz}}}}
"""


def run(*command, **options):
    """Runs a command; a failure shows what it said and ends the benchmark."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.image = folder / "image"
        self.image.mkdir()
        self.environment = {**os.environ, "CMDR_STATE": str(folder / "state")}
        (folder / "projects.yaml").write_text(PROJECTS)
        for number in range(LAYERS):
            (self.image / f"layer-{number}").write_bytes(os.urandom(LAYER_MB << 20))
        self.change("none")

    def change(self, mark):
        """A new last layer of 1 MB, and a word by which the new pod is told from the old one."""
        copies = "".join(f"COPY layer-{number} /layer-{number}\n" for number in range(LAYERS))
        text = f"FROM {BASE}\n{copies}COPY new /new\nENV PODINFO_UI_MESSAGE={mark}\n"
        (self.image / "Dockerfile").write_text(text)
        (self.image / "new").write_bytes(os.urandom(1 << 20))

    def cmdr(self, *arguments):
        return run(CMDR, "-C", self.folder, *arguments, env=self.environment)

    def answered(self, host, mark):
        """When the new pod answers for the first time."""
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", 18380, timeout=5)
                connection.request("GET", "/api/info", headers={"Host": f"{host}.{NAME}.localhost"})
                if json.load(connection.getresponse())["message"] == mark:
                    return time.monotonic()
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                pass
            time.sleep(0.01)

    # --- the arms: seconds from the end of the build

    def cmdr_build(self, mark):
        command = [CMDR, "-C", str(self.folder), "up", "--build", "cmdr", "--output", "json"]
        child = subprocess.Popen(command, env=self.environment, text=True, stdout=subprocess.PIPE)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = built = None
            for line in child.stdout:
                if not built and json.loads(line).get("message", "").startswith("pushing "):
                    built = time.monotonic()
                    answer = pool.submit(self.answered, "cmdr", mark)
            if child.wait() or not built:
                sys.exit("cmdr up --build failed")
            return answer.result() - built

    def kind_load(self, mark):
        image = self.build("load", mark)
        start = time.monotonic()
        run("kind", "load", "docker-image", image, "--name", NAME)
        self.upgrade("load", image)
        return self.answered("load", mark) - start

    def push(self, mark):
        image = self.build(f"{self.registry()}/bench", mark)
        start = time.monotonic()
        run("docker", "push", "--quiet", image)
        self.upgrade("push", image)
        return self.answered("push", mark) - start

    def build(self, name, mark):
        image = f"{name}:{mark}"
        run("docker", "build", "--quiet", "--tag", image, self.image)
        return image

    def registry(self):
        port = run("docker", "port", "cmdr-registry", "5000/tcp").split(":")[1].split()[0]
        return f"localhost:{port}"

    def upgrade(self, release, image):
        kubeconfig = self.folder / "state/clusters" / NAME / "kubeconfig"
        run("helm", "upgrade", release, ROOT / "charts/service", "--namespace", NAME, "--reuse-values",
            "--set", f"image={image}", "--wait", "--kubeconfig", kubeconfig)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--keep", type=pathlib.Path, help="write the figures to this file, as JSON")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(pathlib.Path(folder))
        arms = {"cmdr up --build": bench.cmdr_build, "kind load + helm": bench.kind_load, "push + helm": bench.push}
        times = {arm: [] for arm in arms}
        try:
            bench.cmdr("up", "--quiet")
            # The first image of each way is whole; what is measured is a change.
            for number in range(options.rounds + 1):
                for arm, measure in arms.items():
                    mark = f"{arm.split()[0]}-{number}"
                    bench.change(mark)
                    seconds = measure(mark)
                    print(f"{'first' if number == 0 else number}  {arm:20} {seconds:6.2f} s", flush=True)
                    times[arm] += [seconds] if number else []
        finally:
            bench.cmdr("down", "--yes")
        medians = {arm: round(statistics.median(all), 2) for arm, all in times.items()}
        load = medians["kind load + helm"]
        for arm, median in medians.items():
            print(f"{arm:20} {median:6.2f} s  {median / load:5.2f} of kind load")
        if options.keep:
            options.keep.write_text(json.dumps({"medians": medians, "rounds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
