/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers, totals, and what is done about a failure: it is cut down to the shortest prefix that
 * still fails, each attempt in a process of its own.
 *
 * The hash over all seeds does not depend on the order in which workers end them.
 */
#include "sim_batch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "sim_pieces.h"
#include "sim_registrar.h"
#include "sim_run.h"
#include "sim_whole.h"

enum {
    STORY_LINES = 24,
    STORY_LINE_SIZE = 200,
    PREFIX_SECONDS = 60,
    JOBS_MAX = 64,
    SEEDS_PER_WORKER = 500,
    SEED_SECONDS = 60
};

struct worker {
    pid_t pid;     /* 0: none; only the parent's to write */
    uint64_t seed; /* under way */
    struct figures figures;
    char failure[700];
};

/* Shared by all processes. */
struct batch {
    struct batch_options options;
    uint64_t next; /* seed, counted from options.first */
    bool is_stopped;
    struct worker workers[JOBS_MAX + 1]; /* the last one is for probes */
};

static uint64_t mix(uint64_t seed, uint64_t hash)
{
    uint64_t z = hash ^ seed * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A plant is put into engines, or into control. */
static bool is_whole(const struct batch_options *options, uint64_t seed)
{
    if (options->plant >= PLANT_WHOLE)
        return true;
    return options->sites || (!options->engines && options->plant == PLANT_NONE && seed % 3 == 0);
}

static bool go(const struct batch_options *options, uint64_t seed, bool is_second,
               struct worker *worker, struct figures *ret_figures)
{
    struct sim_run *run = run_new(seed, options->is_traced);
    bool is_lawful;

    run->picks_points = options->picks_points || seed % 4 == 0;
    run->kernel_goes_on = options->kernel_goes_on || seed % 5 == 1;
    run->actions_max = options->actions_max;
    if (options->plant == PLANT_NONE)
        run_choose_pieces(run, options->in_pieces);
    run->plant = (enum plant)options->plant;
    if (run->plant == PLANT_DISCARD) /* there must be something in it */
        run->settings.retain_ns = 60 * SIM_SECOND, run->settings.retain_bytes = 1 << 30;
    if (is_second && run->plant == PLANT_I17)
        sim_random(run->world);
    if (is_whole(options, seed)) {
        run_choose_registrar(run);
        run_make_whole(run);
    }
    is_lawful = run_go(run);
    *ret_figures = run->figures;
    ret_figures->hash = sim_hash(run->world);
    ret_figures->virtual_ns = sim_now_ns(run->world);
    if (!is_lawful)
        snprintf(worker->failure, sizeof(worker->failure), "%s", run->failure);
    run_free(run);
    return is_lawful;
}

/* Runs one seed in this process and adds it up. */
static bool go_checked(const struct batch_options *options, uint64_t seed, struct worker *worker)
{
    struct figures figures, again;
    bool is_lawful = go(options, seed, false, worker, &figures);

    if (is_lawful && options->runs_twice && go(options, seed, true, worker, &again) &&
        again.hash != figures.hash) {
        snprintf(worker->failure, sizeof(worker->failure),
                 "I17: two runs differ: hash %016llx, then %016llx",
                 (unsigned long long)figures.hash, (unsigned long long)again.hash);
        is_lawful = false;
    }
    figures.hash = mix(seed, figures.hash);
    figures_add(&worker->figures, &figures);
    return is_lawful;
}

static void work(struct batch *batch, struct worker *worker)
{
    for (unsigned i = 0; i < SEEDS_PER_WORKER && !batch->is_stopped; i++) {
        uint64_t index = __atomic_fetch_add(&batch->next, 1, __ATOMIC_RELAXED);
        if (index >= batch->options.count)
            break;
        worker->seed = batch->options.first + index;
        alarm(SEED_SECONDS);
        if (!go_checked(&batch->options, worker->seed, worker))
            _exit(1);
    }
    _exit(0);
}

static pid_t fork_quietly(void)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    check(child >= 0);
    return child;
}

