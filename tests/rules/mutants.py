# SPDX-License-Identifier: Apache-2.0
"""What tools/check-rules removes from src/, and who must notice.

M(id, what is left out, test that must fail, (file, exact old text, new text), ...): the old text stands exactly once in
its file. A test is "unit:case" (tests/unit/*/test_unit.c, tests/sim/test_unit.c), "sim:N" (one of the schedules 1..N must be unlawful)
or "nth:S" (a run of that scenario of nth-engine must be unlawful).
docs/faults.md names every id. When code moves, move the text here with it; when a mutant survives, write a test.
"""
import collections

Mutant = collections.namedtuple("Mutant", "id what test edits")
MUTANTS = []


def M(name, what, test, *edits):
    MUTANTS.append(Mutant(name, what, test, edits))


VOLUME, REPLICATION, JOURNAL = "src/volume/", "src/replication/", "src/journal/"

# --- R1: the first copy marks every block dirty; it is an epoch like any other -------------------------------------------
M("R1-all-dirty", "a new source marks nothing", "engine_pair:copies_what_was_there",
  (REPLICATION + "stream_life.c",
   "if (state->role == STREAM_ROLE_SOURCE && state->disks[i].is_initial && !is_exact)",
   "if (false)"))
M("R1-base-synced", "the bases that the first copy filled are not synced before its commit", "sim:600",
  (REPLICATION + "replica_receive.c", "        if (!is_initial(replica, i))\n            continue;",
   "        if (true)\n            continue;"))

# --- R17: what compared equal in a first copy is settled over the end of a connection ------------------------------------
M("R17-settled", "what compared equal is suspect again when the link drops", "flapping:first_copy_over_a_link_that_drops",
  (REPLICATION + "source_settled.c", "source->peer.is_known ? TRACKING_SETTLED : TRACKING_UNACKED", "TRACKING_UNACKED"))
M("R17-life", "another life of the target is not seen", "flapping:target_that_lost_power",
  (REPLICATION + "source_settled.c", "life.life == peer->life && ", ""))
M("R17-came-less", "a target that was put back with its memory is not seen", "flapping:target_put_back_with_its_memory",
  (REPLICATION + "source_settled.c", " && life.came >= peer->sure - peer->lost", ""))
M("R17-came-more", "nor a source", "flapping:source_put_back_with_its_memory",
  (REPLICATION + "source_settled.c", " &&\n                   life.came <= peer->asked - peer->lost", ""))
M("R17-all-counts", "a target does not count what it drops", "target:tells_its_life",
  (REPLICATION + "target.c", "if (item->type == STREAM_DATA || item->type == STREAM_HOLE)\n        target->came",
   "if ((item->type == STREAM_DATA || item->type == STREAM_HOLE) && !target->is_dropping)\n        target->came"))
M("R17-question", "the question before is not looked at", "flapping:source_put_back_whose_count_fits",
  (REPLICATION + "source_settled.c", " && has_met_us(peer, life.met);", ";\n    (void)has_met_us;"))
M("R17-lost-answers", "of the questions before only an answered one counts", "flapping:answers_that_are_lost",
  (REPLICATION + "source_settled.c", "peer->whos[i] == met)",
   "peer->whos[i] == met && (i + 1 == WHO_COUNT || peer->whos[i + 1] == 0))"))
M("R17-short-memory", "a life is believed though memory was short to doubt what the one before had",
  "flapping:target_that_lost_power_while_memory_is_short",
  (REPLICATION + "source_settled.c", "    source->peer.life = 0;\n", ""))
M("R17-met", "things go on before the target has said who it is", "source_core:waits_until_what_is_settled_is_known_to_be",
  (REPLICATION + "source_core.c", "    if (facts->is_unmet)\n        return;\n", ""))
M("R17-old-peer", "with a peer that cannot say, what is settled stays so", "flapping:peer_of_before",
  (REPLICATION + "source_settled.c", "link_protocol(source->link) != PROTOCOL_WITHOUT_LIFE", "PROTOCOL_WITHOUT_LIFE"))
M("R17-saved", "a clean stop forgets what is settled", "dirty_file:saves_and_loads",
  (REPLICATION + "dirty_file.c", "{TRACKING_SETTLED, TRACKING_SUSPECT}", "{TRACKING_FROZEN, TRACKING_SUSPECT}"))

# --- R2: writes to one block never overlap -------------------------------------------------------------------------------
M("R2-exclusive", "two writes hold one block at once", "write_path:overlapping_writes_go_one_after_the_other",
  (VOLUME + "range_lock.c", "(a->is_exclusive || b->is_exclusive)", "(a->is_exclusive != b->is_exclusive)"))
