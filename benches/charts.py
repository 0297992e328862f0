#!/usr/bin/env python3
"""Checks that the inputs in benches/charts say the same: what each chart renders must cover the plain manifest.

  benches/charts.py [--stakater CHART] [--bjw-s CHART] [--onechart CHART] [ROW...]

CHART is the folder of a checked-out chart: `application` of stakater, `app-template` of bjw-s with its dependency in
`charts/`, `onechart`. Without one, its inputs are not checked. A row without an input of a chart is one that this chart
cannot say without raw manifests. Needs on PATH: helm, cmdr (or CMDR); and PyYAML.
"""
import argparse, json, os, pathlib, subprocess, sys, tempfile

import yaml

ROWS = pathlib.Path(__file__).resolve().parent / "charts"
CHARTS = ["stakater", "bjw-s", "onechart"]
WORKLOADS = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"]
# Charts look for these before they render such objects.
VERSIONS = ["batch/v1/Job", "batch/v1/CronJob", "monitoring.coreos.com/v1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for chart in CHARTS:
        parser.add_argument(f"--{chart}", type=pathlib.Path, metavar="CHART")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    options = parser.parse_args()
    folders = {chart: getattr(options, chart.replace("-", "_")) for chart in CHARTS}
    failed = False
    for row in sorted(path for path in ROWS.iterdir() if not options.rows or path.name in options.rows):
        wanted = facts(objects((row / "manifest.yaml").read_text()))
        for tool in ["cmdr", *CHARTS]:
            file = row / f"{tool}.yaml"
            if not file.exists() or (tool != "cmdr" and not folders[tool]):
                continue
            rendered = facts(objects(cmdr(file) if tool == "cmdr" else helm(folders[tool], file)))
            missing = {key: value for key, value in wanted.items() if rendered.get(key) != value}
            print(f"{row.name}: {tool}: {'covers the manifest' if not missing else 'differs'}")
            for key, value in missing.items():
                failed = True
                print(f"  {key}: wanted {value}, found {rendered.get(key)}")
    sys.exit(failed)


def objects(text):
    return [found for found in yaml.safe_load_all(text) if found]


def helm(chart, file):
    versions = [argument for version in VERSIONS for argument in ("--api-versions", version)]
    return output(["helm", "template", file.parent.name, str(chart), "--values", str(file), *versions])


def cmdr(file):
    with tempfile.TemporaryDirectory() as folder:
        entry = "".join(f"  {line}\n" for line in file.read_text().splitlines())
        workspace = f"version: 1\nname: tunes\nenvironments: {{local: {{}}}}\nprojects:\n{entry}"
        (pathlib.Path(folder) / "projects.yaml").write_text(workspace)
        return output([os.environ.get("CMDR", "cmdr"), "-C", folder, "render", file.parent.name])


def output(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def facts(objects):
    """What a set of objects asks for, independent of names: a map, in which another set can be looked up."""
    found = {}
    workloads = [one for one in objects if one["kind"] in WORKLOADS]
    for one in workloads:
        found |= facts_of_workload(one, objects)
    for one in objects:
        read = {"Service": service, "Ingress": ingress, "HorizontalPodAutoscaler": autoscaler,
                "PodDisruptionBudget": budget, "Role": rules, "NetworkPolicy": policy,
                "ServiceMonitor": monitor, "PrometheusRule": alerts}.get(one["kind"])
        if read:
            found |= read(one, objects)
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def facts_of_workload(workload, objects):
    spec = workload["spec"]
    job = spec["jobTemplate"]["spec"] if workload["kind"] == "CronJob" else spec
    pod = job["template"]["spec"]
    found = {"kind": workload["kind"], "replicas": spec.get("replicas") or 1}
    for key in ["schedule", "timeZone", "concurrencyPolicy"]:
        found[key] = spec.get(key)
    for key in ["backoffLimit", "activeDeadlineSeconds"]:
        found[key] = job.get(key)
    found["tolerations"] = pod.get("tolerations")
    found["spread"] = [
        [one[key] for key in ("topologyKey", "maxSkew", "whenUnsatisfiable")]
        for one in pod.get("topologySpreadConstraints") or []
    ]
    main, *others = pod["containers"]
    for container in [main, *others, *(pod.get("initContainers") or [])]:
        name = "main" if container is main else container["name"]
        for key, value in facts_of_container(container, pod, spec, objects).items():
            found[f"{name}: {key}"] = value
    return found


def facts_of_container(container, pod, spec, objects):
    found = {
        "image": container["image"],
        "command": [*(container.get("command") or []), *(container.get("args") or [])],
        "restart": container.get("restartPolicy"),
        "resources": {key: value for key, value in (container.get("resources") or {}).items() if value},
    }
    for source in container.get("envFrom") or []:
        for key, value in config_map(objects, source["configMapRef"]["name"]).items():
            found[f"variable {key}"] = value
    for variable in container.get("env") or []:
        found[f"variable {variable['name']}"] = variable.get("value", variable.get("valueFrom"))
    for port in container.get("ports") or []:
        found[f"port {port['containerPort']}"] = True
    for probe in ["readinessProbe", "livenessProbe"]:
        found[probe] = handler(container, container.get(probe))
    security = {**(pod.get("securityContext") or {}), **(container.get("securityContext") or {})}
    found |= {f"security: {key}": value for key, value in security.items()}
    volumes = {volume["name"]: volume for volume in pod.get("volumes") or []}
    for claim in spec.get("volumeClaimTemplates") or []:
        volumes[claim["metadata"]["name"]] = {"size": claim["spec"]["resources"]["requests"]["storage"]}
    for mount in container.get("volumeMounts") or []:
        found[f"mount {mount['mountPath']}"] = content(volumes[mount["name"]], mount, objects)
    return found


def content(volume, mount, objects):
    """What a container sees at a mount: the content of a ConfigMap, not its name."""
    file = mount.get("subPath")
    source = volume.get("configMap") or volume.get("secret") or {}
    file = {item["path"]: item["key"] for item in source.get("items") or []}.get(file, file)
    if "configMap" in volume:
        return config_map(objects, source["name"])[file].strip()
    if "secret" in volume:
        return [source["secretName"], file]
    if "hostPath" in volume:
        return [volume["hostPath"]["path"], bool(mount.get("readOnly"))]
    return volume.get("size") or "emptyDir"


def config_map(objects, name):
    return next(one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == name)


def handler(container, probe):
    for kind in ["httpGet", "grpc", "exec", "tcpSocket"]:
        if kind in (probe or {}):
            found = {key: value for key, value in probe[kind].items() if key != "scheme"}
            return {kind: {**found, **({"port": number(container, found["port"])} if "port" in found else {})}}
    return None


def number(container, port):
    return next((one["containerPort"] for one in container.get("ports") or [] if one.get("name") == port), port)


def service(service, objects):
    if service["spec"].get("clusterIP") == "None":
        return {}
    container = next(
        one["spec"]["template"]["spec"]["containers"][0]
        for one in objects
        if one["kind"] in WORKLOADS and selects(service, one["spec"]["template"]["metadata"]["labels"])
    )
    return {
        f"service port {port['port']}": [number(container, port.get("targetPort", port["port"])), port.get("appProtocol")]
        for port in service["spec"]["ports"]
    }


def selects(service, labels):
    return all(labels.get(key) == value for key, value in service["spec"]["selector"].items())


def ingress(ingress, objects):
    found = {}
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            name, port = path["backend"]["service"]["name"], path["backend"]["service"]["port"]
            service = next(one for one in objects if one["kind"] == "Service" and one["metadata"]["name"] == name)
            named = {one["name"]: one["port"] for one in service["spec"]["ports"]}
            found[f"route {rule['host']}{path['path']}"] = [path["pathType"], port.get("number") or named[port["name"]]]
    return found


def autoscaler(autoscaler, _):
    return {f"autoscaler: {key}": autoscaler["spec"][key] for key in ["minReplicas", "maxReplicas", "metrics"]}


def budget(budget, _):
    return {f"disruption budget: {key}": value for key, value in budget["spec"].items() if key != "selector"}


def rules(role, _):
    return {"rules": sorted(json.dumps(rule, sort_keys=True) for rule in role["rules"])}


def policy(policy, _):
    return {"policy": sorted(policy["spec"].get("policyTypes") or [])}


def monitor(monitor, _):
    return {"monitor": [endpoint.get("path") for endpoint in monitor["spec"]["endpoints"]]}


def alerts(rule, _):
    return {f"alert {one['alert']}": one["expr"] for group in rule["spec"]["groups"] for one in group["rules"]}


main()