/* How a worker ended: true when its seed was lawful; else worker->failure says why not. */
static bool take_status(struct worker *worker, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        snprintf(worker->failure, sizeof(worker->failure), "ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 1)
        snprintf(worker->failure, sizeof(worker->failure), "ended with status %d",
                 WEXITSTATUS(status));
    return false;
}

/* --- the shortest prefix --------------------------------------------------------------------- */

/* Does the seed fail with that many actions? Then worker->failure says how. Its story goes to
 * `story`, NULL: nowhere. */
static bool fails(struct worker *worker, const struct batch_options *options, uint64_t seed,
                  uint64_t actions_max, FILE *story)
{
    struct batch_options probe = *options;
    pid_t child;
    int status;

    probe.actions_max = actions_max;
    probe.is_traced = story != NULL;
    child = fork_quietly();
    if (child == 0) {
        if (story)
            check(dup2(fileno(story), STDOUT_FILENO) >= 0);
        check(freopen("/dev/null", "w", stderr));
        alarm(SEED_SECONDS);
        _exit(go_checked(&probe, seed, worker) ? 0 : 1);
    }
    check(waitpid(child, &status, 0) == child);
    return !take_status(worker, status);
}

/* The last lines of a story. */
static void print_end(FILE *story)
{
    char lines[STORY_LINES][STORY_LINE_SIZE];
    unsigned count = 0;

    rewind(story);
    while (fgets(lines[count % STORY_LINES], STORY_LINE_SIZE, story))
        count += lines[count % STORY_LINES][0] == '[';
    for (unsigned i = count > STORY_LINES ? count - STORY_LINES : 0; i < count; i++)
        printf("    %s%s", lines[i % STORY_LINES],
               strchr(lines[i % STORY_LINES], '\n') ? "" : "\n");
}

static void tell_story(struct batch *batch, uint64_t seed, uint64_t actions)
{
    struct worker *probe = &batch->workers[JOBS_MAX];
    FILE *story = tmpfile();

    if (!story)
        return;
    fails(probe, &batch->options, seed, actions, story);
    print_end(story);
    fclose(story);
}

/* Fewer actions make another schedule, so "fails" need not be monotonic: this finds a number that
 * fails where one less does not, or the best of a minute. 0: it does not fail again. */
static uint64_t find_prefix(struct batch *batch, uint64_t seed)
{
    struct worker *probe = &batch->workers[JOBS_MAX];
    time_t deadline = time(NULL) + PREFIX_SECONDS;
    uint64_t low = 0, high;

    if (!fails(probe, &batch->options, seed, batch->options.actions_max, NULL))
        return 0;
    /* An aborted run does not tell how far it came: doubling finds it. */
    for (high = 1; !fails(probe, &batch->options, seed, high, NULL); high *= 2) {
        low = high;
        if (high > 1u << 24 || time(NULL) > deadline)
            return 0;
    }
    while (high - low > 1 && time(NULL) <= deadline) {
        uint64_t middle = low + (high - low) / 2;
        if (fails(probe, &batch->options, seed, middle, NULL))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static void tell(struct batch *batch, struct worker *worker)
{
    struct worker *probe = &batch->workers[JOBS_MAX];
    uint64_t seed = worker->seed, prefix;
    const struct batch_options *options = &batch->options;
    char mode[80];

    snprintf(mode, sizeof(mode), "%s%s%s%s",
             options->sites     ? " --sites"
             : options->engines ? " --engines"
                                : "",
             options->picks_points ? " --older-points" : "",
             options->kernel_goes_on ? " --kernel-goes-on" : "",
             options->in_pieces ? " --small-pieces" : "");
    printf("seed %llu: %s\n    replay: sim --seed %llu --trace%s\n", (unsigned long long)seed,
           worker->failure, (unsigned long long)seed, mode);
    fflush(stdout);
    prefix = find_prefix(batch, seed);
    if (prefix == 0) {
        printf("    it does not fail alone, or no prefix was found in time\n");
        return;
    }
    fails(probe, &batch->options, seed, prefix, NULL);
    printf("    shortest: sim --seed %llu --actions %llu --trace%s: %s\n", (unsigned long long)seed,
           (unsigned long long)prefix, mode, probe->failure);
    tell_story(batch, seed, prefix);
}

/* --- the batch -------------------------------------------------------------------------------- */

static bool has_more(const struct batch *batch)
{
    return !batch->is_stopped && batch->next < batch->options.count;
}

static void start(struct batch *batch, struct worker *worker)
{
    pid_t child = fork_quietly();

    if (child == 0)
        work(batch, worker);
    worker->pid = child;
}

/* Waits for the end of one; returns how many failures that was. */
static unsigned reap(struct batch *batch)
{
    int status;
    pid_t child = waitpid(-1, &status, 0);
    unsigned failed = 0;

    check(child > 0);
    for (unsigned i = 0; i < batch->options.jobs; i++) {
        struct worker *worker = &batch->workers[i];
        if (worker->pid != child)
            continue;
        worker->pid = 0;
        if (!take_status(worker, status)) {
            failed = 1;
            batch->is_stopped = batch->is_stopped || !batch->options.goes_on;
            tell(batch, worker);
        }
        if (has_more(batch))
            start(batch, worker);
    }
    return failed;
}

static bool is_working(const struct batch *batch)
{
    for (unsigned i = 0; i < batch->options.jobs; i++) {
        if (batch->workers[i].pid != 0)
            return true;
    }
    return false;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* Returns how many schedules came to their end. */
static uint64_t say_figures(const struct batch *batch, unsigned failed, double seconds)
{
    struct figures sum = {0};
    struct rusage usage;
    double processor;

    for (unsigned i = 0; i < batch->options.jobs; i++)
        figures_add(&sum, &batch->workers[i].figures);
    check(getrusage(RUSAGE_CHILDREN, &usage) == 0);
    processor = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    printf("%llu schedules, %u failed, %.1f a second, %.1f a second of one core; ",
           (unsigned long long)sum.schedules, failed, (double)sum.schedules / seconds,
           (double)sum.schedules / processor);
    figures_print(&sum);
    printf("hash over all %016llx\n", (unsigned long long)sum.hash);
    return sum.schedules;
}

static struct batch *batch_new(const struct batch_options *options)
{
    struct batch *batch =
        mmap(NULL, sizeof(*batch), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    check(batch != MAP_FAILED);
    batch->options = *options;
    if (batch->options.jobs < 1)
        batch->options.jobs = 1;
    if (batch->options.jobs > JOBS_MAX)
        batch->options.jobs = JOBS_MAX;
    return batch;
}

int batch_run(const struct batch_options *options)
{
    struct batch *batch = batch_new(options);
    struct timespec begin, end;
    unsigned failed = 0;
    uint64_t ended;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < batch->options.jobs; i++)
        start(batch, &batch->workers[i]);
    while (is_working(batch))
        failed += reap(batch);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ended = say_figures(batch, failed,
                        (double)(end.tv_sec - begin.tv_sec) +
                            (double)(end.tv_nsec - begin.tv_nsec) / 1e9);
    munmap(batch, sizeof(*batch));
    if (failed == 0 && (ended == 0 || ended != options->count)) {
        printf("only %llu of %llu schedules came to their end\n", (unsigned long long)ended,
               (unsigned long long)options->count);
        return 1;
    }
    return failed ? 1 : 0;
}

/* The first seed whose schedule shows it; false: none. */
static bool plant_is_seen(struct batch *batch, enum plant plant)
{
    struct worker *probe = &batch->workers[JOBS_MAX];
    struct batch_options options = batch->options;

    options.plant = plant;
    options.runs_twice = plant == PLANT_I17;
    for (uint64_t seed = options.first; seed < options.first + options.count; seed++) {
        probe->failure[0] = '\0';
        if (!fails(probe, &options, seed, 0, NULL) || !plant_is_heard(plant, probe->failure))
            continue;
        printf("%-9s seed %llu: %s\n", plant_name(plant), (unsigned long long)seed, probe->failure);
        return true;
    }
    printf("%-9s NOT SEEN in %llu schedules\n", plant_name(plant),
           (unsigned long long)options.count);
    return false;
}

int batch_run_plants(const struct batch_options *options)
{
    struct batch *batch = batch_new(options);
    bool are_seen = true;

    for (unsigned plant = options->sites ? PLANT_WHOLE : PLANT_NONE + 1; plant < PLANT_COUNT;
         plant++)
        are_seen = plant_is_seen(batch, (enum plant)plant) && are_seen;
    munmap(batch, sizeof(*batch));
    return are_seen ? 0 : 1;
}

int batch_run_one(const struct batch_options *options)
{
    struct worker worker = {0};
    bool is_lawful = go_checked(options, options->first, &worker);

    figures_print(&worker.figures);
    if (is_lawful)
        printf("seed %llu: lawful, hash %016llx\n", (unsigned long long)options->first,
               (unsigned long long)worker.figures.hash);
    else
        printf("seed %llu: %s\n", (unsigned long long)options->first, worker.failure);
    return is_lawful ? 0 : 1;
}