M("R2-until-settled", "the lock goes before the store has answered", "write_path:overlapping_writes_go_one_after_the_other",
  (VOLUME + "write_path.c", "    state->stage = STAGE_SYNC;\n    state->is_locked = false;\n    volume_lock_release(volume, &state->lock);",
   "    state->stage = STAGE_SYNC;\n    state->is_locked = false;"),
  (VOLUME + "write_path.c", "    state->is_stored = true;\n",
   "    state->is_stored = true;\n    volume_lock_release(request->volume, &state->lock);\n"))

# --- R3: intent before the write; it goes only behind the acknowledgement and a sync -----------------------------------------
M("R3-set", "no intent bit is set", "write_path:intent_is_durable_before_the_store_write",
  (VOLUME + "write_path.c", "    if (intent_log_is_durable(tracking, block, count))\n        return VERDICT_GO;",
   "    if (true)\n        return VERDICT_GO;"))
M("R3-durable", "a second write does not wait until the bit is durable",
  "write_path:intent_is_durable_before_the_store_write",
  (VOLUME + "intent_log.c", "if (!bitfile_has_durable(tracking->options.intent, r))",
   "if (!bitfile_has(tracking->options.intent, r))"))
M("R3-clear-acked", "a bit goes though blocks of its region are not acknowledged",
  "tracking:intent_goes_only_behind_ack_and_sync",
  (VOLUME + "intent_log.c", "if (blockset_intersects(tracking->sets[i], block, count))", "if (false)"))
M("R3-clear-synced", "a bit goes though the store was not synced since the last write",
  "tracking:intent_goes_only_behind_ack_and_sync",
  (VOLUME + "intent_log.c",
   "if (tracking->regions[region].sync_number >= synced || tracking->first_sync_number >= synced)", "if (false)"))
M("R3-clear-writer", "a bit goes while a write is under way", "tracking:write_during_the_sweep_keeps_its_bit",
  (VOLUME + "intent_log.c", "if (tracking->regions[region].writers > 0)", "if (false)"))
M("R3-suspects", "after a crash the regions with a bit are not suspected", "sim:100",
  (VOLUME + "tracking.c", "        error = suspect_regions(tracking);", "        error = 0;"))

# --- R4: copy before write -----------------------------------------------------------------------------------------------
M("R4-stash", "a frozen block is overwritten", "write_path:frozen_block_is_stashed_before_the_store_write",
  (VOLUME + "write_path.c", "    if (!tracking || !blockset_intersects(tracking_frozen(tracking), first, end - first))",
   "    if (true || !tracking)"))
M("R4-look-again", "a cut while the write waited for its intent is not seen",
  "write_path:cut_during_the_intent_wait_is_seen",
  (VOLUME + "write_path.c", "    prepared(request_of_state(container_of(waiter, struct request_state, intent)), error);",
   "    struct volume_request *request =\n"
   "        request_of_state(container_of(waiter, struct request_state, intent));\n\n"
   "    if (error < 0)\n        fail(request, error);\n    advance(request);"))
M("R4-full", "a full stash drops the frozen content instead of giving the epoch up",
  "tracking:full_stash_aborts_the_epoch",
  (VOLUME + "write_path.c", "        if (!stash_has_room(tracking->options.stash, 1)) {\n            abort_epoch(tracking);",
   "        if (!stash_has_room(tracking->options.stash, 1)) {\n"
   "            blockset_clear(tracking_frozen(tracking), block, 1);"),
  (VOLUME + "write_path.c", "    if (!stash_has_room(tracking->options.stash, count)) {\n        abort_epoch(tracking);",
   "    if (!stash_has_room(tracking->options.stash, count)) {\n"
   "        blockset_clear(tracking_frozen(tracking), block, count);"))

M("R4-read", "what could not be read goes into the stash", "write_path:frozen_block_that_cannot_be_read_is_not_overwritten",
  (VOLUME + "write_path.c", "    if (error < 0)\n        prepared(scratch->request, error);",
   "    if (false)\n        prepared(scratch->request, error);"))

# --- R5: dirty at completion, before the reply ---------------------------------------------------------------------------
M("R5-mark", "a write leaves no mark", "write_path:dirty_is_marked_before_the_reply_even_after_an_error",
  (VOLUME + "write_path.c", "if (tracking && state->is_stored && tracking_mark_open(tracking, block, count) < 0)",
   "if (false && tracking_mark_open(tracking, block, count) < 0)"))
M("R5-after-error", "a failed write, of which a part may be stored, leaves no mark",
  "write_path:dirty_is_marked_before_the_reply_even_after_an_error",
  (VOLUME + "write_path.c", "if (tracking && state->is_stored && tracking_mark_open(",
   "if (tracking && state->is_stored && state->error == 0 && tracking_mark_open("))

# --- R6: a ship read waits for the writes that overlap it ----------------------------------------------------------------
M("R6-shared", "reads for shipping and writes do not wait for each other",
  "tracking:ship_waits_for_a_write_and_a_write_for_a_ship",
  (VOLUME + "range_lock.c", "(a->is_exclusive || b->is_exclusive)", "(a->is_exclusive && b->is_exclusive)"))
