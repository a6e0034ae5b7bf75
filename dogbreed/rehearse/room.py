"""The room that all hosts of one stand-in live in: a process tree and a network of its own.

It holds the bridges between the hosts, so that nothing of them is ever seen in the machine's own network. Its first
process only waits for the end of its standard input, which is the end of the stand-in, however that ends; the kernel
then ends everything in the room. Prints the number of that process.
"""

from __future__ import annotations

import os
import sys

from dogbreed.rehearse import namespaces as ns


def main() -> int:
    """Make the room and stay until the input ends."""
    kinds = ns.NEWNS | ns.NEWNET | ns.NEWIPC
    try:
        ns.unshare(kinds)
    except PermissionError:
        ns.become_root_of_own()
        ns.unshare(kinds)
    ns.keep_mounts_private()
    ns.links(["link set lo up"])
    # Only now: the next process to be started is the first one of the room's tree.
    ns.unshare(ns.NEWPID)
    first = os.fork()
    if first:
        os.write(1, f"{first}\n".encode())
        os.close(0)
        os.waitpid(first, 0)
        return 0
    ns.die_with_parent()
    os.close(1)
    while os.read(0, 1):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
