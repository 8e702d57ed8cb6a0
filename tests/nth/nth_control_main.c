/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nth-control [--scenario S] [--every J [--phase P]]  each operation of control, every n-th call
 * nth-control --scenario S --point N --variant V [--trace]     one of them again, as a story
 *
 * Two whole sites are asked for one operation; each call of a site that can fail fails, as in
 * nth-engine. Wanted is nothing half done:
 *
 *   an answer 200     is that of the clean run, and both sites come to show what they show after it
 *                     (what goes on behind it may fail, and say so)
 *   any other, none   they show what was before or what is after; then the same, asked again, is
 *                     granted, unless it is done
 *   always            control comes to rest without a restart, but for a site that says that it
 *                     wants one; after a power loss of both sites all
 *                     is still shown; records, streams and files agree; a clean stop leaves nothing
 */
#include <stdio.h>
#include <string.h>

#include "nth_desk.h"
#include "nth_faults.h"
#include "nth_operations.h"
#include "sim_alloc.h"
#include "sim_town.h"

enum { LOOKS = 120, TRIES = 40 };

/* A killed site's memory vanishes, but for what OpenSSL took for it: that stays, on its own heap.
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_options(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:CRYPTO_malloc\nleak:CRYPTO_zalloc\n";
}

const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}

struct trial {
    struct nth_faults faults;
    const struct nth_operation *operation;
    struct desk *desk;
    bool is_counted;
    char *reply, *before, *after; /* of the clean run, in words; before it NULL */
};

/* --- faults ---------------------------------------------------------------------------------- */

static struct node *node_of(struct trial *trial, const struct sim_site *site)
{
    struct sim_run *run = trial->desk->run;

    return &run->nodes[run->nodes[0].site == site ? 0 : 1];
}

static bool counts(void *arg)
{
    return ((struct trial *)arg)->is_counted;
}

static void begun(void *arg)
{
    struct trial *trial = arg;

    node_of(trial, trial->faults.site)->may_fail = true;
}

static void died(void *arg, struct sim_site *site)
{
    struct node *node = node_of(arg, site);

    node->may_fail = false;
    node_died(node, false);
}

static void born(void *arg, struct sim_site *site)
{
    struct trial *trial = arg;

    if (trial->faults.is_on && site == trial->faults.site)
        node_of(trial, site)->may_fail = true;
}

/* --- judging --------------------------------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void fail_look(struct trial *trial, const char *when, const char *look, const char *wanted)
{
    size_t at = 0;

    while (look && look[at] && look[at] == wanted[at])
        at++;
    at = at > 60 ? at - 60 : 0;
    run_fail(trial->desk->run, NULL, "%s: shown ...%.220s, wanted ...%.220s", when,
             look ? look + at : "nothing", wanted + at);
}

enum shown { SHOWN_AFTER = 1, SHOWN_BEFORE = 2, SHOWN_FAILED = 4, SHOWN_ANY = 7 };

static enum shown judge_look(const struct trial *trial, const char *look)
{
    const char *failed = trial->operation->failed;

    if (is_same(look, trial->after))
        return SHOWN_AFTER;
    if (is_same(look, trial->before))
        return SHOWN_BEFORE;
    return look && failed && strstr(look, failed) ? SHOWN_FAILED : 0;
}

/* As an operator does with a site that asks for it; a disk whose half made file could not be taken
 * away stays Creating until then, and one whose store failed in the middle ReIniting. */
static void restart_in_trouble(struct trial *trial, const char *unrest)
{
    struct nth_faults *faults = &trial->faults;
    struct node *node = faults->site ? node_of(trial, faults->site) : NULL;
    char trouble[300];

    if (!node)
        return;
    audit_trouble(node, trouble, sizeof(trouble));
    if (strstr(unrest, "Creating"))
        snprintf(trouble, sizeof(trouble), "a disk that is left");
    if (strstr(unrest, "ReIniting") && faults->variant > NTH_ALLOCATIONS)
        snprintf(trouble, sizeof(trouble), "a disk whose store is fenced");
    if (!nth_wants_restart(trouble))
        return;
    if (faults->note[0] == '\0')
        snprintf(faults->note, sizeof(faults->note), "restarted: %.200s", trouble);
    node->may_fail = false;
    operator_lose(node, false);
}

