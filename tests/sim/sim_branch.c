/* SPDX-License-Identifier: Apache-2.0 */
/* The children of a run. What they say goes through memory that is shared, and a file for what they
 * write to standard error. */
#include "sim_branch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "sim_alloc.h"

enum { JOBS_MAX = 8, FAILURE_SIZE = 700, CHILD_SECONDS = 120 };

struct job {
    pid_t pid; /* 0: free */
    uint64_t point;
    unsigned variant;
    int words; /* a file: its standard error */
};

struct branches {
    struct job jobs[JOBS_MAX];
    unsigned job_count, slot; /* slot: the child's own */
    char (*failures)[FAILURE_SIZE];
    uint64_t count;
    void (*ended_cb)(void *arg, uint64_t point, unsigned variant, enum branch_end end,
                     const char *why);
    void *arg;
};

struct branches *branches_new(unsigned jobs,
                              void (*ended_cb)(void *arg, uint64_t point, unsigned variant,
                                               enum branch_end end, const char *why),
                              void *arg)
{
    struct branches *branches = sim_kernel_alloc(sizeof(*branches));

    check(jobs > 0 && jobs <= JOBS_MAX);
    branches->job_count = jobs;
    branches->ended_cb = ended_cb;
    branches->arg = arg;
    branches->failures = mmap(NULL, JOBS_MAX * FAILURE_SIZE, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(branches->failures != MAP_FAILED);
    for (unsigned i = 0; i < jobs; i++) {
        branches->jobs[i].words = memfd_create("words", MFD_CLOEXEC);
        check(branches->jobs[i].words >= 0);
    }
    return branches;
}

void branches_free(struct branches *branches)
{
    branches_wait(branches);
    for (unsigned i = 0; i < branches->job_count; i++)
        close(branches->jobs[i].words);
    munmap(branches->failures, JOBS_MAX * FAILURE_SIZE);
    sim_kernel_free(branches);
}

/* The last line of note on a child's standard error: of a check that failed, of a sanitizer. */
static void last_words(const struct job *job, char *words, size_t size)
{
    static const char *const marks[] = {"check failed", "ERROR: ", "runtime error"};
    char text[8192];
    ssize_t length = pread(job->words, text, sizeof(text) - 1, 0);
    const char *line = NULL;

    words[0] = '\0';
    if (length <= 0)
        return;
    text[length] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(marks) && !line; i++)
        line = strstr(text, marks[i]);
    if (!line)
        return;
    while (line > text && line[-1] != '\n')
        line--;
    snprintf(words, size, "%.*s", (int)strcspn(line, "\n"), line);
}

static void tell(struct branches *branches, const struct job *job, int status)
{
    const char *said = branches->failures[job - branches->jobs];
    char words[400], why[FAILURE_SIZE];
    enum branch_end end = BRANCH_DIED;

    if (WIFEXITED(status) && WEXITSTATUS(status) <= BRANCH_FAILED) {
        end = (enum branch_end)WEXITSTATUS(status);
        if (end == BRANCH_FAILED || said[0] != '\0')
            branches->ended_cb(branches->arg, job->point, job->variant, end, said);
        return;
    }
    last_words(job, words, sizeof(words));
    if (WIFSIGNALED(status))
        snprintf(why, sizeof(why), "signal %d (%s) %s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), words);
    else
        snprintf(why, sizeof(why), "status %d %s", WEXITSTATUS(status), words);
    branches->ended_cb(branches->arg, job->point, job->variant, end, why);
}

static void reap(struct branches *branches)
{
    int status = 0;
    pid_t pid = wait(&status);

    check(pid > 0);
    for (unsigned i = 0; i < branches->job_count; i++) {
        struct job *job = &branches->jobs[i];
        if (job->pid != pid)
            continue;
        job->pid = 0;
        tell(branches, job, status);
        return;
    }
    check(!"a child of ours");
}

static unsigned free_slot(struct branches *branches)
{
    for (;;) {
        for (unsigned i = 0; i < branches->job_count; i++) {
            if (branches->jobs[i].pid == 0)
                return i;
        }
        reap(branches);
    }
}

bool branches_fork(struct branches *branches, uint64_t point, unsigned variant)
{
    unsigned slot = free_slot(branches);
    struct job *job = &branches->jobs[slot];

    branches->count++;
    branches->failures[slot][0] = '\0';
    check(ftruncate(job->words, 0) == 0);
    fflush(NULL);
    job->point = point;
    job->variant = variant;
    job->pid = fork();
    check(job->pid >= 0);
    if (job->pid > 0)
        return false;
    alarm(CHILD_SECONDS);
    branches->slot = slot;
    check(lseek(job->words, 0, SEEK_SET) == 0 && dup2(job->words, STDERR_FILENO) >= 0);
    return true;
}

void branches_end(struct branches *branches, enum branch_end end, const char *why)
{
    if (why)
        snprintf(branches->failures[branches->slot], FAILURE_SIZE, "%s", why);
    _exit(end);
}

void branches_wait(struct branches *branches)
{
    for (unsigned i = 0; i < branches->job_count; i++) {
        while (branches->jobs[i].pid != 0)
            reap(branches);
    }
}

uint64_t branches_count(const struct branches *branches)
{
    return branches->count;
}