M("R6-take-under-lock", "what was frozen when the read was asked for is read, though a write has stashed it meanwhile",
  "tracking:ship_behind_a_stashing_write_finds_nothing",
  (VOLUME + "ship.c",
   "    if (!blockset_next(set, state->lock.entry.block, state->lock.entry.count, &ship->block,\n"
   "                       &ship->count) ||\n        ship->block >= lock_end) {",
   "    ship->block = state->lock.entry.block;\n    ship->count = state->lock.entry.count;\n    if (false) {"))

# --- R7: sent is not safe; only an acknowledgement clears ----------------------------------------------------------------
M("R7-sent", "what was read for shipping is forgotten", "tracking:blocks_go_from_open_to_frozen_to_unacked",
  (VOLUME + "ship.c", " ||\n            blockset_mark(tracking->sets[TRACKING_UNACKED], ship->block, ship->count) < 0)",
   ")"))
M("R7-stashed", "what went into the stash is forgotten", "tracking:merge_brings_everything_back",
  (VOLUME + "write_path.c", " ||\n            blockset_mark(tracking->sets[TRACKING_UNACKED], block, 1) < 0)", ")"))
M("R7-merge-unacked", "when the link drops, unacked blocks do not become open",
  "tracking:merge_brings_everything_back",
  (VOLUME + "tracking.c", "    merge_into_open(tracking, TRACKING_UNACKED);\n", ""))
M("R7-merge-frozen", "when the link drops, frozen blocks do not become open", "tracking:merge_brings_everything_back",
  (VOLUME + "tracking.c", "    merge_into_open(tracking, TRACKING_FROZEN);\n", ""))
M("R7-link-drop", "a lost link merges nothing", "source_core:merges_when_the_link_drops",
  (REPLICATION + "source_core.c", "        core->is_connected = false;\n        merge(core, actions);",
   "        core->is_connected = false;\n        core->phase = SOURCE_OPEN;"))
M("R7-right-ack", "any acknowledgement clears", "source_core:clears_only_by_the_right_ack",
  (REPLICATION + "source_core.c", "    return core->phase == SOURCE_CUT_SENT && epoch == core->epoch;",
   "    return core->phase == SOURCE_CUT_SENT;"))

# --- R8: one instant for all disks of the stream -------------------------------------------------------------------------
M("R8-all-disks", "the disks of a stream are cut one after the other", "sim:600",
  (REPLICATION + "source_shell.c", "        for (unsigned i = 0; i < source->volume_count; i++)\n            tracking_cut(source->volumes[i]);",
   "        tracking_cut(source->volumes[0]);\n"
   "        loop_timer_set(source->loop, &source->timer, loop_now_ns(source->loop) + 5000000);"),
  (REPLICATION + "source_shell.c", "    source_poll_soon(container_of(timer, struct source, timer));",
   "    struct source *source = container_of(timer, struct source, timer);\n\n"
   "    for (unsigned i = 1; i < source->volume_count && source->core.phase == SOURCE_CUT_OPEN; i++)\n"
   "        if (tracking_is_on(source->volumes[i]) &&\n"
   "            blockset_is_empty(tracking_set(source->volumes[i], TRACKING_FROZEN)))\n"
   "            tracking_cut(source->volumes[i]);\n"
   "    source_poll_soon(source);"))
M("R8-precopy-ended", "a cut falls while a read of the open set is under way",
  "source_core:copies_ahead_until_little_is_left",
  (REPLICATION + "source_core.c", "    if (facts->precopies > 0)\n        return;\n", ""))
M("R8-nothing-newer", "blocks of the open set travel with the epoch that is being closed",
  "source_core:takes_one_epoch_through",
  (REPLICATION + "source_core.c", "            begin_reads(facts, SOURCE_ACTION_SHIP, actions);",
   "            begin_reads(facts, SOURCE_ACTION_PRECOPY, actions);"))
M("R8-all-shipped", "an epoch is closed though reads of it are under way", "source_core:takes_one_epoch_through",
  (REPLICATION + "source_core.c", "else if (facts->ships == 0 && facts->unsent == 0) {", "else {"))

# --- R9: one commit; a partial epoch dies with its connection or with a restart ------------------------------------------
M("R9-dies-with-connection", "what an old connection left stays in the partial epoch", "sim:600",
  (REPLICATION + "target.c", "    if (target->has_partial || target->writing > 0 || target->is_barrier) {",
   "    if (false) {"),
  (REPLICATION + "target.c", "    target->is_dropping = true; /* until its first ABORT */",
   "    target->is_dropping = false;"),
  (REPLICATION + "source_shell.c", "    source->abort_unsent = true; /* whatever an earlier handshake left goes */\n", ""),
  (REPLICATION + "target.c", " && cut->digest == target->digest &&\n           cut->block_count == target->block_count &&",
   " &&"))
