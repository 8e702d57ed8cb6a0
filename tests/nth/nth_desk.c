/* SPDX-License-Identifier: Apache-2.0 */
/* Why: operations of control are judged by what the API shows, so only the API is asked here. */
#include "nth_desk.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "sim_alloc.h"
#include "sim_client.h"
#include "sim_town.h"
#include "sim_whole.h"

enum { TURN_MS = 50, QUIET_TURNS = 8, REST_SECONDS = 120, TRIES = 60, LOOK_BYTES = 64 << 10 };

struct desk *desk_new(uint64_t seed, bool is_traced)
{
    struct desk *desk = sim_kernel_alloc(sizeof(*desk));
    struct sim_run *run = run_new(seed, is_traced);

    desk->run = run;
    run->settings = (struct engine_settings){
        .interval_ns = 50 * SIM_MS,
        .stash_memory_bytes = 1 << 20,
        .journal_bytes_max = 64 << 20,
        .failover_reserve_bytes = 1 << 30,
        .peer_wait_ns = SIM_SECOND,
    };
    run->dials[0] = run->dials[1] = true;
    run->has_office = true;
    sim_net_latency(run->world, SIM_MS);
    for (unsigned i = 0; i < RUN_NODES; i++)
        sim_disk_latency(run->nodes[i].site, 200 * SIM_US);
    run_make_whole(run);
    return desk;
}

void desk_free(struct desk *desk)
{
    run_free(desk->run);
    sim_kernel_free(desk->reply);
    sim_kernel_free(desk);
}

/* --- time ------------------------------------------------------------------------------------ */

void desk_wait(struct desk *desk, uint64_t duration_ns)
{
    sim_world_run_until(desk->run->world, sim_now_ns(desk->run->world) + duration_ns);
}

static bool is_up(const struct node *node)
{
    return node->engine && node->whole->is_up && node->is_running && !node->is_stopping;
}

bool desk_rests_within(struct desk *desk, unsigned seconds, char ret_unrest[DESK_UNREST_SIZE])
{
    struct sim_run *run = desk->run;
    uint64_t deadline_ns = sim_now_ns(run->world) + seconds * SIM_SECOND;
    unsigned quiet = 0;
    char unrest[RUN_NODES][200] = {"", ""};

    while (!run->has_failed && quiet < QUIET_TURNS) {
        bool is_quiet = true;
        desk_wait(desk, TURN_MS * SIM_MS);
        for (unsigned i = 0; i < RUN_NODES; i++) {
            audit_unrest(&run->nodes[i], unrest[i], sizeof(unrest[i]));
            is_quiet = is_quiet && is_up(&run->nodes[i]) && unrest[i][0] == '\0';
        }
        quiet = is_quiet ? quiet + 1 : 0;
        if (quiet == 0 && sim_now_ns(run->world) > deadline_ns)
            break;
    }
    snprintf(ret_unrest, DESK_UNREST_SIZE, "paris: %s; lyon: %s", unrest[0], unrest[1]);
    return quiet > 0;
}

void desk_rest(struct desk *desk)
{
    char unrest[DESK_UNREST_SIZE];

    if (!desk_rests_within(desk, REST_SECONDS, unrest))
        run_fail(desk->run, NULL, "no rest: %s", unrest);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void answered(void *arg, unsigned status, const char *reply)
{
    struct desk *desk = arg;

    sim_kernel_free(desk->reply);
    desk->status = status;
    desk->reply = sim_kernel_text(reply);
    desk->is_asking = false;
}

static bool has_answer(void *arg)
{
    const struct desk *desk = arg;

    return !desk->is_asking || desk->run->has_failed;
}

unsigned desk_ask(struct desk *desk, const struct script_ask *ask)
{
    struct client_order order = {
        .action = ask->action, .attempts = 1, .done_cb = answered, .arg = desk};

    for (unsigned i = 0; ask->pairs[i]; i++)
        order.pairs[i] =
            ask->pairs[i][0] == '$' ? desk->names[ask->pairs[i][1] - '0'] : ask->pairs[i];
    desk->is_asking = true;
    client_ask(&desk->run->nodes[ask->site], &order);
    if (!sim_world_run_for(desk->run->world, has_answer, desk,
                           sim_now_ns(desk->run->world) + 60 * SIM_SECOND))
        run_fail(desk->run, NULL, "%s: no answer and no end", ask->action);
    return desk->run->has_failed ? 0 : desk->status;
}

/* The first text of that name, at any depth. */
static const char *find_text(json_t *tree, const char *name)
{
    const char *key, *text = json_string_value(json_object_get(tree, name));
    json_t *item;
    size_t index;

    json_object_foreach(tree, key, item)
    {
        if (!text)
            text = find_text(item, name);
    }
    json_array_foreach(tree, index, item)
    {
        if (!text)
            text = find_text(item, name);
    }
    return text;
}

static void keep(struct desk *desk, const struct script_ask *ask)
{
    json_t *tree = json_loads(desk->reply, 0, NULL);
    const char *text = find_text(tree, ask->kept);

    if (!text)
        run_fail(desk->run, NULL, "%s: no %s in %s", ask->action, ask->kept, desk->reply);
    snprintf(desk->names[ask->kept_as], DESK_NAME_SIZE, "%s", text ? text : "");
    json_decref(tree);
}

static bool has_state(struct desk *desk, const struct script_ask *ask)
{
    enum replica_state state;

    return !ask->state || (audit_state(&desk->run->nodes[ask->site], desk->names[2], &state) &&
                           strcmp(replica_state_name(state), ask->state) == 0);
}

void desk_get(struct desk *desk, const struct script_ask *ask)
{
    struct sim_run *run = desk->run;
    unsigned tries = 0, turns = 0;

    while (!run->has_failed && desk_ask(desk, ask) != 200) {
        if (++tries == TRIES)
            run_fail(run, NULL, "%s, asked %u times: %u %.300s", ask->action, tries, desk->status,
                     desk->reply);
        desk_wait(desk, 200 * SIM_MS);
    }
    if (!run->has_failed && ask->kept)
        keep(desk, ask);
    for (; !run->has_failed && !has_state(desk, ask); desk_wait(desk, TURN_MS * SIM_MS))
        if (++turns == REST_SECONDS * 1000 / TURN_MS)
            run_fail(run, NULL, "%s: never %s", ask->action, ask->state);
}

/* --- what they say --------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Not the same in every world. */
static bool is_momentary(const char *name)
{
    static const char *const ends[] = {"Time",     "Date",   "Secret",   "RequestId", "Point",
                                       "TimeUtc",  "Number", "Duration", "Ms",        "Seconds",
                                       "Progress", "Bytes",  "Term",     "NextToken"};

    if (strcmp(name, "SizeBytes") == 0)
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(ends); i++) {
        if (ends_with(name, ends[i]))
            return true;
    }
    return false;
}

