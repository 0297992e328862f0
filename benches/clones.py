"""Copies a release to further names through the Kubernetes API, as many as Helm would take an hour for."""
import base64, concurrent.futures, gzip, http.client, json, os, subprocess, threading

from shared import run, until

# Where each kind of object of a release is; Pods and ReplicaSets follow from Deployments.
KINDS = {
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "Service": "api/v1/namespaces/{}/services",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "Secret": "api/v1/namespaces/{}/secrets",
}
# What the API server itself sets.
OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
SIDE_BY_SIDE = 16


class Clones:
    """The objects of one release, which has no pods."""

    def __init__(self, kubeconfig, namespace, release, port):
        self.kubeconfig, self.namespace, self.release, self.port = kubeconfig, namespace, release, port
        kinds = ",".join(kind for kind in KINDS if kind != "Secret")
        found = self.kubectl("get", kinds, "--selector", f"app.kubernetes.io/instance={release}", "--output", "json")
        stored = self.kubectl("get", "secrets", "--selector", f"owner=helm,name={release},status=deployed", "--output", "json")
        self.objects = [self.bare(it) for it in json.loads(found)["items"] + json.loads(stored)["items"]]
        self.local = threading.local()

    def kubectl(self, *arguments):
        return run("kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace, *arguments)

    def bare(self, item):
        metadata = {key: value for key, value in item["metadata"].items() if key not in OWN}
        spec = {key: value for key, value in item.get("spec", {}).items() if not key.startswith("clusterIP")}
        return {**item, "metadata": metadata, "status": None, **({"spec": spec} if spec else {})}

    def named(self, item, name):
        """The object of another release; what Helm stores is packed."""
        text = json.dumps(item)
        if item["kind"] == "Secret":
            packed = base64.b64decode(base64.b64decode(item["data"]["release"]))
            payload = gzip.decompress(packed).decode().replace(self.release, name)
            packed = base64.b64encode(base64.b64encode(gzip.compress(payload.encode()))).decode()
            text = json.dumps({**item, "data": {"release": packed}})
        return text.replace(self.release, name)

    def create(self, names):
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), "proxy", "--port", str(self.port)]
        proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            until(lambda: self.responds(), "kubectl proxy")
            with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                list(pool.map(self.create_one, names))
        finally:
            proxy.terminate()
            proxy.wait()

    def responds(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def create_one(self, name):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for item in self.objects:
            place = KINDS[item["kind"]].format(self.namespace)
            headers = {"Content-Type": "application/json"}
            self.local.connection.request("POST", f"/{place}?fieldManager=helm", self.named(item, name), headers)
            response = self.local.connection.getresponse()
            text = response.read()
            if response.status not in (201, 409):
                raise SystemExit(f"{item['kind']} of {name}: {text[:500]}")