M("R9-spoiled", "an epoch is committed though blocks of it were refused", "replica:test_spoiled_first_copy",
  (REPLICATION + "replica_receive.c", "        error = replica->partial_error;\n", "        error = 0;\n"))
M("C5-behind-a-hole", "data that came behind a hole of a first copy do not wait for its end", "replica:test_data_behind_a_hole",
  (REPLICATION + "replica_receive.c", "        if (hole->disk == state->disk && hole->first < state->end && state->first < hole->end)\n",
   "        if (false)\n"))
M("R9-spoiled-journal", "the journal commits an epoch of which it refused a record", "journal:test_limit",
  (JOURNAL + "journal_write.c", "        journal->partial_error = error; /* J3 */\n", ""))
M("R9-dies-with-restart", "after a restart the tail behind the newest commit is kept", "replica:test_partial_never_shows",
  (JOURNAL + "journal_recover.c", "    index_epoch_free(journal->partial);\n    journal->partial = NULL;\n    for (size_t i",
   "    if (journal->partial != NULL) {\n"
   "        journal->partial->info.epoch = journal->epoch_last + 1;\n"
   "        index_epoch_close(journal->partial);\n"
   "        index_commit(&journal->index, journal->partial);\n"
   "        journal->partial = NULL;\n    }\n    for (size_t i"))
M("R9-aborted", "an abort leaves the partial epoch", "replica:test_partial_never_shows",
  (JOURNAL + "journal_write.c", "        drop_partial(journal);\n        while", "        while"))
M("R9-one-commit", "the commit record is written without a sync of what it speaks of",
  "journal_faults:test_order_of_a_commit",
  (JOURNAL + "journal_write.c", "    } else if (sync_touched(journal)) {\n        return;",
   "    } else if (commit->is_commit_written && sync_touched(journal)) {\n        return;"))
M("R9-commit-synced", "an epoch is told committed before its commit record is durable",
  "journal_faults:test_order_of_a_commit",
  (JOURNAL + "journal_write.c", "    } else if (sync_touched(journal)) {\n        return;",
   "    } else if (!commit->is_commit_written && sync_touched(journal)) {\n        return;"))
M("R9-ack-after-commit", "an epoch is acknowledged before it is durable", "sim:600",
  (REPLICATION + "target.c", "    replica_commit(target->replica, barrier_op(",
   "    if (is_current(item))\n        send_ack(target, cut->epoch);\n    replica_commit(target->replica, barrier_op("),
  (REPLICATION + "target.c", "static void commit_done(struct replica_op *op, int error)",
   "static void send_ack(struct target *target, uint64_t epoch);\n"
   "static void commit_done(struct replica_op *op, int error)"))

# --- R10: the base first, then the records; drained counts as superseded; kill-safe memory ------------------------------------
M("R10-base-first", "records of replaced blocks are made durable without a sync of the base", "sim:600",
  (VOLUME + "flush_group.c", "    store_sync(group->store, &group->op, store_synced);",
   "    if (group->overlay)\n"
   "        group->overlay->flushed(group->overlay_arg, &group->flushed, overlay_flushed);\n"
   "    else\n        store_sync(group->store, &group->op, store_synced);"))
M("R10-recorded", "a flush records nothing", "replica:test_kill_and_power_after_promotion",
  (REPLICATION + "superseded.c", "    if (blockset_is_empty(place->synced) &&\n", "    if (true ||\n"))
M("R10-record-failed", "a flush after one whose record could not be stored says that all is well",
  "sim_superseded:test_no_flush_succeeds_over_a_failed_record",
  (REPLICATION + "superseded.c", "bitfile_fence(place->file) == 0", "bitfile_fence(place->file) <= 0"))
M("R10-host", "a host's write to a journal block is not remembered", "replica:test_promote_to_older_point",
  (REPLICATION + "replica_overlay.c", "        superseded_mark(replica->superseded, disk->index, block, extent.count);\n", ""))
M("R10-drained", "a drained block is not remembered", "replica:test_kill_in_the_middle_of_the_drain",
  (REPLICATION + "replica_drain.c",
   "        superseded_mark(replica->superseded, extent->disk, extent->block, extent->count);\n", ""))
M("R10-drain-newer", "the drain writes over what a host replaced meanwhile", "replica:test_host_write_before_the_drain",
  (REPLICATION + "replica_drain.c", "replica_mover_start(mover, &extent, is_still_shown, moved);",
   "(void)is_still_shown;\n        replica_mover_start(mover, &extent, NULL, moved);"))
M("R10-kill-safe", "after a kill the memory of unflushed replacements is not read",
  "replica:test_promote_to_older_point",
  (REPLICATION + "superseded.c", "            if ((disk->bits[word] >> bit & 1) == 0 || bitfile_has(disk->file, block))",
   "            if (true)"))
