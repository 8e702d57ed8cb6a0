#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A disk of a pair grows from one block to two: every state within bounds. Rules G1 to G3 of src/replication/growth.c.

Each step is durable when it ends, so a kill is the absence of the next one; what a site knows of its peer it hears anew.
What a disk gets at its end may hold anything ("x", "y"). One site may have no room to grow ("full").

    growth.py               every property holds
    growth.py --break G2    leaves a rule out: a violation must be found, and is told as a story
"""
import argparse
import collections
import sys

Site = collections.namedtuple("Site", "role size bytes dirty full")  # role: S T P F; bytes: of two blocks; dirty: set of them
World = collections.namedtuple("World", "a b writes turns")
WRITES, TURNS = 3, 3


def put(bytes_, block, value):
    return tuple(value if i == block else old for i, old in enumerate(bytes_))


def writes(world, site, other, swap):
    """A host, at a source or a promoted site."""
    for block in range(site.size):
        if site.role in "SP" and world.writes < WRITES:
            new = site._replace(bytes=put(site.bytes, block, world.writes + 1), dirty=site.dirty | {block})
            yield f"write {world.writes + 1} to block {block}", swap(new, other)._replace(writes=world.writes + 1)


def grows(site, other, swap, broken):
    if site.size == 2 or site.full:
        return
    if site.role == "T":  # asked for, or because its source is larger
        yield "the target grows", swap(site._replace(size=2, bytes=put(site.bytes, 1, "x")), other)
    if site.role == "S" and other.role == "T" and (other.size == 2 or broken == "G1"):
        dirty = site.dirty if broken == "G2" else site.dirty | {1}
        yield "the source grows", swap(site._replace(size=2, bytes=put(site.bytes, 1, "y"), dirty=dirty), other)


def ships(source, target, swap):
    """Everything that is dirty, as one epoch; to a target that is smaller, nothing."""
    if source.role != "S" or target.role != "T" or target.size < source.size or not source.dirty:
        return
    bytes_ = target.bytes
    for block in source.dirty:
        bytes_ = put(bytes_, block, source.bytes[block])
    yield "an epoch is committed", swap(source._replace(dirty=frozenset()), target._replace(bytes=bytes_))


def turns(world, site, other, swap, broken):
    """Failover at a target; the old source hears of it at once or, what is the same, before anything else matters."""
    if site.role == "T" and other.role == "S" and world.turns < TURNS:
        new = swap(site._replace(role="P", dirty=frozenset()), other._replace(role="F"))
        yield "failover", new._replace(turns=world.turns + 1)
    if (site.role, other.role) not in (("P", "F"), ("F", "P")):
        return
    dirty = site.dirty | {block for block in other.dirty if block < site.size}  # what the loser tells, clipped
    if other.size < site.size and broken != "G3":
        dirty |= {1}
    name = "reprotect" if site.role == "P" else "the failover is cancelled"
    yield name, swap(site._replace(role="S", dirty=frozenset(dirty)), other._replace(role="T", dirty=frozenset()))


def steps(world, broken):
    for name, site, other, swap in (("A", world.a, world.b, lambda x, y: world._replace(a=x, b=y)),
                                    ("B", world.b, world.a, lambda x, y: world._replace(a=y, b=x))):
        for moves in (writes(world, site, other, swap), grows(site, other, swap, broken), ships(site, other, swap),
                      turns(world, site, other, swap, broken)):
            for what, new in moves:
                yield f"{name}: {what}", new


def wrong(world):
    for source, target in ((world.a, world.b), (world.b, world.a)):
        if (source.role, target.role) != ("S", "T"):
            continue
        for block in range(min(source.size, target.size)):
            if block not in source.dirty and source.bytes[block] != target.bytes[block]:
                return f"block {block} differs, and no set holds it"
        if target.full and world.turns == 0 and source.size > target.size:
            return "the source took a size that its target has no room for: nothing is shipped any more"
    return None


def check(broken):
    queue, before = collections.deque(), {}
    for full in ((False, False), (True, False), (False, True)):
        start = World(Site("S", 1, (0, 0), frozenset(), full[0]), Site("T", 1, (0, 0), frozenset(), full[1]), 0, 0)
        before[start] = None
        queue.append(start)
    while queue:
        world = queue.popleft()
        problem = wrong(world)
        if problem:
            story = [problem]
            while before[world]:
                what, world = before[world]
                story.append(what)
            return len(before), story[::-1]
        for what, new in steps(world, broken):
            if new not in before:
                before[new] = (what, world)
                queue.append(new)
    return len(before), None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--break", dest="broken", choices=("G1", "G2", "G3"))
    broken = parser.parse_args().broken
    states, story = check(broken)
    print(f"{states} states", *(story or ["every property holds"]), sep="\n    ")
    return int((story is not None) != (broken is not None))


if __name__ == "__main__":
    sys.exit(main())