static void drop_moments(json_t *tree)
{
    const char *name;
    json_t *item;
    void *next;
    size_t index;

    json_object_foreach_safe(tree, next, name, item)
    {
        if (is_momentary(name))
            json_object_del(tree, name);
        else
            drop_moments(item);
    }
    json_array_foreach(tree, index, item)
    {
        drop_moments(item);
    }
}

enum { IDS_MAX = 32, ID_LETTERS_MIN = 8 };

/* The length of the id that begins here; 0: none does. */
static size_t id_length(const char *at)
{
    static const char *const begins[] = {"d-", "pair-", "pg-", "VERSO"};
    size_t digits = strspn(at, "0123456789");

    if (digits >= 15) /* of a user, a policy */
        return digits;

    for (unsigned i = 0; i < ARRAY_COUNT(begins); i++) {
        size_t length = strlen(begins[i]), letters = 0;
        if (strncmp(at, begins[i], length) != 0)
            continue;
        while (isalnum((unsigned char)at[length + letters]))
            letters++;
        if (letters >= ID_LETTERS_MIN)
            return length + letters;
    }
    return 0;
}

/* Each id becomes its number, by its first place. */
static void number_ids(char *text)
{
    char ids[IDS_MAX][64], *to = text;
    unsigned count = 0, at;
    bool is_inside = false; /* of a word */
    size_t length;

    for (const char *from = text; *from; is_inside = isalnum((unsigned char)from[-1])) {
        length = is_inside ? 0 : id_length(from);
        if (length == 0 || length >= sizeof(ids[0])) {
            *to++ = *from++;
            continue;
        }
        for (at = 0; at < count; at++) {
            if (strncmp(ids[at], from, length) == 0 && ids[at][length] == '\0')
                break;
        }
        if (at == count && count < IDS_MAX)
            snprintf(ids[count++], sizeof(ids[0]), "%.*s", (int)length, from);
        to += sprintf(to, "#%u", at); /* shorter than any id */
        from += length;
    }
    *to = '\0';
}

static char *words_of(const char *reply)
{
    json_t *tree = json_loads(reply, JSON_DECODE_ANY, NULL);
    char *text, *words;

    drop_moments(tree);
    text = json_dumps(tree, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    words = sim_kernel_text(text ? text : "no JSON");
    free(text);
    json_decref(tree);
    return words;
}

char *desk_words(const struct desk *desk)
{
    char *words = words_of(desk->reply);

    number_ids(words);
    return words;
}

char *desk_look(struct desk *desk, const struct script_ask *asks)
{
    char *all = sim_kernel_alloc(LOOK_BYTES);
    size_t length = 0;

    for (; asks->action; asks++) {
        char *words;
        /* What is not there any more says so, and that is an answer. */
        if (desk_ask(desk, asks) != 200 && desk->status != 404) {
            sim_kernel_free(all);
            return NULL;
        }
        words = desk->status == 200 ? words_of(desk->reply) : sim_kernel_text("none");
        length +=
            (size_t)snprintf(all + length, LOOK_BYTES - length, "%s %s\n", asks->action, words);
        check(length < LOOK_BYTES);
        sim_kernel_free(words);
    }
    number_ids(all);
    return all;
}

/* --- ends ------------------------------------------------------------------------------------ */

void desk_stop_both(struct desk *desk)
{
    struct sim_run *run = desk->run;

    for (unsigned i = 0; i < RUN_NODES; i++) {
        struct node *node = &run->nodes[i];
        unsigned life = sim_site_life(node->site), turns = 0;

        while (!run->has_failed && (sim_site_life(node->site) == life || !is_up(node))) {
            if (sim_site_life(node->site) == life)
                operator_stop(node);
            desk_wait(desk, TURN_MS * SIM_MS);
            if (++turns == REST_SECONDS * 1000 / TURN_MS)
                run_fail(run, node, "a clean stop does not end");
        }
    }
}

void desk_lose_power(struct desk *desk)
{
    for (unsigned i = 0; i < RUN_NODES; i++)
        operator_lose(&desk->run->nodes[i], true);
}