M("R10-boot-id", "after a power loss the memory of unflushed replacements is believed",
  "replica:test_kill_and_power_after_promotion",
  (REPLICATION + "superseded.c", "    if (error == 0 && memcmp(superseded->map, &head, sizeof(head)) != 0) {",
   "    if (error == 0 && memcmp(superseded->map, &head, 8) != 0) {"))

# --- R11: before the base is overwritten every layer keeps what it shows ---------------------------------------------------
M("R11-host", "a host overwrites what a layer shows", "snapshots:test_host_writes_over_it",
  (VOLUME + "write_path.c", "    return volume->preserve && volume->preserve->needs(",
   "    return request_state((struct volume_request *)request)->kind != REQUEST_HOST &&\n"
   "           volume->preserve && volume->preserve->needs("))
M("R11-apply", "apply and drain overwrite what a layer shows", "snapshots:test_apply_goes_on_under_it",
  (VOLUME + "write_path.c", "    return volume->preserve && volume->preserve->needs(",
   "    return request_state((struct volume_request *)request)->kind == REQUEST_HOST &&\n"
   "           volume->preserve && volume->preserve->needs("))
M("R11-read", "what could not be read goes into a layer", "write_path:layer_is_not_filled_by_a_failed_read",
  (VOLUME + "write_path.c", "    if (error < 0)\n        prepared(request, error);\n",
   "    if (false)\n        prepared(request, error);\n"))
M("R11-durable", "the base is overwritten before the layer's copy is durable", "sim:600",
  (JOURNAL + "layer.c", "        list_append(&layer->written, &op_of(work)->node);\n        begin_round(layer);",
   "        for (uint64_t i = 0; i < work->count; i++)\n"
   "            layer->kept_count += !bitfile_has(layer->map, work->block + i);\n"
   "        bitfile_set(layer->map, work->block, work->count);\n"
   "        end_op_later(op_of(work), 0);"))
M("R11-all-layers", "only the oldest layer of a disk is filled", "snapshots:test_apply_goes_on_under_it",
  (REPLICATION + "snapshots.c", "        if (lacks(snapshot, block, count))\n            return snapshot;",
   "        return lacks(snapshot, block, count) ? snapshot : NULL;"))
M("R11-set-aside", "a layer that was left out may come back when its base has changed",
  "snapshots:test_damaged_is_set_aside",
  (REPLICATION + "snapshots.c",
   "    error = layer_set_aside(snapshots->loop, snapshots->folder, id, err);", "    error = 0;"))
M("R11-unread", "a disk opens while one of its layers cannot be read",
  "snapshots:test_unreadable_keeps_its_disk_closed",
  (REPLICATION + "snapshots.c", "    if (disk->refusal.code != 0)", "    if (false)"))

# --- R12: "applying" before, a sync behind -------------------------------------------------------------------------------
M("R12-applying", "apply begins without saying so durably", "replica:test_kill_in_the_middle_of_apply",
  (REPLICATION + "replica_apply.c", "    replica->state->applying = replica->apply_last;\n    replica_save_state(replica);",
   "    replica->state->applying = replica->apply_last;\n    replica_kick(replica);"))
M("R12-points", "a point that a half applied base cannot show is offered",
  "replica:test_kill_in_the_middle_of_apply",
  (REPLICATION + "replica_promote.c", "    if (*ret_point < state->applying || *ret_point < state->applied)\n", "    if (false)\n"))
M("R12-base-synced", "the journal lets go of epochs whose blocks are not durable in the base", "sim:600",
  (REPLICATION + "replica_apply.c", "        replica_sync_bases(replica);\n        return;",
   "        replica_kick(replica);\n        return;"))
M("R12-applied", "the journal lets go before \"applied\" is durable", "replica:test_apply",
  (REPLICATION + "replica_apply.c", "    replica->apply = APPLY_DONE;\n    replica_save_state(replica);",
   "    replica->apply = APPLY_DONE;\n    replica_kick(replica);"))

# --- R13: failover -------------------------------------------------------------------------------------------------------
M("R13-differs", "blocks of the epochs after the point are not marked", "replica:test_promote_to_older_point",
  (REPLICATION + "replica_promote.c", "        if (report_differing(replica))\n", "        (void)report_differing;\n"))
M("R13-view", "epochs after the point go on showing", "replica:test_promote_to_older_point",
  (REPLICATION + "replica_promote.c", "    journal_forget_after(replica->journal, replica->promote_point);\n", ""))
M("R13-discard", "after a restart epochs after the point are back", "replica:test_promote_to_older_point",
  (REPLICATION + "replica_door.c", "    error = journal_discard_after(replica->journal, state->point, err);\n    if (error != 0)\n        return error;\n    error = replica_open",
   "    error = replica_open"))
M("R13-durable", "hosts write before the promotion is durable", "sim:600",
  (REPLICATION + "failover.c", "    stream_save(stream, promotion_saved);", "    promotion_saved(stream, 0);"))
