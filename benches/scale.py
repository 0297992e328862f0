#!/usr/bin/env python3
"""(e) 24, 100, 200 and 1000 projects: the time to plan, the time when nothing has changed, the most memory.

  benches/scale.py [--rounds 3] [--keep FILE]

Beside it `helmfile sync` of the same 24 releases, the size where its time is still worth waiting for. One cluster
grows from size to size. Projects after the first 60 have releases without a pod; those after the first 200 are copied
through the API.
"""
import json, statistics

from clones import Clones
from peers import Peer
from shared import NAME, PEER_PORT, Clock, Workspace, main

SIZES = (24, 100, 200, 1000)
# So many releases are installed; a port to copy the last one through.
INSTALLED, PROXY_PORT = 200, PEER_PORT + 1
# How many of Helm's processes at once, for the curve of 24 changed releases.
CONCURRENCIES = (1, 2, 4, 8, 16)
# More pods would tell of the kubelet and this machine, not of cmdr.
PODS = 60
IMAGE = "ghcr.io/stefanprodan/podinfo:6.9.2"


def projects(size):
    """A projects.yaml with so many projects, each of which needs an earlier one."""
    lines = ["version: 1", f"name: {NAME}", "defaults: {values: {ports: {http: 9898}, resources: {requests: {cpu: 1m, memory: 4Mi}}}}", "projects:"]
    for number in range(size):
        fields = {"image": IMAGE}
        if number >= 10:
            fields["needs"] = [f"service-{number % 10}"]
        if number >= PODS:
            fields["values"] = {"replicas": 0}
        lines.append(f"  service-{number}: {json.dumps(fields)}")
    return "\n".join(lines) + "\n"


def curve(rounds, workspace, clock):
    """One value of each of the releases changes, again and again, with another number of Helm's processes."""
    text = workspace.text()
    for round in range(rounds):
        for concurrency in CONCURRENCIES:
            value = f"ports: {{http: 9898}}, podAnnotations: {{turn: 'c{round}-{concurrency}'}}"
            (workspace.folder / "projects.yaml").write_text(text.replace("ports: {http: 9898}", value, 1))
            arguments = ("up", "--quiet", "--concurrency", str(concurrency))
            clock.time(f"{SIZES[0]} changed, {concurrency} helm at once", workspace.cmdr, *arguments)


def grow(workspace, size):
    """Brings the cluster to a size."""
    installed = min(size, INSTALLED)
    workspace.write(projects(installed))
    workspace.up()
    if size > installed:
        release = f"service-{installed - 1}"
        clones = Clones(workspace.kubeconfig, NAME, release, PROXY_PORT)
        clones.create([f"service-{number}" for number in range(installed, size)])
        workspace.write(projects(size))
        workspace.up()


def measure(rounds, folder):
    workspace, clock, memory = Workspace(folder, projects(SIZES[0])), Clock(), {}
    peer = Peer(folder, workspace.releases())
    try:
        for size in SIZES:
            workspace.write(projects(size))
            for _ in range(rounds):
                clock.time(f"plan of {size}, no cluster", workspace.cmdr, "plan")
        for size in SIZES:
            grow(workspace, size)
            if size == SIZES[0]:
                peer.create()
                peer.install()
            for _ in range(rounds):
                for name, verb in ((f"plan of {size}", "plan"), (f"unchanged {size}: cmdr", "up")):
                    memory.setdefault(name, []).append(clock.time(name, workspace.peak, verb))
                if size == SIZES[0]:
                    clock.time(f"unchanged {size}: helmfile sync", peer.sync)
            if size == SIZES[0]:
                peer.delete()
                curve(rounds, workspace, clock)
    finally:
        workspace.down()
    peaks = {name: statistics.median(runs) for name, runs in memory.items()}
    for name, megabytes in peaks.items():
        print(f"{name:36} {megabytes:8.1f} MB at most")
    small, large = SIZES[0], SIZES[-1]
    ratios = {
        f"unchanged {small}: cmdr / helmfile sync": (f"unchanged {small}: cmdr", f"unchanged {small}: helmfile sync"),
        f"unchanged: cmdr with {large} / with {small}": (f"unchanged {large}: cmdr", f"unchanged {small}: cmdr"),
        f"plan: cmdr with {large} / with {small}": (f"plan of {large}", f"plan of {small}"),
    }
    return clock.result(ratios, peak_memory_mb=peaks)


if __name__ == "__main__":
    main(measure, __doc__)
