#!/usr/bin/env python3
"""Executable model of the replication algorithm (ARCHITECTURE.md), checked by random schedules.

It is a specification, not a prototype: two sites, a few disks of a few blocks, one stream.  Every rule that
ARCHITECTURE.md numbers (R1, R2, ...) stands here once, where it acts.  Time is a counter; every choice (which write
completes, when a cut falls, where a crash strikes, which unsynced writes survive a power loss) comes from one seed.

    python3 epochs.py [schedules] [first seed]      checks that many schedules
    python3 epochs.py --break RULE                   leaves one rule out: a violation must be found
Rules that can be left out: cbw, rangelock, intent, unacked, union, supersede, preserve,
applyorder, clearsync, drainrecord, discard,
applying, killsafe, cutdurable, ackdurable, oldsource, oldtarget, basesync, doubt, onelife, countdata, countsent

A crash is one of two things.  A *kill* ends the process: the page cache lives on, and so does kill-safe memory (a
mapping shared with the kernel, valid while the kernel's boot id is the same).  A *power loss* takes both.  So:

- What a promoted site knows of replaced journal blocks but has not yet recorded by R10 (`superseded_new`) lies in
  kill-safe memory: a kill keeps it, a power loss takes it back together with the unsynced base writes it speaks of.
- A kill loses no acknowledged write, flushed or not; a power loss loses unflushed ones only.  rebase_history checks
  both.  Without kill-safe memory (`--break killsafe`) a kill between a host's write and its flush would show the
  journal's older block again: an acknowledged write lost although every byte of it lies in the page cache.

An *old copy* is a site whose durable state somebody took at one time and put back at a later one (a backup, a snapshot
of the machine).  R16 recognises it: the number of an epoch is durable at the source before its cut leaves, and an
acknowledgement is durable there before it clears anything.  So a target that has an epoch which the source never
numbered proves that the source is an old copy, and a target that has less than the source remembers is one itself.
Nothing is shipped then, and the source stays closed.  The handshake's side of it (promotions, lines) is checked by
handshake.pml.

The *first copy* has no point to keep: its data go straight to the target's base, which is synced before the first epoch
commits.  What was sent when the link drops is suspect: it is compared by fingerprint on the next connection.  R17: what
compared equal is *settled*: no lost connection makes it suspect again; else a link that drops more often than it takes to
compare all that was sent would never end a first copy.  Settled is a word about one running source and one running
target, so it is kept in the memory of both: a restart of the source knows of none, and the target names its life, new at
each start, and how many blocks of data ever came in it.  Another life, or a count that the source cannot have seen, and
all that was settled is suspect again.  The count is there for a machine that is put back with its memory (an *image*).
Data that were lost can hide in it what a source sent since its image; so the product's target names the question before,
too (docs/stream.md, LIFE). That is not in this model: its schedules are too short to need it.
"""
import copy, random, sys

DISKS, BLOCKS, REGION = 2, 6, 2
ALL = [(d, b) for d in range(DISKS) for b in range(BLOCKS)]
BROKEN = None


class Violation(Exception):
    pass


class History:
    """All writes that hosts issued on one line of history: the judge, never seen by the algorithm."""

    def __init__(self, initial):
        self.chain = {k: [(initial[k], -1, -1)] for k in ALL}     # block -> [(value, issued, acked)]

    def cut_is_consistent(self, image, cut_time, what):
        """image holds every write acked before cut_time, and is closed under 'acked before issued'."""
        pos = {}
        for k in ALL:
            values = [w[0] for w in self.chain[k]]
            if image[k] not in values:
                raise Violation(f"{what}: block {k} holds {image[k]}, never written on this line (torn or foreign)")
            pos[k] = len(values) - 1 - values[::-1].index(image[k])
        latest_issue = max(self.chain[k][i][1] for k in ALL for i in range(pos[k] + 1))
        for k in ALL:
            for i, (value, issued, acked) in enumerate(self.chain[k]):
                if i <= pos[k] or acked is None:
                    continue
                if acked < cut_time:
                    raise Violation(f"{what}: lost write {value} on {k}, acked {acked} before the cut {cut_time}")
                if acked < latest_issue:
                    raise Violation(f"{what}: write {value} on {k} missing though a later dependent write is there")


