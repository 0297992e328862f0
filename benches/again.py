#!/usr/bin/env python3
"""(b) Nothing changed, and (c) one value of one project changed, until the new pod answers.

  benches/again.py [--rounds 3] [--keep FILE] (CMDR_BENCH_ONLY=b or c for one of them)

`cmdr up`, `helmfile sync` and `helmfile apply`, interleaved, each on a cluster of its own; both clusters run all the
time, so that both wait for the same machine.
"""
import os

from peers import Peer, no_apply
from shared import PEER_PORT, PORT, Clock, Workspace, answer, main, prove, until, NAME

ONLY = os.environ.get("CMDR_BENCH_ONLY", "bc")
HOST = f"shop.{NAME}.localhost"
# The value that changes: storefront tells it in each answer.
KEY, FIRST = "PODINFO_UI_MESSAGE", "Welcome to tunes"


def measure(rounds, folder):
    workspace, clock = Workspace(folder), Clock()
    releases = workspace.releases()
    peer, reason = Peer(folder, releases), no_apply()
    text = workspace.text()
    try:
        workspace.up()
        prove(releases, PORT, workspace.kubeconfig)
        peer.up()
        if "b" in ONLY:
            unchanged(rounds, clock, workspace, peer, reason)
        if "c" in ONLY:
            changed(rounds, clock, workspace, peer, reason, text)
    finally:
        workspace.down()
        peer.delete()
    ratios = {
        f"{part}: cmdr / helmfile {verb}": (f"{part}: cmdr", f"{part}: helmfile {verb}")
        for part in ("unchanged", "changed") for verb in ("sync", "apply")
    }
    return clock.result(ratios, releases=len(releases))


def unchanged(rounds, clock, workspace, peer, reason):
    for _ in range(rounds):
        clock.time("unchanged: cmdr", workspace.up)
        clock.time("unchanged: helmfile sync", peer.sync)
        if not reason:
            clock.time("unchanged: helmfile apply", peer.apply)
    reason and clock.leave_out("unchanged: helmfile apply", reason)


def changed(rounds, clock, workspace, peer, reason, text):
    """Each arm brings a word that no pod has told yet: there and back would find what was there before."""
    arms = [("sync", peer.sync)] + ([] if reason else [("apply", peer.apply)])
    for number in range(rounds):
        word = f"round {number}"
        workspace.folder.joinpath("projects.yaml").write_text(text.replace(FIRST, word))
        clock.time("changed: cmdr", lambda: (workspace.up(), told(PORT, word)))
        for verb, arm in arms:
            word = f"{verb} {number}"
            storefront = next(release for release in peer.releases if release["name"] == "storefront")
            storefront["values"]["env"][KEY] = word
            peer.write()
            clock.time(f"changed: helmfile {verb}", lambda: (arm(), told(PEER_PORT, word)))
    reason and clock.leave_out("changed: helmfile apply", reason)


def told(port, word):
    until(lambda: f'"{word}"' in answer(port, HOST, "/api/info")[1], f"storefront tells '{word}'")


if __name__ == "__main__":
    main(measure, __doc__)
