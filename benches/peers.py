"""The same platform with kind and helmfile: the charts and values that cmdr hands to helm."""
import json, os, pathlib, subprocess

from shared import NAME, PEER_PORT, prove, run

IMAGE = os.environ.get("CMDR_NODE_IMAGE")
PEER = f"{NAME}-peer"


class Peer:
    def __init__(self, folder, releases):
        self.folder, self.releases = pathlib.Path(folder), releases
        self.kubeconfig = self.folder / "peer-kubeconfig"
        self.environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def create(self):
        """kind as its own documentation sets it up: ports for the ingress, and the mirrors that the machine needs."""
        configuration = self.folder / "kind.json"
        ports = [{"containerPort": self.node_port(), "hostPort": PEER_PORT, "listenAddress": "127.0.0.1"}]
        configuration.write_text(json.dumps({
            "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4",
            "nodes": [{"role": "control-plane", "extraPortMappings": ports}],
            "containerdConfigPatches": ['[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n'],
        }))
        image = ["--image", IMAGE] if IMAGE else []
        run("kind", "create", "cluster", "--name", PEER, "--config", configuration, "--kubeconfig", self.kubeconfig, *image)
        self.mirrors()

    def node_port(self):
        """Where Traefik listens for HTTP on the node."""
        return next(release["values"]["ports"]["web"]["nodePort"] for release in self.releases if release["name"] == "traefik")

    def mirrors(self):
        gateway = address("Gateway")
        for entry in filter(None, os.environ.get("CMDR_IMAGE_MIRRORS", "").split(",")):
            host, url = entry.split("=", 1)
            folder = "/etc/containerd/certs.d/" + ("_default" if host == "*" else host)
            text = f'[host."{url.replace("localhost", gateway)}"]\ncapabilities = ["pull", "resolve"]\n'
            run("docker", "exec", "-i", f"{PEER}-control-plane", "sh", "-c", f"mkdir -p {folder} && cat > {folder}/hosts.toml", input=text)

    def delete(self):
        run("kind", "delete", "cluster", "--name", PEER, "--kubeconfig", self.kubeconfig)

    def write(self):
        """The releases as a helmfile; what it writes anew are values that have changed."""
        described = []
        for release in self.releases:
            values = self.folder / f"{release['name']}.json"
            values.write_text(json.dumps(release["values"]))
            entry = {key: release[key] for key in ("name", "namespace", "chart")} | {"values": [str(values)]}
            entry["needs"] = [f"{release['namespace']}/{need}" for need in release["needs"]]
            if release["name"] == "metallb":
                script = f"until kubectl apply -f {self.folder}/pool.yaml; do sleep 0.5; done"
                entry["hooks"] = [{"events": ["postsync"], "command": "sh", "args": ["-c", script]}]
            described.append(entry)
        defaults = {"wait": True, "timeout": 300, "createNamespace": True}
        # helmfile looks for its keys at the start of lines.
        text = f"helmDefaults: {json.dumps(defaults)}\nreleases: {json.dumps(described)}\n"
        (self.folder / "helmfile.yaml").write_text(text)
        prefix = ".".join(address("Subnet").split(".")[:2])
        (self.folder / "pool.yaml").write_text(POOL.replace("PREFIX", prefix))

    def sync(self):
        run("helmfile", "--file", self.folder / "helmfile.yaml", "sync", env=self.environment)

    def apply(self):
        run("helmfile", "--file", self.folder / "helmfile.yaml", "apply", env=self.environment)

    def up(self):
        """From no cluster to the whole platform."""
        self.create()
        self.install()
        prove(self.releases, PEER_PORT, self.kubeconfig)

    def install(self):
        self.write()
        namespace = self.releases[-1]["namespace"]
        kubectl = ["kubectl", "--kubeconfig", self.kubeconfig]
        run(*kubectl, "create", "namespace", namespace)
        for name, key in self.secrets().items():
            run(*kubectl, "-n", namespace, "create", "secret", "generic", name, f"--from-literal={key}=benchmark")
        self.sync()

    def secrets(self):
        """Secrets that cmdr makes by itself, with their key."""
        own = lambda release: (release["values"].get("secrets") or {}).items()
        made = [(f"{release['name']}-{name}", secret) for release in self.releases for name, secret in own(release)]
        return {name: secret["generate"] for name, secret in made if "generate" in secret}

    def bare(self):
        """From no cluster until all of its own pods are ready."""
        self.create()
        wait = "until kubectl wait --for=condition=Ready pods --all -A --timeout=120s; do sleep 0.2; done"
        run("sh", "-c", wait, env=self.environment)


def no_apply():
    """Why `helmfile apply` cannot run here, or nothing: it asks helm's plugin diff what has changed."""
    has_diff = subprocess.run(["helm", "diff", "version"], capture_output=True).returncode == 0
    return None if has_diff else "helm has no plugin diff (nor can the rig build one: the Go module proxy does not hand it out)"


def address(field):
    """The first IPv4 value of the Docker network kind."""
    found = run("docker", "network", "inspect", "kind", "-f", f"{{{{range .IPAM.Config}}}}{{{{.{field}}}}} {{{{end}}}}")
    return next(word for word in found.split() if "." in word)


POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: pool, namespace: metallb-system}
spec: {addresses: [PREFIX.200.1-PREFIX.200.50]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: pool, namespace: metallb-system}
"""
