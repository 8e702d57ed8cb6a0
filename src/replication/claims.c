/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: which streams there are is in the records, and what a stream knows is in its folder. Records
 * that are older than the folders (site.db was put back from a backup, as its damage asks for) know
 * nothing of a stream that was started since: its disks would be ordinary ones, and what hosts
 * write there would be remembered by nobody, or hosts would get a target's copy.
 */
#include "replication/claims.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replication/state_file.h"

struct claim {
    struct list node;
    char stream[40];
    unsigned disk_count; /* 0: its state cannot be read */
    char disks[STREAM_DISKS_MAX][40];
};

struct loading {
    struct engine *engine;
    int error;
};

static struct claim *find(const struct engine *engine, const char *stream)
{
    for (const struct list *node = engine->claims.next; node != &engine->claims;
         node = node->next) {
        struct claim *claim = list_entry((struct list *)node, struct claim, node);

        if (strcmp(claim->stream, stream) == 0)
            return claim;
    }
    return NULL;
}

/* A folder without a state is what a crash left of a stream in the making. */
static int load_one(struct engine *engine, const char *name)
{
    struct stream_state *state = malloc(sizeof(*state));
    struct claim *claim = calloc(1, sizeof(*claim));
    char folder[PATH_MAX];
    int error = state != NULL && claim != NULL ? 0 : -ENOMEM;

    if (error == 0) {
        snprintf(folder, sizeof(folder), "%s/streams/%s", engine->folder, name);
        error = state_file_peek(engine->loop, folder, state);
    }
    if (error != 0 && (error == -ENOENT || error == -ENOMEM)) {
        free(claim);
        free(state);
        return error == -ENOMEM ? error : 0;
    }
    snprintf(claim->stream, sizeof(claim->stream), "%s", name);
    if (error == 0) {
        claim->disk_count = state->disk_count;
        for (unsigned i = 0; i < state->disk_count; i++)
            memcpy(claim->disks[i], state->disks[i].disk, sizeof(claim->disks[i]));
    }
    list_append(&engine->claims, &claim->node);
    free(state);
    return 0;
}

static void load_entry(void *arg, const char *name)
{
    struct loading *loading = arg;

    if (strchr(name, '.') != NULL || strcmp(name, "lost+found") == 0 ||
        strlen(name) >= sizeof(((struct claim *)NULL)->stream))
        return; /* no stream's: the end of a removal, say */
    if (loading->error == 0)
        loading->error = load_one(loading->engine, name);
}

int claims_load(struct engine *engine, struct err *err)
{
    struct loading loading = {.engine = engine};
    char folder[PATH_MAX];
    int error;

    check(snprintf(folder, sizeof(folder), "%s/streams", engine->folder) < (int)sizeof(folder));
    error = io_dir_list(engine->loop, folder, load_entry, &loading);
    if (error == 0)
        error = loading.error;
    return error == 0 ? 0 : err_set(err, error, "%s: %s", folder, err_name(error));
}

void claims_free(struct engine *engine)
{
    struct list *node;

    while ((node = list_pop(&engine->claims)) != NULL)
        free(list_entry(node, struct claim, node));
}

bool claims_have(const struct engine *engine, const char *stream)
{
    return find(engine, stream) != NULL;
}

const char *claims_of_disk(const struct engine *engine, const char *disk)
{
    for (const struct list *node = engine->claims.next; node != &engine->claims;
         node = node->next) {
        const struct claim *claim = list_entry((struct list *)node, struct claim, node);

        for (unsigned i = 0; i < claim->disk_count; i++)
            if (strcmp(claim->disks[i], disk) == 0)
                return claim->stream;
    }
    return NULL;
}

void claims_take(struct engine *engine, struct site_disk *disk)
{
    const char *stream = claims_of_disk(engine, disk->id);

    if (stream == NULL)
        return;
    claims_say(stream, disk->why, sizeof(disk->why));
    disk->may_write = disk->told_may_write = false;
}

void claims_say(const char *stream, char *ret_why, size_t size)
{
    snprintf(ret_why, size,
             "its replication %s is not open, or the records do not know it (an old site.db?)",
             stream);
}

void claims_end(struct engine *engine, const char *stream)
{
    struct claim *claim = find(engine, stream);

    if (claim == NULL)
        return;
    list_remove(&claim->node);
    for (unsigned i = 0; i < claim->disk_count; i++) {
        struct site_disk *disk = engine_find_disk(engine, claim->disks[i]);

        if (disk != NULL)
            engine_judge_disk(engine, disk);
    }
    free(claim);
}

void claims_tell(const struct engine *engine)
{
    char why[2 * sizeof(engine->folder)];

    for (const struct list *node = engine->claims.next; node != &engine->claims;
         node = node->next) {
        const struct claim *claim = list_entry((struct list *)node, const struct claim, node);
        const char *stream = claim->stream;

        snprintf(why, sizeof(why),
                 "%s/streams/%s: this replication was not opened, or the records do not know it "
                 "(an old site.db?): %s",
                 engine->folder, stream,
                 claim->disk_count > 0
                     ? "no host reaches its disks"
                     : "its state cannot be read, so the records alone keep hosts off its disks");
        log_error("engine", "%s", why);
        if (engine->callbacks.found_cb != NULL)
            engine->callbacks.found_cb(engine->callbacks.arg, stream, false, why);
    }
}
