"""Other people on this machine: the local stack listens on loopback, which all of them can reach."""

import os
import pwd

from shared.local.processes import PROC
from shared.local.stack_file import Stack

PEOPLE = range(1000, 60000)
"""Uids that distributions give to people; those of services are below, those of containers' users above."""
NAMED = 3
"""How many names a line holds."""


def present() -> list[str]:
    """Names of the people, apart from this user, who have an account here and run processes; sorted."""
    own, found = os.getuid(), set[str]()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            uid = entry.stat().st_uid
        except OSError:  # It has ended.
            continue
        if uid != own and uid in PEOPLE:
            try:
                found.add(pwd.getpwuid(uid).pw_name)
            except KeyError:  # A container's user, without an account here.
                continue
    return sorted(found)


def exposure(stack: Stack) -> list[str]:
    """A line for what other people of this machine can reach, if there are any."""
    local = [] if stack.own_broker else ["the broker takes any record"]
    local += [] if stack.own_store else ["the object store's inner ports show and change all objects"]
    people = present()
    if stack.secure or not local or not people:
        return []
    names = ", ".join(people[:NAMED]) + (f" and {len(people) - NAMED} more" if len(people) > NAMED else "")
    return [f"this stack is for a machine with one user, and {names} use it too: {'; '.join(local)};"
            " `lipstage up --secure` asks for credentials"]  # fmt: skip