M("R13-generation", "a promotion makes no new generation", "engine_pair:fails_over_without_the_peer",
  (REPLICATION + "failover.c", "    generation_promote(&state->line, &child, state->point);", "    (void)child;"))
M("R13-intents", "what differs at the failover has no durable intent bit",
  "engine_pair:fails_over_to_an_older_point",
  (REPLICATION + "failover.c", "        stream_save_intents(stream, intents_saved);", "        intents_saved(stream, 0);"))

# --- R14: the union of what both sides changed ---------------------------------------------------------------------------
M("R14-loser", "what the losing side changed is not shipped", "engine_pair:turns_round",
  (REPLICATION + "reprotect.c", "        int error = growth_mark_run(stream, &dirty, block, count);\n",
   "        int error = 0;\n"))
M("R14-winner", "what the winning side changed is not shipped", "engine_pair:turns_round",
  (REPLICATION + "reprotect.c", "    stream->reprotect.step = REPROTECT_ASKED;\n",
   "    for (unsigned i = 0; i < stream->state.disk_count; i++)\n"
   "        blockset_clear_all((struct blockset *)tracking_set(stream->volumes[i], TRACKING_OPEN));\n"
   "    stream->reprotect.step = REPROTECT_ASKED;\n"))
M("R14-suspects", "the losing side does not tell its suspects", "sim:600",
  (REPLICATION + "dirty_runs.c", "tracking_set(volume, reprotect->tell_suspects ? TRACKING_SUSPECT : TRACKING_OPEN);",
   "tracking_set(volume, TRACKING_OPEN);"))
M("R14-synced", "the losing side drops its marks and never syncs its disks", "sim:600",
  (REPLICATION + "reprotect.c", "    stream_sync_bases(stream, loser_synced);", "    loser_synced(stream, 0);"),
  (REPLICATION + "reprotect.c", "    stream_sync_bases(stream, become_synced);", "    become_synced(stream, 0);"))
M("R14-durable", "the winner asks the loser to forget before its marks are durable", "sim:1200",
  (REPLICATION + "reprotect.c", "    stream_step_begin(stream);\n    step_point(\"reprotect-marking\");\n    stream_save_intents(stream, winner_marked);",
   "    stream_step_begin(stream);\n    winner_marked(stream, 0);"))

# --- R15: what the losing side held becomes a snapshot -------------------------------------------------------------------
M("R15-kept", "the losing side's content is not kept", "engine_pair:turns_round",
  (REPLICATION + "reprotect.c", "    int error = keep_snapshots(stream, &err);", "    int error = ((void)keep_snapshots, 0);"))
M("R15-after-restart", "snapshots of an earlier life are not opened", "sim:600",
  (REPLICATION + "snapshots.c", "        error = layer_list(loop, folder, open_one, snapshots);",
   "        error = ((void)open_one, 0);"))
M("R15-listed", "a snapshot that a killed process left in the cache only is taken for made", "sim_layer:test_what_is_listed_stays",
  (JOURNAL + "layer.c", "int error = io_dir_sync(loop, folder); /* L5 */", "int error = 0;"))

# --- R16: old copies are recognised --------------------------------------------------------------------------------------
M("R16-numbered", "a cut leaves before its number is durable", "sim:1200",
  (REPLICATION + "old_copy.c", "    stream_save(stream, saved);", "    saved(stream, 0);"))
M("R16-heard", "an acknowledgement clears before it is durable", "old_copy:target_while_the_source_restarts",
  (REPLICATION + "old_copy.c", "    stream_save(stream, heard);", "    heard(stream, 0);"))
M("R16-source", "an old copy of a source is not recognised", "old_copy:source_of_a_running_site",
  (REPLICATION + "old_copy.c", "        return stream->hello.epoch > stream_newest_epoch(stream);", "        return false;"),
  (REPLICATION + "old_copy.c", "        return epoch < stream_newest_epoch(stream);", "        return false;"))
M("R16-loser", "an old copy of a source that lost is not recognised", "old_copy:loser_of_a_failover",
  (REPLICATION + "old_copy.c", "    return left_at(theirs, ours) > stream_newest_epoch(stream);", "    return false;"),
  (REPLICATION + "old_copy.c", "    return role != STREAM_ROLE_TARGET && epoch < left_at(&state->line, newest);", "    return false;"))
M("R16-target", "an old copy of a target is not recognised", "old_copy:target_that_was_promoted",
  (REPLICATION + "old_copy.c", "        return true;\n    if (state->line.count == 0)", "        return false;\n    if (state->line.count == 0)"))
M("R16-first-copy", "a target whose state forgot the first copy is not recognised", "old_copy:state_of_before_the_first_copy",
  (REPLICATION + "old_copy.c", "        is_gone |= stream->hello.disks[i].is_initial && !state->disks[i].is_initial;",
   "        is_gone = false;"))
