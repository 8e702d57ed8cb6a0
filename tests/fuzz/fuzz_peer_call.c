/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the peer's control wing says: calls over the link, to a whole control wing on a pretended
 * data wing (tests/unit/control/fake_world.h). Input: JSON calls, one a line. The peer has the
 * number "0123456789abcdef" of a call that it passed on, and consents to it, so forwards are done.
 *
 * Checked: each call is answered once, in the form of an answer; what made no sense changed no
 * record; the site still answers its own clients; nothing is left behind when it stops.
 *
 * The world is used again for as long as its records are those of a fresh one, so an input does the
 * same in whatever order it comes.
 *
 * Covers: control/peer.c control/services.c control/consent.c control/spent.c access/caller.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/consent.h"
#include "control/tree.h"
#include "fuzz.h"
#include "unit/control/fake_world.h"

enum { CALLS_MAX = 8, USES_MAX = 200, SLOT = 15 };

#define SECOND UINT64_C(1000000000)

struct bench {
    struct fake_world *world;
    unsigned uses, fresh[RECORD_KIND_COUNT];
    struct operation operation; /* of the call that paris passed on */
    struct call call;
    struct consent consent;
    unsigned answers;
};

static enum api_error take_nonce(void *arg, const char *key_id, const char *nonce, int64_t time_s)
{
    check(key_id[0] && strlen(key_id) < RECORD_WORD_SIZE);
    check(nonce[0] && strlen(nonce) < CALLER_NONCE_SIZE);
    return time_s % 2 == 0 ? API_OK : API_NONCE_USED;
}

static void count(const struct bench *bench, unsigned ret_counts[RECORD_KIND_COUNT])
{
    for (unsigned i = 0; i < RECORD_KIND_COUNT; i++) {
        struct meta_query query = {.kind = (enum record_kind)i};

        check(meta_count(bench->world->sites[LYON].meta, &query, &ret_counts[i]) == 0);
    }
}

static void begin(struct bench *bench)
{
    struct site *paris, *lyon;

    memset(bench, 0, sizeof(*bench));
    bench->world = fake_world_new(false);
    paris = control_site(bench->world->sites[PARIS].control);
    lyon = control_site(bench->world->sites[LYON].control);
    lyon->take_nonce_cb = take_nonce;
    bench->operation.name = "StopDiskReplicaPair";
    bench->call.magic = CALL_MAGIC;
    bench->call.site = paris;
    bench->call.operation = &bench->operation;
    fake_run(bench->world, SECOND);
    count(bench, bench->fresh);
}

static struct bench *bench_of_process(void)
{
    static struct bench bench;

    return &bench;
}

static void end(struct bench *bench)
{
    if (bench->world) /* its files lie in a folder of its own */
        fake_world_free(bench->world);
    bench->world = NULL;
}

static void end_process(void)
{
    end(bench_of_process());
}

static void answered(struct data_request *request)
{
    json_t *tree = json_loadb(request->reply, request->reply_length, 0, NULL);
    int64_t status = tree_int(tree, "status", 0);

    check(tree_int(tree, "v", 0) == 1 && status >= 200 && status <= 599);
    check(status == 200 ? json_is_object(json_object_get(tree, "reply"))
                        : json_is_string(json_object_get(tree, "code")));
    json_decref(tree);
    free(request->reply);
    ((struct bench *)request->arg)->answers++;
}

static void ask(struct bench *bench, const uint8_t *bytes, size_t length)
{
    struct fake_world *world = bench->world;
    struct data_request request = {.done_cb = answered, .arg = bench};
    struct data_event event = {
        .kind = DATA_EVENT_CALL, .name = "paris", .bytes = bytes, .length = (uint32_t)length};
    unsigned before = bench->answers;

    event.call = ++world->call_number;
    world->sites[PARIS].calls[SLOT] = (struct fake_call){.request = &request, .number = event.call};
    control_event(world->sites[LYON].control, &event);
    for (unsigned i = 0; i < 30 && bench->answers == before; i++)
        fake_run(world, i == 0 ? 0 : SECOND);
    check(bench->answers == before + 1);
}

static void describe(struct bench *bench)
{
    unsigned status = 0;
    json_t *reply =
        fake_ask(bench->world, LYON, "DescribeDiskReplicaPairs", "RegionId=cn-lyon", &status);

    check(reply && status == 200);
    json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static bool is_begun;
    struct bench *bench = bench_of_process();
    unsigned now[RECORD_KIND_COUNT], calls = 0;

    if (!is_begun)
        check(atexit(end_process) == 0);
    is_begun = true;
    if (!bench->world)
        begin(bench);
    consent_open(&bench->consent, &bench->call, "lyon", 3600 * SECOND);
    strcpy(bench->consent.number, "0123456789abcdef");
    for (const uint8_t *at = bytes, *stop = bytes + length; at < stop && calls < CALLS_MAX;
         calls++) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(stop - at));
        size_t line = (size_t)((line_end ? line_end : stop) - at);
        uint8_t *copy = fuzz_copy(at, line);

        ask(bench, copy, line);
        free(copy);
        at += line + 1;
    }
    consent_close(&bench->consent);
    describe(bench);
    count(bench, now);
    if (memcmp(now, bench->fresh, sizeof(now)) != 0 || ++bench->uses == USES_MAX)
        end(bench);
    return 0;
}