class Site:
    def __init__(self, name):
        self.name = name
        self.cache = {k: 0 for k in ALL}          # what reads of the store return
        self.disk = {k: 0 for k in ALL}           # what a power loss leaves
        self.unsynced = {}                        # block -> values written since the last sync, in order
        self.role = None                          # 'source', 'target', 'failedover' (writable, not replicating)
        self.intent = set()                       # durable: regions that may differ from the last acked epoch
        self.open, self.frozen, self.unacked = set(), set(), set()
        self.stash = {}                           # frozen blocks copied before a write reached them
        self.epoch = 0                            # number of the open epoch
        self.suspect = set()                      # sent before, perhaps lost or half there: compared before it is sent
        self.asked = set()
        self.copying = False                      # R17, source: the target's first copy was not done when they met
        self.settled = set()                      # R17: compared equal in a first copy
        self.initial = False                      # durable, target: its first copy is not done
        self.life = 0                             # R17, volatile, target: new at each start
        self.came = 0                             # R17, volatile, target: blocks of data that came in this life
        self.known_life = None                    # R17, volatile, source: of the target, as it said last
        self.sent = self.sure = 0                 # R17, volatile, source: `came` can be no larger; no smaller
        self.numbered = 0                         # durable: the highest number of an epoch whose cut may have left
        self.heard = 0                            # durable: the newest epoch that the peer has acknowledged
        self.inflight = {}                        # write id -> (block, value, issued)
        self.epochs = []                          # durable journal: [(n, cut_time, {block: value})], committed
        self.partial = None                       # volatile: data of the epoch being received
        self.applied = 0                          # durable: all epochs <= applied are in the base
        self.applying = 0                         # durable: apply has begun with this epoch; older points are gone
        self.base_n = 0                           # newest committed epoch
        self.superseded = set()                   # durable: journal blocks that a host write replaced
        self.superseded_new = set()               # kill-safe memory: survives a kill, not a power loss
        self.pending = {}                         # promoted: journal blocks not yet drained to the base
        self.diverged = set()                     # durable at role change: what differs from the common ancestor
        self.layers = []                          # snapshots: {'view': expected, 'pre': {block: value}, 'point': n}

    # --- store with a volatile cache -------------------------------------------------------------
    def put(self, k, v):
        self.cache[k] = v
        self.unsynced.setdefault(k, []).append(v)

    def sync(self):
        self.disk = dict(self.cache)
        self.unsynced = {}

    def power_loss(self, rng):
        for k, values in self.unsynced.items():
            survivors = [self.disk[k]] + values
            self.disk[k] = rng.choice(survivors)
        self.cache = dict(self.disk)
        self.unsynced = {}

    # --- views ------------------------------------------------------------------------------------
    def view(self, n):
        """R9: base + committed epochs <= n.  Never a part of an epoch."""
        image = dict(self.cache)
        for number, _, data in self.epochs:
            if self.applied < number <= n:
                image.update(data)
        return image

    def points(self):
        """R12: the recovery points that can still be shown."""
        return [e[0] for e in self.epochs if e[0] >= max(self.applied, self.applying)]

    def read(self, k):
        return self.pending.get(k, self.cache[k])

    def now(self):
        return {k: self.read(k) for k in ALL}

    def layer_block(self, layer, k):
        if k in layer['pre']:
            return layer['pre'][k]
        value = self.cache[k]
        for n, _, data in self.epochs:
            if self.applied < n <= layer['point'] and k in data:
                value = data[k]
        return value

    def preserve(self, k, older_than=None):
        """R11: before the base is overwritten (apply, drain or host write), each layer keeps what it shows there."""
        for layer in self.layers:
            if (older_than is None or layer['point'] < older_than) and BROKEN != 'preserve':
                layer['pre'].setdefault(k, self.layer_block(layer, k))