M("R16-told", "a first copy is told before it is durable", "nth:first-copy",
  (REPLICATION + "stream.c", "            stream->state.disks[i].is_initial || stream->state.disks[i].is_copy_unsaved;",
   "            stream->state.disks[i].is_initial;"),
  (REPLICATION + "stream.c", "    hello.has_point = stream->state.has_point && !stream->state.is_point_unsaved;",
   "    hello.has_point = stream->state.has_point;"))
M("R16-reprotect", "a reprotect relies on an old copy", "old_copy:loser_of_a_failover",
  (REPLICATION + "reprotect.c", "    if (stream_old_copy_why(stream) != NULL)\n        return err_set(err, -ESTALE",
   "    if (false)\n        return err_set(err, -ESTALE"),
  (REPLICATION + "reprotect.c", "    if (stream_old_copy_why(stream) != NULL) {\n        refuse(", "    if (false) {\n        refuse("))

# --- guards: checks of what comes from outside, and fences --------------------------------------------------------------
WIRE, STORE, NBD = "src/wire/", "src/store/", "src/nbd/"
M("G-frame-head", "the header of a link frame is not checked", "link_frame:test_drbd_crc_covers_the_header_too",
  (WIRE + "link_frame.c", "if (get_le32(header + 28) != crc32c(0, header, 28))", "if (false)"))
M("G-frame-content", "the content of a link frame is not checked", "link_frame:test_drbd_crc_covers_the_header_too",
  (WIRE + "link_frame.c", "if (crc32c(0, frame.payload, frame.length) != frame.payload_crc)", "if (false)"))
M("G-frame-order", "link frames are taken in any order, and twice", "link_frame:test_sequence",
  (WIRE + "link_frame.c", "if (frame.sequence != decoder->sequence_next)", "if (false)"))
M("G-growth-order", "a source grows before its target", "growth:source_waits_for_its_target",
  (REPLICATION + "growth.c",
   "    if (disk >= stream->hello.disk_count || stream->hello.disks[disk].size_bytes < size_bytes)\n", "    if (false)\n"))
M("G-growth-open", "what a disk gets is not open at its source", "growth:what_lay_there_is_shipped",
  (VOLUME + "tracking.c", "    if (tracking_mark_open(tracking, first, count) < 0) {", "    if (tracking_mark_open(tracking, first, 0) < 0) {"))
M("G-growth-winner", "what lies beyond the loser's end does not differ", "growth:winner_is_larger",
  (REPLICATION + "reprotect.c", "    int error = growth_mark_behind(stream);\n", "    int error = 0;\n"))
M("G-own-id", "a site talks to a copy of itself", "link_hostile:test_own_id",
  (REPLICATION + "link_hello.c", "    if (hello->site_id == ours->site_id || hello->nonce == ours->nonce ||\n"
   "        strcmp(hello->site, ours->site) == 0)", "    if (false)"))
M("G-version", "a peer of another protocol is not refused", "link_hostile:test_other_version",
  (REPLICATION + "link_hello.c",
   "if (hello->protocol_max < ours->protocol_min || hello->protocol_min > ours->protocol_max)", "if (false)"))
M("G-journal-head", "the head of a journal record is not checked", "journal_damage:test_every_flip",
  (JOURNAL + "journal_record.c", "return crc == get_le32(head + 12) ? 0 : -EBADMSG;", "return ((void)crc, 0);"))
M("G-journal-blocks", "blocks read from the journal are not checked", "journal_damage:test_every_flip",
  (JOURNAL + "journal_door.c", "if (crc32c(0, state->bytes + i * BLOCK_SIZE, BLOCK_SIZE) == record->crcs[at])", "if (true)"),
  (JOURNAL + "journal_recover.c", "if (crc32c(0, recovery->bytes + head + i * BLOCK_SIZE, BLOCK_SIZE) != crcs[i])", "if (false)"))
M("G-journal-fence", "a journal goes on after an I/O error", "journal_faults:test_fence",
  (JOURNAL + "journal_write.c", "    if (journal->fence == 0)\n        journal->fence = (int)error;\n", ""))
M("G-journal-middle", "damage in the middle of a journal is cut off like a torn tail", "journal_damage:test_cut_in_the_middle",
  (JOURNAL + "journal_recover.c", "    if (found <= 0)\n        return found;\n    segment_path(", "    if (found <= 0 || recovery != NULL)\n        return 0;\n    segment_path("))
M("G-fence", "a source that hears of a newer generation stays open to hosts", "engine_pair:fails_over_without_the_peer",
  (REPLICATION + "meeting.c", "    stream->state.role = STREAM_ROLE_FENCED;\n", ""))
M("G-wait-peer", "a source that was started again opens before it has heard of its peer", "engine_pair:survives_clean_restarts",
  (REPLICATION + "stream_life.c", "    stream->is_waiting_peer = !options->create &&", "    stream->is_waiting_peer = false &&"))
