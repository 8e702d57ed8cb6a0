/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim --seeds N [--first K]    runs that many schedules, each in a process of its own
 * sim --seed K [--trace]       runs one, here, and tells its story
 *
 * --older-points: failovers go to older recovery points too (the engine is not yet made for it).
 * Ends with 0 when all were lawful; else prints the seed and what was seen, and ends with 1.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "sim_run.h"

struct totals {
    uint64_t writes, epochs, kills, power_losses, failovers, reprotects, snapshots, virtual_ns;
    char failure[700];
};

static bool run_one(uint64_t seed, bool is_traced, bool picks_points, struct totals *totals)
{
    struct sim_run *run = run_new(seed, is_traced);
    bool is_lawful;

    run->picks_points = picks_points;
    is_lawful = run_go(run);

    totals->writes += run->writes;
    totals->epochs += run->epochs_judged;
    totals->kills += run->kills;
    totals->power_losses += run->power_losses;
    totals->failovers += run->failovers;
    totals->reprotects += run->reprotects;
    totals->snapshots += run->snapshots_judged;
    totals->virtual_ns += sim_now_ns(run->world);
    if (!is_lawful)
        snprintf(totals->failure, sizeof(totals->failure), "%s", run->failure);
    if (is_traced)
        printf("hash %016llx\n", (unsigned long long)sim_hash(run->world));
    run_free(run);
    return is_lawful;
}

/* In a process of its own: an abort tells its seed too. */
static bool run_apart(uint64_t seed, bool picks_points, struct totals *totals)
{
    pid_t child;
    int status = 0;

    fflush(NULL);
    child = fork();
    check(child >= 0);
    if (child == 0) {
        alarm(60);
        _exit(run_one(seed, false, picks_points, totals) ? 0 : 1);
    }
    check(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        snprintf(totals->failure, sizeof(totals->failure), "ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 1)
        snprintf(totals->failure, sizeof(totals->failure), "ended with status %d",
                 WEXITSTATUS(status));
    return false;
}

static int run_many(uint64_t first, uint64_t count, bool goes_on, bool picks_points,
                    struct totals *totals)
{
    struct timespec begin, end;
    uint64_t failed = 0, seed;
    double seconds;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (seed = first; seed < first + count && (goes_on || failed == 0); seed++) {
        if (run_apart(seed, picks_points, totals))
            continue;
        failed++;
        printf("seed %llu: %s\n    replay: sim --seed %llu --trace\n", (unsigned long long)seed,
               totals->failure, (unsigned long long)seed);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%llu schedules, %llu failed, %.1f a second; %llu writes, %llu recovery points judged, "
           "%llu kills, %llu power losses, %llu failovers, %llu reprotects, %llu readings of "
           "snapshots, %llu virtual seconds\n",
           (unsigned long long)(seed - first), (unsigned long long)failed,
           (double)(seed - first) / seconds, (unsigned long long)totals->writes,
           (unsigned long long)totals->epochs, (unsigned long long)totals->kills,
           (unsigned long long)totals->power_losses, (unsigned long long)totals->failovers,
           (unsigned long long)totals->reprotects, (unsigned long long)totals->snapshots,
           (unsigned long long)(totals->virtual_ns / SIM_SECOND));
    return failed ? 1 : 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim --seeds N [--first K] [--keep-going] [--older-points]\n"
                    "       sim --seed K [--trace] [--older-points]\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct totals *totals =
        mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t first = 0, count = 100;
    bool is_single = false, is_traced = false, goes_on = false, picks_points = false;

    check(totals != MAP_FAILED);
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--seeds") == 0 && has_value)
            count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--first") == 0 && has_value)
            first = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && has_value)
            first = strtoull(argv[++i], NULL, 10), is_single = true;
        else if (strcmp(argv[i], "--trace") == 0)
            is_traced = true;
        else if (strcmp(argv[i], "--keep-going") == 0)
            goes_on = true;
        else if (strcmp(argv[i], "--older-points") == 0)
            picks_points = true;
        else
            return usage();
    }
    /* Pages of the simulated disks come and go: keep them. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    log_set_level(is_traced ? LOG_DEBUG : (enum log_level)0);
    if (!is_single)
        return run_many(first, count, goes_on, picks_points, totals);
    if (run_one(first, is_traced, picks_points, totals)) {
        printf("seed %llu: lawful\n", (unsigned long long)first);
        return 0;
    }
    printf("seed %llu: %s\n", (unsigned long long)first, totals->failure);
    return 1;
}