static void rest(struct trial *trial)
{
    char unrest[DESK_UNREST_SIZE];

    if (desk_rests_within(trial->desk, 15, unrest))
        return;
    restart_in_trouble(trial, unrest);
    desk_rest(trial->desk);
}

/* One of those in `wanted` is shown, soon; which. */
static enum shown look_until(struct trial *trial, const char *when, enum shown wanted)
{
    struct desk *desk = trial->desk;
    enum shown shown = 0;

    for (unsigned i = 0; i < LOOKS && shown == 0 && !desk->run->has_failed; i++) {
        char *look;
        if (i > 0)
            desk_wait(desk, 500 * SIM_MS);
        if (i == LOOKS / 4)
            restart_in_trouble(trial, "");
        look = desk_look(desk, trial->operation->looks);
        shown = judge_look(trial, look) & wanted;
        if (i + 1 == LOOKS && shown == 0)
            fail_look(trial, when, look, trial->after);
        sim_kernel_free(look);
    }
    return shown;
}

/* It was not granted, though nothing fails any more. */
static void ask_again(struct trial *trial)
{
    struct desk *desk = trial->desk;

    for (unsigned i = 0; i < TRIES && !desk->run->has_failed; i++) {
        desk_ask(desk, &trial->operation->ask);
        rest(trial);
        if (look_until(trial, "behind a refusal", SHOWN_ANY) == SHOWN_AFTER)
            return;
        restart_in_trouble(trial, "");
        rest(trial);
    }
    run_fail(desk->run, NULL, "asked again %u times, at last: %u %.300s", TRIES, desk->status,
             desk->reply);
}

static void judge_reply(struct trial *trial)
{
    char *words = desk_words(trial->desk);

    if (!is_same(words, trial->reply))
        fail_look(trial, "the answer", words, trial->reply);
    sim_kernel_free(words);
}

/* --- a run ----------------------------------------------------------------------------------- */

static void set_link(struct trial *trial, enum sim_net state)
{
    struct sim_run *run = trial->desk->run;

    sim_net_set(run->world, run->nodes[0].site, run->nodes[1].site, state);
}

static void prepare(struct trial *trial)
{
    const struct nth_operation *operation = trial->operation;
    struct desk *desk = trial->desk;

    for (unsigned i = 0; i < RUN_NODES; i++)
        node_boot(&desk->run->nodes[i]);
    desk_rest(desk);
    if (operation->is_apart)
        set_link(trial, SIM_NET_CUT);
    for (unsigned i = 0; i < NTH_BEFORE_MAX && operation->before[i].action; i++)
        desk_get(desk, &operation->before[i]);
    desk_wait(desk, operation->wait_s * SIM_SECOND);
    if (!operation->is_apart)
        desk_rest(desk);
}

/* Counted: the operation, and what goes on behind it. Returns its status. */
static unsigned operate(struct trial *trial)
{
    const struct nth_operation *operation = trial->operation;
    struct desk *desk = trial->desk;
    unsigned status = 200;

    trial->is_counted = true;
    if (operation->is_apart)
        set_link(trial, SIM_NET_OK);
    else if (operation->is_start)
        operator_lose(&desk->run->nodes[0], false);
    else
        status = desk_ask(desk, &operation->ask);
    if (!trial->reply && operation->ask.action) /* the clean run */
        trial->reply = desk_words(desk);
    else if (status == 200 && operation->ask.action)
        judge_reply(trial);
    rest(trial);
    trial->is_counted = false;
    nth_faults_calm(&trial->faults);
    return status;
}