M("G-sandbox", "the process may do what it likes", "sandbox:test_process",
  ("src/daemon/sandbox.c", "IS_SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM)", "true ? SCMP_ACT_LOG : 0"))
M("G-sandbox-door", "the thread that reads what clients of the API send may open files", "sandbox:test_door",
  ("src/daemon/sandbox.c", "    filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));\n", "    filter = seccomp_init(SCMP_ACT_LOG);\n"))
M("G-ring", "the ring takes any operation", "uring_ring:test_opcodes",
  ("src/io/uring_ring.c", "            result = restrict_ring(&uring->ring);\n", "            result = ((void)restrict_ring, 0);\n"))
M("G-state", "the state of a stream is not checked", "stream_state:test_rot",
  (REPLICATION + "state_codec.c", "        get_le32(slot + STATE_CRC_AT) != slot_crc(slot))", "        (slot_crc(slot), false))"))
M("G-state-lost", "a write of the state that is not there is not noticed", "sim_state:test_lost_write_is_told",
  (REPLICATION + "state_file.c", "result >= 0 && memcmp(file->found, file->slot, STATE_SLOT_BYTES) != 0", "result < 0 && file->found == NULL"))
M("G-state-twin", "a save of the state ends before both slots are durable", "sim_state:test_rot_and_a_loss_of_power_turn_nothing_back",
  (REPLICATION + "state_file.c", "    if (result < 0)\n        end_round(file, result);\n    else\n        io_file_sync", "    if (result < 0 || file->is_twin)\n        end_round(file, result);\n    else\n        io_file_sync"))
M("G-dirty", "the sets of a clean stop are not checked", "dirty_file:refuses_what_is_not_whole",
  (REPLICATION + "dirty_file.c", "        get_le32(bytes + length - 4) != crc32c(0, bytes, length - 4))", "        false)"))
M("G-bitfile", "a slot of bits is not checked", "bitfile:damaged_slots_never_give_wrong_bits",
  (STORE + "bitfile_format.c", "|| get_le32(slot + SLOT_CRC) != page_crc(slot) ||", "||"))
M("G-bitfile-fence", "a bitfile goes on after an I/O error", "bitfile:error_fences",
  (STORE + "bitfile_save.c", "    if (error < 0)\n        file->fence = error;\n", ""))
M("G-bitfile-twin", "the second copy of a slot of bits is not written", "bitfile:zeros_are_no_empty_slot",
  (STORE + "bitfile_save.c", "bitfile_slot_offset(index, !file->pages[index].slot, copy), page_written);",
   "bitfile_slot_offset(index, !file->pages[index].slot, copy & 0), page_written);"))
M("G-bitfile-mend", "a damaged copy of a slot of bits is not mended", "bitfile:damaged_slots_never_give_wrong_bits",
  (STORE + "bitfile_open.c", "    error = mend_page(file, index, &images);\n", "    error = images.best < 0 ? mend_page(file, index, &images) : 0;\n"))
M("G-layer", "the description of a snapshot is not checked", "layer:test_info_flips",
  (JOURNAL + "layer_info.c", "        get_le32(bytes + LAYER_CRC_AT) != crc32c(0, copy, sizeof(copy)))", "        false)"))
M("G-store-fence", "a store goes on after a failed sync", "store:first_failed_sync_is_final",
  (STORE + "store_driver.c", "        op->store->is_fenced = true;\n", "        (void)op->store;\n"))
M("G-sync-note", "the next process of the same boot trusts the page cache behind a failed sync", "sim_syncs:test_what_is_shown_stays",
  ("src/io/loop_dispatch.c", "    if (result < 0 && loop->note != NULL)\n", "    if (false)\n"))
M("G-sync-note-drop", "what the kernel keeps of a file is not dropped behind a failed sync", "sync_note:test_cache_is_dropped_behind_a_failure",
  ("src/io/posix_file.c", "posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED)", "0"),
  ("src/io/posix_file.c", "    *ret_is_cached = facts.cached > 0;\n", ""))
M("G-nbd-range", "a request beyond the end of a disk is not refused", "nbd_transmission:test_verify",
  (WIRE + "nbd_transmission.c",
   "if (header->offset > limits->size_bytes || header->length > limits->size_bytes - header->offset)", "if (false)"))
M("G-nbd-read-only", "a read-only export takes writes", "nbd_transmission:test_verify",
  (WIRE + "nbd_transmission.c", "if (rule->is_write && limits->is_read_only)", "if (false)"))
M("G-consent", "a call that was passed on is done although its caller is gone", "control_consent:test_late_before_it_is_read",
  ("src/control/consent.c", "return call->sender[0] && !call_only_looks(call->operation->name);", "return false;"))
M("G-spent", "a request that another site took is taken here too", "control_spent:test_passed_on_once",
  ("src/control/spent.c", "    if (call->hop_count != 1 || !is_signed_change(call))", "    if (true)"))