class World:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.clock = 0
        self.next_value = 1
        self.a, self.b = Site('A'), Site('B')
        self.src, self.dst = self.a, self.b
        self.a.role, self.b.role = 'source', 'target'
        self.history = History({k: 0 for k in ALL})
        self.link = True
        self.to_dst, self.to_src = [], []
        self.calm = False
        self.is_slow = self.rng.random() < .2      # a disk so large that its first copy never ends in this schedule
        self.image = False                         # the copy has the machine's memory
        self.lives = 1                             # of targets, so far
        self.turn = 0                              # roles changed so often
        self.copy = None                           # (site's name, turn, its durable state)
        self.restored = self.stale = False         # an old copy was put back; it was recognised
        self.storm = self.rng.choice((1.2, .3))         # how often something rare happens
        self.eager = self.rng.choice((1, 1, .3, .03))   # how far apply runs behind in this schedule
        for k in ALL:                              # the source starts with data; the target is blank
            self.a.cache[k] = self.a.disk[k] = self.next_value
            self.next_value += 1
        self.history = History(self.a.cache)
        self.b.initial = True
        self.first_sync()
        self.link = False
        self.connect()

    def tick(self):
        self.clock += 1
        return self.clock

    def first_sync(self):
        """R1: the first copy marks every block dirty; it is an epoch like any other."""
        self.src.open = set(ALL)
        self.src.intent = {(d, b // REGION) for d, b in ALL}

    # --- source: host writes ----------------------------------------------------------------------
    def issue(self, site):
        if self.stale or self.restored and not self.link:
            return                                 # R16: it waits for its peer, and stays closed when it is old
        k = self.rng.choice(ALL)
        if BROKEN != 'rangelock' and any(w[0] == k for w in site.inflight.values()):
            return                                 # R2: writes to one block never overlap
        region = (k[0], k[1] // REGION)
        if BROKEN != 'intent':
            site.intent.add(region)                # R3: intent is durable before the store sees the write
        if k in site.frozen and BROKEN != 'cbw':   # R4: copy before write: the frozen content goes to the stash
            site.stash[k] = site.read(k)
            site.frozen.discard(k)
        site.preserve(k)
        value = self.next_value
        self.next_value += 1
        self.history.chain[k].append((value, self.tick(), None)) if site is self.writer() else None
        site.inflight[value] = (k, value, self.clock)
        if self.rng.random() < .5:
            site.put(k, value)                     # the store may hold it long before it completes
            site.inflight[value] = (k, value, None)

    def complete(self, site):
        if not site.inflight:
            return
        value = self.rng.choice(list(site.inflight))
        k, _, early = site.inflight.pop(value)
        if early is not None:
            site.put(k, value)
        if k in site.pending:                      # a promoted disk: the write replaces a journal block
            del site.pending[k]
            site.superseded_new.add(k)
        site.open.add(k)                           # R5: dirty is marked at completion, before the reply
        site.diverged.add(k) if site.role == 'failedover' else None
        if site is self.writer():
            chain = self.history.chain[k]
            for i, w in enumerate(chain):
                if w[0] == value:
                    chain[i] = (value, w[1], self.tick())

    def flush(self, site):
        """A host FLUSH: R10 the base first, then the supersede records."""
        before = {k: self.acked_value(k) for k in ALL} if site is self.writer() else {}
        site.sync()
        if BROKEN != 'supersede':
            site.superseded |= site.superseded_new
        site.superseded_new = set()
        if before:
            self.flushed = before

    def acked_value(self, k):
        acked = [i for i, w in enumerate(self.history.chain[k]) if w[2] is not None]
        return acked[-1] if acked else 0

    def writer(self):
        return self.src if self.src.role == 'source' else (self.dst if self.dst.role == 'failedover' else self.src)

    # --- source: shipping ---------------------------------------------------------------------------
    def ship(self):
        s = self.src
        if not self.link or self.stale or s.role != 'source' or self.dst.role != 'target':
            return
        busy = {w[0] for w in s.inflight.values()} if BROKEN != 'rangelock' else set()
        if s.suspect:                              # R17: all is compared before anything new is sent
            if s.suspect - s.asked - busy:
                k = self.rng.choice(sorted(s.suspect - s.asked - busy))
                s.asked.add(k)
                self.to_dst.append(('hash', k, s.read(k), s.sent))
        elif s.stash:                              # stashed content first: it belongs to the frozen epoch
            k = self.rng.choice(list(s.stash))
            self.send(k, s.stash.pop(k))
        elif s.frozen - busy:                      # R6: a ship read waits for the writes that overlap it
            k = self.rng.choice(sorted(s.frozen - busy))
            s.frozen.discard(k)
            self.send(k, s.read(k))
        elif not s.cut_open and s.open - busy and self.rng.random() < .5:
            k = self.rng.choice(sorted(s.open - busy))   # pre-copy of the open epoch
            s.open.discard(k)
            self.send(k, s.read(k))

    def send(self, k, value):
        if BROKEN != 'unacked':
            self.src.unacked.add(k)                # R7: sent is not safe; only an ack clears it
        self.src.sent += 1
        self.to_dst.append(('data', k, value))

    def cut(self):
        """R8: one instant for all disks of the stream; nothing waits but the frozen set."""
        s = self.src
        if not self.link or self.stale or s.role != 'source' or s.cut_open or self.dst.role != 'target':
            return
        if s.suspect or self.dst.initial and self.is_slow and not self.calm:
            return                                 # a point is complete only when all that may differ is known
        s.epoch += 1
        s.cut_open, s.cut_time = True, self.tick()
        s.frozen, s.open = s.open, set()

    def close(self):
        s = self.src
        if s.role == 'source' and s.cut_open and not s.frozen and not s.stash and not s.cut_sent and self.link:
            if BROKEN != 'cutdurable':
                s.numbered = s.epoch               # R16: durable before the cut leaves
            self.to_dst.append(('cut', s.epoch, s.cut_time))
            s.cut_sent = True

    def deliver(self):
        if self.to_dst and self.link:
            message, t = self.to_dst.pop(0), self.dst
            if t.role != 'target':
                return
            if message[0] == 'data':
                t.came += 1
                if t.initial:
                    t.put(message[1], message[2])  # there is no point to keep
                else:
                    t.partial = t.partial or {}
                    t.partial[message[1]] = message[2]
            elif message[0] == 'hash':
                _, k, value, sent = message
                self.to_src.append(('verdict', k, value == t.view(t.base_n)[k], sent))
            else:
                _, n, cut_time = message
                if t.initial and BROKEN != 'basesync':
                    t.sync()                       # R1: the base is durable before the first epoch is
                t.initial = False
                t.epochs.append((n, cut_time, t.partial or {}))    # journal append + one sync + commit record
                t.partial = None
                t.base_n = n
                self.history.cut_is_consistent(t.view(n), cut_time, f"epoch {n}")
                self.to_src.append(('ack', n))
        elif self.to_src and self.link:
            message = self.to_src.pop(0)
            if message[0] == 'ack':
                self.acked(message[1])
            else:
                self.judged(*message[1:])

    def judged(self, k, is_equal, sent):
        s = self.src
        if s.role != 'source' or k not in s.suspect:
            return
        s.suspect.discard(k), s.asked.discard(k)
        if not is_equal:
            s.open.add(k)
        elif s.copying:                            # R17; else it equals a point, and that is durable
            s.settled.add(k)
            s.sure = max(s.sure, sent)

    def acked(self, n):
        s = self.src
        if s.role == 'source' and s.cut_open and n == s.epoch:
            s.cut_open = s.cut_sent = False
            if BROKEN != 'ackdurable':
                s.heard = n                        # R16: durable before anything is cleared
            s.unacked, s.settled = set(), set()
            # R3: cleared only when the epoch is acked AND the source's own store was synced since the write: else a
            # power loss takes back an unflushed write that the target has, and nobody knows
            unsynced = set(s.unsynced) if BROKEN != 'clearsync' else set()
            left = s.open | s.suspect | {w[0] for w in s.inflight.values()} | unsynced
            s.intent = {(d, b // REGION) for d, b in left}
            s.diverged = set()

    # --- target: background apply, snapshots ----------------------------------------------------------
    def apply(self):
        t = self.dst
        due = [e for e in t.epochs if e[0] > t.applied]
        if t.role != 'target' or not due or not self.calm and self.rng.random() > self.eager:
            return
        n, _, data = due[0]
        if BROKEN != 'applying':
            t.applying = n                         # R12: durable before the base is touched
        for k, value in data.items():
            t.preserve(k, older_than=n)
            t.put(k, value)
            if not self.calm and self.rng.random() < .05:    # a crash may fall in the middle: redo is idempotent
                self.crash(t)
                return
        if BROKEN != 'applyorder':
            t.sync()                               # R12: base is durable before 'applied' moves
        t.applied = n

    def snapshot(self):
        t = self.dst
        if t.role == 'target' and t.points() and len(t.layers) < 2:
            point = self.rng.choice(t.points())
            t.layers.append({'point': point, 'pre': {}, 'expected': t.view(point)})

    def check_layers(self):
        for site in (self.a, self.b):
            for layer in site.layers:
                if {k: site.layer_block(layer, k) for k in ALL} != layer['expected']:
                    raise Violation(f"snapshot of epoch {layer['point']} at {site.name} changed")

    # --- faults ---------------------------------------------------------------------------------------
    def drop_link(self):
        self.link = False
        self.to_dst, self.to_src = [], []
        self.dst.partial = None                    # R9: a partial epoch never survives its connection
        s = self.src
        if s.copying:                              # R17: sent is not there, perhaps, and the rest is settled
            if BROKEN == 'doubt':
                s.settled |= s.unacked
            else:
                s.suspect |= s.unacked
            s.unacked = set()
        s.copying, s.asked = False, set()
        s.open |= s.frozen | set(s.stash) | s.unacked      # R7
        s.frozen, s.stash, s.unacked = set(), {}, set()
        s.cut_open_lost = s.cut_sent
        s.cut_open = s.cut_sent = False

    def connect(self):
        """The target names its newest committed epoch; the source continues from there."""
        if self.link:
            return
        self.link = True
        s, t = self.src, self.dst
        if s.role == 'source' and t.role == 'target':
            self.recognise()
            s.epoch = max(s.epoch, t.base_n)
            self.meet_life(s, t)

    def meet_life(self, s, t):
        """R17: before anything is compared or sent.  A connection has one life of the target: its end ends it."""
        is_same = t.life == s.known_life or BROKEN == 'onelife'
        if t.came < s.sure and BROKEN != 'countdata' or t.came > s.sent and BROKEN != 'countsent':
            is_same = is_same and BROKEN == 'onelife'
        if not is_same or not t.initial:
            s.suspect |= s.settled
            s.settled = set()
        s.known_life, s.sent, s.sure = t.life, t.came, t.came
        s.copying = t.initial

    def recognise(self):
        """R16, at each meeting and before each reprotect."""
        s, t = self.src, self.dst
        is_old_source = t.base_n > s.numbered and BROKEN != 'oldsource'
        is_old_target = t.base_n < s.heard and BROKEN != 'oldtarget'
        self.stale = is_old_source or is_old_target
        if self.stale and not self.restored:
            raise Violation("an old copy is seen where there is none")
        return self.stale

    # --- old copies -------------------------------------------------------------------------------------
    def back_up(self):
        site = self.rng.choice((self.src, self.dst))
        if site.role in ('source', 'target') and self.copy is None:
            taken = copy.deepcopy(site)
            self.image = not site.inflight and self.rng.random() < .5
            if not self.image:
                taken.power_loss(self.rng)         # what a copy of a running machine's disks holds, at worst
            self.copy = (site.name, self.turn, taken)

    def put_back(self):
        if self.copy is None or self.copy[1] != self.turn or self.restored or self.writer() is not self.src:
            return
        site = self.src if self.src.name == self.copy[0] else self.dst
        self.restored = True
        self.drop_link()
        site.__dict__.update(copy.deepcopy(self.copy[2].__dict__))
        if not self.image:
            self.crash(site, power=True, old=True)
            return
        self.drop_link()
        if site is self.src:
            self.rebase_history(site, False, old=True)

    def crash(self, site, power=None, old=False):
        power = self.rng.random() < .5 if power is None else power
        if power:
            site.power_loss(self.rng)
        self.drop_link()
        if site.role in ('source', 'failedover') and not power:
            pass                                   # a kill leaves the page cache; the bitmaps are gone all the same
        for value, (k, _, early) in site.inflight.items():
            pass                                   # never acked; the store may or may not hold them
        site.inflight = {}
        site.epoch = site.numbered
        site.open = {k for k in ALL if (k[0], k[1] // REGION) in site.intent}    # R3: superset by region
        site.frozen, site.unacked, site.stash = set(), set(), {}
        site.suspect, site.settled, site.known_life = set(), set(), None
        site.cut_open = site.cut_sent = False
        site.partial = None
        self.lives += 1
        site.life, site.came, site.sent, site.sure = self.lives, 0, 0, 0
        if site.role == 'failedover':
            if power or BROKEN == 'killsafe':
                site.superseded_new = set()        # another boot id: not to be believed
            site.pending = {}
            for n, _, data in site.epochs:
                if site.applied < n <= site.point:
                    site.pending.update(data)
            for k in site.superseded | site.superseded_new:
                site.pending.pop(k, None)
            site.diverged |= site.open
        if site is self.writer():
            self.rebase_history(site, power, old)

    def rebase_history(self, site, power, old=False):
        """After a crash what the store holds is the truth; unflushed writes may be gone after a power loss, flushed
        ones never, and after a kill no acknowledged one.  An old copy takes its time back with it."""
        if old:
            self.history = History(site.disk)
            for k, values in site.unsynced.items():    # an image has them in its memory
                self.history.chain[k] += [(v, -1, -1) for v in values]
            self.flushed = {}
            return
        for k in ALL:
            values = [w[0] for w in self.history.chain[k]]
            held = site.read(k)
            if held not in values:
                raise Violation(f"after a crash {k} holds {held}, never written")
            at = len(values) - 1 - values[::-1].index(held)
            if getattr(self, 'flushed', {}).get(k, 0) > at:
                raise Violation(f"flushed write on {k} lost by a crash")
            if not power and self.acked_value(k) > at:
                raise Violation(f"acknowledged write on {k} lost by a kill")
        for k in ALL:
            values = [w[0] for w in self.history.chain[k]]
            held = site.read(k)
            at = len(values) - 1 - values[::-1].index(held)
            # a later acked, unflushed write that was lost is rewritten history: cut the chain there
            self.history.chain[k] = [(v, i, a if a is not None else self.clock) for v, i, a in self.history.chain[k][:at + 1]]
        self.flushed = {k: min(self.flushed.get(k, 0), len(self.history.chain[k]) - 1) for k in ALL} if hasattr(self, 'flushed') else {}

    # --- failover, reprotect ----------------------------------------------------------------------------
    def failover(self):
        t = self.dst
        if t.role != 'target' or not t.points():
            return
        self.drop_link()
        t.point = self.rng.choice(t.points())
        expected = t.view(t.point)
        # R13: blocks of the epochs after the point differ from what the old source believes to be there
        t.diverged = {k for n, _, data in t.epochs if n > t.point for k in data}
        t.pending = {}
        for n, _, data in t.epochs:
            if t.applied < n <= t.point:
                t.pending.update(data)
        for layer in t.layers:                     # R11: epochs about to go that a layer still shows
            for n, _, data in t.epochs:
                if t.point < n <= layer['point'] and BROKEN != 'discard':
                    for k in data:
                        layer['pre'].setdefault(k, t.layer_block(layer, k))
        t.epochs = [e for e in t.epochs if e[0] <= t.point]
        t.superseded, t.superseded_new = set(), set()
        t.role = 'failedover'
        self.turn += 1
        t.open, t.intent = set(t.diverged), {(d, b // REGION) for d, b in t.diverged}
        if t.now() != expected:
            raise Violation("failover does not show its recovery point")
        self.history = History(t.now())
        self.flushed = {}
        if self.src.role == 'source':
            self.src.role = 'orphan'               # may still write (split brain): tracked, never lost
            self.src.diverged = self.src.open | self.src.suspect | self.src.settled

    def drain(self):
        t = self.dst
        if t.role == 'failedover' and t.pending:
            k = self.rng.choice(list(t.pending))
            if any(w[0] == k for w in t.inflight.values()):
                return
            t.preserve(k)
            t.put(k, t.pending.pop(k))
            if BROKEN != 'drainrecord':
                t.superseded_new.add(k)            # R10: drained counts as superseded, or a crash revives the old block

    def reprotect(self, reverse):
        """R14: both directions ship the union of what both sides changed since the common ancestor."""
        s, t = self.src, self.dst
        if t.role != 'failedover' or s.role != 'orphan' or s.inflight or t.inflight or self.recognise():
            return
        for k in list(t.pending):
            t.preserve(k)
            t.put(k, t.pending.pop(k))
        t.sync()
        s.sync()
        t.epochs, t.applied, t.superseded = [], t.base_n, set()
        union = s.open | s.frozen | s.unacked | set(s.stash) | s.suspect | s.settled | t.open | t.diverged
        if BROKEN == 'union':
            union = set(t.open) if reverse else set(s.open)
        new_src, new_dst = (t, s) if reverse else (s, t)
        for site in (new_src, new_dst):
            site.open, site.frozen, site.unacked, site.stash = set(), set(), set(), {}
            site.suspect, site.settled = set(), set()
            site.diverged, site.epochs, site.partial, site.pending = set(), [], None, {}
            site.cut_open = site.cut_sent = False
        epoch = max(s.epoch, t.epoch, s.base_n, t.base_n)
        new_src.epoch = new_dst.base_n = new_dst.applied = new_dst.applying = epoch
        new_src.numbered = new_src.heard = epoch
        new_dst.numbered = new_dst.heard = 0
        self.turn += 1
        new_src.open = set(union)
        new_src.intent = {(d, b // REGION) for d, b in union}
        new_dst.intent = set()
        # R15: what the losing side holds now is kept as a snapshot before the first epoch lands on it
        for site in (new_src, new_dst):
            site.layers = site.layers[-2:]         # an operator lets old ones go
        new_dst.layers.append({'point': epoch, 'pre': {}, 'expected': dict(new_dst.cache)})
        new_src.role, new_dst.role = 'source', 'target'
        self.src, self.dst = new_src, new_dst
        self.history = History(new_src.cache)
        self.flushed = {}
        self.drop_link()
        self.connect()

    # --- no silent divergence ----------------------------------------------------------------------------
    def check_tracking(self):
        s, t = self.src, self.dst
        if s.role != 'source' or t.role != 'target' or self.stale or self.restored and not self.link:
            return                                 # nobody says that they are equal
        differs = {k for k in ALL if s.cache[k] != t.view(t.base_n)[k]}
        busy = {w[0] for w in s.inflight.values()}
        tracked = s.open | s.frozen | s.unacked | set(s.stash) | s.suspect | busy
        if not self.link:
            tracked |= s.settled                   # R17: a word about what is met again
        if differs - tracked:
            raise Violation(f"silent divergence on {sorted(differs - tracked)}")

    def settle(self):
        """End of a schedule: no more writes or faults; both sides must become equal."""
        self.calm = True
        for site in (self.a, self.b):
            while site.inflight:
                self.complete(site)
        if self.dst.role == 'failedover':
            self.reprotect(self.rng.random() < .5)
        self.connect()
        if self.stale:                             # nothing moves: a person decides what is to be kept
            return
        for _ in range(400):
            self.cut(), self.ship(), self.close(), self.deliver(), self.apply()
        if self.src.role == 'source' and self.src.cache != self.dst.cache:
            raise Violation("the sites did not converge")
        self.check_layers()

    def run(self, steps):
        write = [lambda: self.issue(self.writer())] * 5 + [lambda: self.complete(self.writer())] * 5
        work = [self.ship] * 6 + [self.cut] * 2 + [self.close] * 3 + [self.deliver] * 6 + [self.apply] * 2
        rare = [self.snapshot, self.drop_link, self.connect, self.connect, self.connect,
                lambda: self.flush(self.writer()), lambda: self.crash(self.src), lambda: self.crash(self.dst),
                self.failover, self.drain, self.drain, lambda: self.reprotect(True), lambda: self.reprotect(False),
                lambda: self.issue(self.src), lambda: self.complete(self.src), self.back_up, self.put_back]
        flap = [self.drop_link, self.connect, self.connect, self.back_up, self.put_back]
        for _ in range(steps):
            pool = self.rng.choices((write, work, rare), (3, 8, self.storm))[0]
            if pool is rare and self.is_slow and self.rng.random() < .9:
                pool = flap
            self.rng.choice(pool)()
            self.check_tracking()
            self.check_layers()
        self.settle()


for name in ('cut_open', 'cut_sent', 'cut_open_lost'):
    setattr(Site, name, False)
Site.cut_time = Site.point = 0


def check(count, first=0, steps=600):
    for seed in range(first, first + count):
        try:
            World(seed).run(steps)
        except Violation as violation:
            return seed, str(violation)
    return None


if __name__ == '__main__':
    args = sys.argv[1:]
    if args and args[0] == '--break':
        BROKEN = args[1]
        found = check(5000)
        print(f"without {BROKEN}: " + (f"seed {found[0]}: {found[1]}" if found else "NO VIOLATION FOUND"))
        sys.exit(0 if found else 1)
    count, first = (int(args[0]) if args else 2000), (int(args[1]) if len(args) > 1 else 0)
    found = check(count, first)
    print(f"seed {found[0]}: {found[1]}" if found else f"{count} schedules, no violation")
    sys.exit(1 if found else 0)
