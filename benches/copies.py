#!/usr/bin/env python3
"""(k) The times to create a copy of the sample beside the original, and to delete it.

  benches/copies.py [--rounds 3] [--keep FILE]

The stateless part of the sample without databases, and the same where a cluster would have to be created for it, which
is what a worktree cost before. Then redis with the data of the original.
"""
from shared import Clock, Workspace, main

STATELESS = ("artists", "albums", "reviews", "prices", "payments", "shipping", "catalog", "search", "radio")


def measure(rounds, folder):
    workspace, clock = Workspace(folder), Clock()
    try:
        for _ in range(rounds):
            clock.time("stateless part, with a new cluster", workspace.cmdr, "up", *STATELESS)
            workspace.down()
        workspace.up()
        for number in range(rounds):
            name = f"round-{number}"
            clock.time("stateless part, as a copy", workspace.cmdr, "up", *STATELESS, "--copy", name)
            clock.time("the same copy, unchanged", workspace.cmdr, "up", *STATELESS, "--copy", name)
            clock.time("redis, with data", workspace.cmdr, "up", "redis", "--copy", f"data-{number}", "--data-from", "original")
            clock.time("delete a copy", workspace.cmdr, "down", "--copy", name, "--yes")
            workspace.cmdr("down", "--copy", f"data-{number}", "--yes")
    finally:
        workspace.down()
    ratios = {"stateless part: copy / new cluster": ("stateless part, as a copy", "stateless part, with a new cluster")}
    return clock.result(ratios)


if __name__ == "__main__":
    main(measure, __doc__, tools=("kind", "helm", "docker"))
