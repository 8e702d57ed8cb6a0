/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site's whole data folder, edited, and the engine started on it. Input: which folder (1), what
 * the operator orders (1), a script of edits (fuzz_image.h). The folders were left by a target that
 * was killed, one that was promoted and killed, a source that stopped cleanly, one that lost a
 * reprotect. Marks are the parts of each file.
 *
 * Checked: each refusal has a text; without a forgery or a missing file a stream that opens has the
 * role and generation it had; the engine obeys, stops in bounded time, leaves nothing.
 *
 * Covers: replication/state_file.c replication/state_codec.c replication/dirty_file.c
 * replication/superseded.c replication/site_id.c replication/snapshots.c replication/stream_life.c
 * replication/replica_door.c replication/replica_drain.c replication/replica_apply.c
 * journal/journal_recover.c store/bitfile_open.c store/bitfile_save.c volume/intent_log.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_liar.h"
#include "fuzz_seal.h"

enum { SCRIPT_MAX = 160, FOLDERS = 4 };

struct folder {
    struct fuzz_image image;
    struct engine_stream_status status;
};

/* A peer's part of what made the folder: actions of fuzz_liar.c, settings as for its target. */
struct recipe {
    uint8_t settings;
    bool is_killed;
    unsigned length;
    uint8_t script[SCRIPT_MAX];
};

#define WAIT 14, 5
#define SAY(role_flags, line, disks) 0, role_flags, 0, line, disks, WAIT
#define ABORT 6, 0
#define EPOCH 1, 0, 3, 7, 65, 0, 1, 1, 9, 0, 66, 0, 2, 0, 30, 3, 3, 0, WAIT
#define WRITE(disk, block, count, value) 16, disk, block, count, value
/* Not long enough for the journal to be drained. */
#define FAILOVER 15, 2, 14, FAILOVER_10MS
enum {
    SAY_LENGTH = 7,
    ABORT_LENGTH = 2,
    EPOCH_LENGTH = 20,
    WRITE_LENGTH = 5,
    FAILOVER_LENGTH = 4,
    FAILOVER_10MS = 1,
};

static const struct recipe recipes[FOLDERS] = {
    {1,
     true,
     SAY_LENGTH + ABORT_LENGTH + 3 * EPOCH_LENGTH,
     {SAY(36, 2, 0), ABORT, EPOCH, EPOCH, EPOCH}},
    {1,
     true,
     SAY_LENGTH + ABORT_LENGTH + 2 * EPOCH_LENGTH + FAILOVER_LENGTH + 2 * WRITE_LENGTH,
     {SAY(36, 2, 0), ABORT, EPOCH, EPOCH, FAILOVER, WRITE(0, 3, 4, 9), WRITE(1, 9, 0, 8)}},
    {2,
     false,
     2 * WRITE_LENGTH + 2 * SAY_LENGTH + 5,
     {WRITE(0, 4, 20, 7), SAY(33, 4, 3), SAY(1, 0, 3), 18, 4, 0, WAIT, WRITE(1, 4, 20, 8)}},
    {2,
     false,
     WRITE_LENGTH + SAY_LENGTH + 5 + 5 + 1 + SAY_LENGTH + ABORT_LENGTH + EPOCH_LENGTH,
     {WRITE(0, 0, 9, 9), SAY(34, 2, 0), 8, 1, 5, WAIT, 11, 0, 2, WAIT, 17, SAY(4, 0, 0), ABORT,
      EPOCH}},
};

static void call_status(void *arg)
{
    struct fuzz_liar *liar = arg;

    check(engine_stream_status(liar->attacked.engine, "pg-0",
                               (struct engine_stream_status *)liar->wire.arg));
}

