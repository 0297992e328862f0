#!/usr/bin/env python3
"""(a) From no cluster until every URL of the sample answers and in-cluster DNS works.

  benches/up.py [--rounds 3] [--keep FILE]

cmdr with nothing kept of an earlier cluster, cmdr with the images and the node of the cluster before,
kind with helmfile and the same charts and values, and bare kind until its own pods are ready; interleaved.
"""
import time

from peers import Peer
from shared import PORT, Clock, Workspace, main, prove

FIRST, AGAIN, HELMFILE, BARE = "up: cmdr, first cluster", "up: cmdr", "up: kind + helmfile", "bare kind"
# Seconds of rest between arms, so that what one leaves to the machine does not slow the next.
REST = 10


def measure(rounds, folder):
    workspace = Workspace(folder)
    releases = workspace.releases()
    peer, clock = Peer(folder, releases), Clock()

    def up():
        workspace.up()
        prove(releases, PORT, workspace.kubeconfig)

    def rest(delete):
        delete()
        time.sleep(REST)

    for _ in range(rounds):
        # Removing gigabytes of volumes keeps the disk and a processor busy for a while after it.
        rest(lambda: workspace.cmdr("down", "--registry", "--yes"))
        for name, arm, delete in (
            (FIRST, up, workspace.down), (AGAIN, up, workspace.down), (HELMFILE, peer.up, peer.delete), (BARE, peer.bare, peer.delete),
        ):
            clock.time(name, arm)
            rest(delete)
    workspace.cmdr("down", "--registry", "--yes")
    ratios = {
        "up: cmdr / kind + helmfile": (AGAIN, HELMFILE),
        "up: cmdr, first cluster / kind + helmfile": (FIRST, HELMFILE),
        "up: cmdr / bare kind": (AGAIN, BARE),
        "up: cmdr, first cluster / bare kind": (FIRST, BARE),
    }
    return clock.result(ratios, releases=len(releases))


if __name__ == "__main__":
    main(measure, __doc__)
