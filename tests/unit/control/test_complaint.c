/* SPDX-License-Identifier: Apache-2.0 */
/* A full disk is told at once, with counts from then on, and its end; nothing else is lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/complaint.h"

#define SECOND UINT64_C(1000000000)

struct fixture {
    struct complaint complaint;
    uint64_t now_ns;
    int pipe[2], before;
};

/* What is logged until ended() goes to a pipe. */
static void begun(struct fixture *fixture)
{
    fixture->before = dup(STDERR_FILENO);
    assert_int_equal(pipe(fixture->pipe), 0);
    dup2(fixture->pipe[1], STDERR_FILENO);
}

static void ended(struct fixture *fixture, const char *lines)
{
    static char got[8000];
    ssize_t length;

    dup2(fixture->before, STDERR_FILENO);
    close(fixture->before);
    close(fixture->pipe[1]);
    length = read(fixture->pipe[0], got, sizeof(got) - 1);
    close(fixture->pipe[0]);
    assert_true(length >= 0);
    got[length] = 0;
    assert_string_equal(got, lines);
}

static void setup(struct fixture *fixture)
{
    *fixture = (struct fixture){.now_ns = 100 * SECOND};
    complaint_init(&fixture->complaint);
}

static void failed(struct fixture *fixture, const char *text)
{
    struct err err;

    err_set(&err, -ENOSPC, "%s", text);
    complaint_failed(&fixture->complaint, fixture->now_ns, &err);
}

/* 100 a second for 25 s, and a small change between them that finds room. */
static void test_a_full_disk(void **state)
{
    struct fixture fixture;

    setup(&fixture);
    begun(&fixture);
    complaint_stored(&fixture.complaint, fixture.now_ns);
    for (int i = 0; i < 2500; i++) {
        failed(&fixture, "full");
        complaint_call(&fixture.complaint, fixture.now_ns, "CreateDisk", "full");
        complaint_stored(&fixture.complaint, fixture.now_ns);
        fixture.now_ns += SECOND / 100;
    }
    fixture.now_ns += 9 * SECOND;
    complaint_stored(&fixture.complaint, fixture.now_ns); /* too early to say */
    fixture.now_ns += SECOND;
    complaint_stored(&fixture.complaint, fixture.now_ns);
    complaint_stored(&fixture.complaint, fixture.now_ns);
    failed(&fixture, "full"); /* a new one: at once */
    ended(&fixture, "<3>control: metadata: full\n"
                    "<3>control: metadata: full (999 more)\n"
                    "<3>control: metadata: full (999 more)\n"
                    "<5>control: metadata: changes are stored again (499 more)\n"
                    "<3>control: metadata: full\n");
}

static void test_other_texts(void **state)
{
    struct fixture fixture;
    char text[16];

    setup(&fixture);
    begun(&fixture);
    failed(&fixture, "full");
    failed(&fixture, "full");
    failed(&fixture, "metadata: I/O error");
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "odd %d", i % 2);
        failed(&fixture, text);
    }
    fixture.now_ns += 10 * SECOND;
    failed(&fixture, "full");
    ended(&fixture, "<3>control: metadata: full\n"
                    "<3>control: metadata: I/O error (1 more)\n"
                    "<3>control: metadata: odd 0\n<3>control: metadata: odd 1\n"
                    "<3>control: metadata: odd 0\n<3>control: metadata: odd 1\n"
                    "<3>control: metadata: odd 0\n<3>control: metadata: odd 1\n"
                    "<3>control: metadata: odd 0\n<3>control: metadata: odd 1\n"
                    "<3>control: metadata: full (12 more)\n");
}

/* What no failure of the metadata has just told is told, whatever fails besides. */
static void test_calls(void **state)
{
    struct fixture fixture;

    setup(&fixture);
    begun(&fixture);
    complaint_call(&fixture.complaint, fixture.now_ns, "CreateDisk", "full");
    failed(&fixture, "full");
    complaint_call(&fixture.complaint, fixture.now_ns, "CreateDisk", "full");
    complaint_call(&fixture.complaint, fixture.now_ns, "CreateDisk", "no store");
    fixture.now_ns += 10 * SECOND;
    complaint_call(&fixture.complaint, fixture.now_ns, "CreateDisk", "full");
    ended(&fixture, "<3>control: CreateDisk: full\n<3>control: metadata: full\n"
                    "<3>control: CreateDisk: no store\n<3>control: CreateDisk: full\n");
    begun(&fixture);
    for (int i = 0; i < 19; i++)
        complaint_call(&fixture.complaint, fixture.now_ns, "x", "y");
    ended(&fixture, "<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n"
                    "<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n"
                    "<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n"
                    "<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n"
                    "<3>control: x: y\n<3>control: x: y\n<3>control: x: y\n");
    begun(&fixture);
    for (int i = 0; i < 5; i++)
        complaint_call(&fixture.complaint, fixture.now_ns, "x", "y");
    fixture.now_ns += 10 * SECOND;
    complaint_call(&fixture.complaint, fixture.now_ns, "x", "z");
    ended(&fixture, "<3>control: 5 lines about calls that failed were left out\n"
                    "<3>control: x: z\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_other_texts),
        cmocka_unit_test(test_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