/* Heads closely, the rest of a file coarsely. */
static void mark_files(struct fuzz_image *image)
{
    for (unsigned i = 0; i < image->file_count; i++) {
        size_t length = image->files[i].length;

        for (size_t at = 0; at < length && at < 2 * 4096 && image->mark_count < FUZZ_MARKS_MAX;
             at += 1024)
            fuzz_image_mark(image, i, at, 1024);
        for (size_t at = 2 * 4096; at < length && image->mark_count < FUZZ_MARKS_MAX; at += 4096)
            fuzz_image_mark(image, i, at, 4096);
    }
}

static void make_folder(const struct recipe *recipe, struct folder *folder)
{
    static struct fuzz_liar liar;
    struct bytes_reader script = {.at = recipe->script, .left = recipe->length};
    struct fuzz_scene *scene = &liar.attacked.scene;

    fuzz_liar_open(&liar, recipe->settings);
    if (recipe->is_killed) /* in the middle of something */
        sim_disk_latency(scene->server, SIM_MS);
    fuzz_liar_play(&liar, &script);
    if (!recipe->is_killed) {
        fuzz_scene_run_us(scene, 100000);
        fuzz_link_close(&liar.wire);
        fuzz_scene_run_us(scene, 100000);
    }
    liar.wire.arg = &folder->status;
    fuzz_scene_call(scene, call_status, &liar);
    fuzz_engine_show(&liar.attacked, "folder", 0);
    if (!recipe->is_killed)
        fuzz_engine_stop(&liar.attacked);
    sim_site_kill(scene->server);
    sim_site_restart(scene->server);
    fuzz_link_close(&liar.wire);
    fuzz_image_read(&folder->image, scene->server, "/data");
    folder->image.seal_cb = fuzz_seal_any;
    mark_files(&folder->image);
    for (unsigned i = 0; getenv("VERSO_FUZZ_LOG") && i < folder->image.file_count; i++)
        fprintf(stderr, "file %u: %s, %zu bytes\n", i, folder->image.files[i].path,
                folder->image.files[i].length);
    fuzz_scene_close(scene);
}

static void check_same(struct fuzz_engine *attacked, const struct folder *folder)
{
    struct engine_stream_status status;

    if (!engine_stream_status(attacked->engine, "pg-0", &status))
        return;
    check(status.role == folder->status.role);
    check(generation_is_equal(&status.generation, &folder->status.generation));
}

static void play(struct fuzz_engine *attacked, const struct folder *folder,
                 const struct fuzz_image *image, uint8_t what)
{
    fuzz_engine_show(attacked, "opened", what);
    if (attacked->has_stream && !image->is_forged && !image->has_removed)
        check_same(attacked, folder);
    fuzz_scene_run_us(&attacked->scene, 50000);
    if (attacked->has_stream) {
        fuzz_engine_write(attacked, what, what, 3, what);
        fuzz_engine_order(attacked, (enum fuzz_order)(what % FUZZ_ORDER_COUNT));
        fuzz_scene_run_us(&attacked->scene, 200000);
        fuzz_engine_show(attacked, "ordered", what % FUZZ_ORDER_COUNT);
        fuzz_engine_write(attacked, what + 1u, what, 3, what);
    }
    fuzz_engine_stop(attacked);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct folder folders[FOLDERS];
    static struct fuzz_engine attacked;
    struct bytes_reader input = {.at = bytes, .left = length};
    struct fuzz_image image;
    uint8_t which = bytes_u8(&input) % FOLDERS, what = bytes_u8(&input);

    fuzz_quiet();
    if (folders[which].image.file_count == 0)
        make_folder(&recipes[which], &folders[which]);
    memset(&attacked, 0, sizeof(attacked));
    fuzz_image_copy(&image, &folders[which].image);
    fuzz_image_edit(&image, &input);
    fuzz_scene_open(&attacked.scene);
    fuzz_image_write(&image, attacked.scene.server, "/data");
    fuzz_engine_reopen(&attacked);
    if (attacked.engine)
        play(&attacked, &folders[which], &image, what);
    fuzz_engine_close(&attacked);
    fuzz_image_free(&image);
    return 0;
}