static void play(struct trial *trial)
{
    struct desk *desk = trial->desk;
    struct sim_run *run = desk->run;
    bool is_clean = !trial->after;
    enum shown shown;
    unsigned status;
    char *before;

    prepare(trial);
    before = desk_look(desk, trial->operation->looks);
    if (is_clean)
        trial->before = before;
    else if (!is_same(before, trial->before))
        fail_look(trial, "before", before, trial->before);
    status = operate(trial);
    if (is_clean) { /* nothing is asked of the end of this one */
        if (status != 200)
            run_fail(run, NULL, "the clean run: %u %.200s", status, desk->reply);
        trial->after = desk_look(desk, trial->operation->looks);
        if (!trial->before || !trial->after)
            run_fail(run, NULL, "the clean run: it cannot be shown: %.200s", desk->reply);
        return;
    }
    sim_kernel_free(before);
    shown = look_until(trial, "afterwards", status == 200 ? SHOWN_AFTER | SHOWN_FAILED : SHOWN_ANY);
    if (shown != SHOWN_AFTER && !run->has_failed)
        ask_again(trial);
    desk_lose_power(desk);
    desk_rest(desk);
    look_until(trial, "after a power loss", SHOWN_AFTER);
    if (!run->has_failed && !trial->operation->is_one_sided)
        audit_both(run);
    desk_stop_both(desk);
}

static void begin(struct trial *trial, const struct sim_options *options, bool is_traced)
{
    trial->desk = desk_new(options->seed, is_traced);
    trial->faults = (struct nth_faults){
        .world = trial->desk->run->world,
        .sites = {trial->desk->run->nodes[0].site, trial->desk->run->nodes[1].site},
        .counts_cb = counts,
        .begun_cb = begun,
        .born_cb = born,
        .died_cb = died,
        .arg = trial,
    };
    nth_faults_init(&trial->faults, options);
}

static void end(struct trial *trial)
{
    desk_free(trial->desk);
    nth_faults_fini(&trial->faults);
}

/* First without faults, for what is before and after; then with them. */
static bool try_operation(const struct sim_options *options, const struct nth_operation *operation,
                          uint64_t *ret_runs)
{
    struct trial *trial = sim_kernel_alloc(sizeof(*trial));
    struct nth_faults *faults = &trial->faults;
    struct sim_run *run;
    bool is_lawful;

    trial->operation = operation;
    begin(trial, options, false);
    play(trial);
    run = trial->desk->run;
    if (run->has_failed) {
        printf("%-18s FAILED without a fault: %s\n", operation->name, run->failure);
        end(trial);
        return false;
    }
    end(trial);
    begin(trial, options, options->is_traced);
    run = trial->desk->run;
    nth_faults_begin(faults);
    play(trial);
    nth_faults_end(faults);
    nth_faults_judge(faults, run->has_failed ? run->failure : NULL);
    nth_faults_say(faults, "nth-control", operation->name, operation->about);
    *ret_runs += branches_count(faults->branches);
    is_lawful = faults->failures == 0;
    end(trial);
    sim_kernel_free(trial->reply);
    sim_kernel_free(trial->before);
    sim_kernel_free(trial->after);
    sim_kernel_free(trial);
    return is_lawful;
}

int main(int argc, char **argv)
{
    struct sim_options options;
    uint64_t runs = 0;
    unsigned count = 0;
    bool is_lawful = true;

    if (!sim_options_parse(argc, argv, "--point", NTH_VARIANTS, &options))
        return 2;
    sim_options_settle(&options);
    for (const struct nth_operation *operation = nth_operations(); operation->name; operation++) {
        if (options.scenario && strcmp(options.scenario, operation->name) != 0)
            continue;
        count++;
        is_lawful = try_operation(&options, operation, &runs) && is_lawful;
    }
    return count == 0 ? sim_options_unknown(&options) : sim_options_end(&options, runs, is_lawful);
}
