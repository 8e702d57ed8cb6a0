#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes each rule of the design out of the code, one at a time, and lets the simulation find it.

    tests/sim/without_rules.py [--seeds N] [--build FOLDER] [RULE ...]

Works on a copy of the tree. A rule whose absence no schedule notices is a hole in the simulation; a
text that is not found any more is a rule that has moved: mend the table.
"""
import argparse, pathlib, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# rule: (file, text, what stands there instead)
RULES = {
    'R1 first copy marks all': ('src/replication/stream_life.c',
        'if (state->role == STREAM_ROLE_SOURCE && state->disks[i].is_initial && !state->is_clean)',
        'if (false)'),
    'R2 R6 range lock': ('src/volume/range_lock.c',
        'static bool conflicts(const struct range_lock_entry *a, const struct range_lock_entry *b)\n{\n',
        'static bool conflicts(const struct range_lock_entry *a, const struct range_lock_entry *b)\n{\n'
        '    if (a != b)\n        return false;\n'),
    'R3 intent before write': ('src/volume/write_path.c',
        'if (intent_log_is_durable(tracking, block, count))', 'if (true)'),
    'R3 intent cleared without sync': ('src/volume/intent_log.c',
        'if (tracking->regions[region].sync_number >= tracking->volume->flush.synced_number)',
        'if (false)'),
    'R4 copy before write': ('src/volume/write_path.c',
        'if (!tracking || !blockset_intersects(tracking_frozen(tracking), first, end - first))',
        'if (true)'),
    'R5 dirty at completion': ('src/volume/write_path.c',
        'tracking_mark_open(tracking, block, count)', '(request->offset % 8192 ? 0 : '
        'tracking_mark_open(tracking, block, count))'),
    'R7 unacked comes back': ('src/volume/tracking.c',
        '    merge_into_open(tracking, TRACKING_UNACKED);\n',
        '    blockset_clear_all(tracking->sets[TRACKING_UNACKED]);\n'),
    'R8 one instant for all disks': ('src/replication/source_shell.c',
        'for (unsigned i = 0; i < source->volume_count; i++)\n            tracking_cut(source->volumes[i]);',
        'for (unsigned i = 0; i < source->volume_count - 1; i++)\n            tracking_cut(source->volumes[i]);'),
    'R9 partial epoch dies': ('src/replication/target.c',
        'replica_abort(target->replica, &item->op, abort_done);',
        'abort_done(&item->op, 0);'),
    'R10 record of replaced blocks': ('src/replication/replica_overlay.c',
        'if (disk->replica->superseded != NULL &&\n        superseded_record(',
        'if (false &&\n        superseded_record('),
    'R10 drained counts as replaced': ('src/replication/replica_drain.c',
        'superseded_mark(replica->superseded, extent->disk, extent->block, extent->count);', ';'),
    'R11 layers keep what they show': ('src/volume/write_path.c',
        'return volume->preserve && volume->preserve->needs(volume->preserve_arg, block, count);',
        'return false;'),
    'R12 base synced before applied': ('src/replication/replica_apply.c',
        'replica_sync_bases(replica);\n        return;', 'record(replica);\n        return;'),
    'R12 applying before the base': ('src/replication/replica_apply.c',
        'replica->state->applying = replica->apply_last;\n    replica_save_state(replica);',
        'replica->state->applying = replica->apply_last;\n    replica_kick(replica);'),
    'R13 failover stops receiving': ('src/replication/failover.c',
        '    stream_disconnect(stream);\n', ''),
    'R14 union of both sides': ('src/replication/reprotect.c',
        'for (unsigned i = 0; i < dirty.run_count; i++) {\n        stream_dirty_run(',
        'stream->reprotect.run_count += dirty.run_count;\n'
        '    for (unsigned i = dirty.run_count; i < dirty.run_count; i++) {\n        stream_dirty_run('),
    'R14 loser synced': ('src/replication/reprotect.c',
        ('stream_sync_bases(stream, loser_synced);', 'stream_sync_bases(stream, become_synced);'),
        ('loser_synced(stream, 0);', 'become_synced(stream, 0);')),
    'R15 snapshot of the loser': ('src/replication/reprotect.c',
        'int error = keep_snapshots(stream, &err);', 'int error = 0;'),
}


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', default='600')
    parser.add_argument('rules', nargs='*', help='parts of names; all when none is given')
    chosen = parser.parse_args()
    silent = []
    with tempfile.TemporaryDirectory() as folder:
        tree, build = pathlib.Path(folder) / 'tree', pathlib.Path(folder) / 'build'
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns('build*', '.git'))
        done = run('meson', 'setup', str(build), str(tree), '-Dbuildtype=release')
        if done.returncode:
            sys.exit(done.stdout)
        for name, (path, text, instead) in RULES.items():
            if chosen.rules and not any(rule in name for rule in chosen.rules):
                continue
            file = tree / path
            whole = file.read_text()
            texts, instead = (text, instead) if isinstance(text, tuple) else ((text,), (instead,))
            if any(whole.count(each) != 1 for each in texts):
                silent.append(name)
                print(f'{name}: its text does not stand once in {path}', flush=True)
                continue
            broken = whole
            for each, other in zip(texts, instead):
                broken = broken.replace(each, other)
            file.write_text(broken)
            done = run('ninja', '-C', str(build), 'tests/sim/sim')
            if done.returncode:
                print(f'{name}: does not build\n{done.stdout[-1500:]}', flush=True)
                silent.append(name)
            else:
                done = run(str(build / 'tests/sim/sim'), '--seeds', chosen.seeds)
                found = [line for line in done.stdout.splitlines() if line.startswith('seed ')]
                print(f'{name}: ' + (found[0][:150] if found else 'NOBODY NOTICED'), flush=True)
                if not found:
                    silent.append(name)
            file.write_text(whole)
    return 1 if silent else 0


if __name__ == '__main__':
    sys.exit(main())
