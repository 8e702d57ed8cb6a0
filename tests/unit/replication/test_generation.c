/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations: relations of lines, and the table of verdicts row by row. The expected verdicts are
 * written out here a second time on purpose: a changed cell must be changed in two places. Then the
 * properties that make the table safe, over all cells and their mirror images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "replication/generation.h"

static struct generation make(uint64_t term, uint64_t site, uint64_t incarnation)
{
    return (struct generation){.term = term, .site = site, .incarnation = incarnation};
}

static void grow(struct generation_line *line, uint64_t term, uint64_t site)
{
    struct generation child = make(term, site, term * 1000 + site);

    generation_promote(line, &child, term * 10);
}

static void compares_terms(void **state)
{
    struct generation a = make(1, 5, 5), b = make(2, 1, 1), c = make(2, 9, 9);

    assert_true(generation_compare(&a, &b) < 0);
    assert_true(generation_compare(&b, &a) > 0);
    assert_int_equal(generation_compare(&b, &c), 0);
    assert_false(generation_is_equal(&b, &c));
    assert_true(generation_is_equal(&b, &b));
    c = make(2, 1, 2);
    assert_false(generation_is_equal(&b, &c));
}

static void relates_lines(void **state)
{
    struct generation_line empty = {0}, a = {0}, b = {0}, c = {0}, d = {0};

    grow(&a, 1, 1);
    b = a;
    grow(&b, 2, 2);
    c = a;
    grow(&c, 2, 3);
    grow(&d, 1, 9);
    assert_int_equal(generation_relate(&a, &a), GENERATION_SAME);
    assert_int_equal(generation_relate(&a, &b), GENERATION_BEHIND);
    assert_int_equal(generation_relate(&b, &a), GENERATION_AHEAD);
    assert_int_equal(generation_relate(&b, &c), GENERATION_FORKED);
    assert_int_equal(generation_relate(&c, &b), GENERATION_FORKED);
    assert_int_equal(generation_relate(&a, &d), GENERATION_FOREIGN);
    assert_int_equal(generation_relate(&empty, &a), GENERATION_EMPTY_OURS);
    assert_int_equal(generation_relate(&a, &empty), GENERATION_EMPTY_THEIRS);
    assert_int_equal(generation_relate(&empty, &empty), GENERATION_EMPTY_THEIRS);
}

static void forgets_the_oldest(void **state)
{
    struct generation_line line = {0}, old;

    for (unsigned term = 1; term <= GENERATION_COUNT_MAX; term++)
        grow(&line, term, 1);
    old = line;
    grow(&line, GENERATION_COUNT_MAX + 1, 2);
    assert_int_equal(line.count, GENERATION_COUNT_MAX);
    assert_int_equal(line.entries[0].id.term, 2);
    assert_int_equal(generation_newest(&line)->term, GENERATION_COUNT_MAX + 1);
    assert_int_equal(line.entries[line.count - 1].parent_epoch, (GENERATION_COUNT_MAX + 1) * 10);
    assert_int_equal(generation_relate(&old, &line), GENERATION_BEHIND);
}

enum {
    S = STREAM_ROLE_SOURCE,
    T = STREAM_ROLE_TARGET,
    P = STREAM_ROLE_PROMOTED,
    F = STREAM_ROLE_FENCED
};
enum {
    SHIP = VERDICT_SHIP,
    RECV = VERDICT_RECEIVE,
    FNCE = VERDICT_FENCE,
    WAIT = VERDICT_WAIT,
    ADPT = VERDICT_ADOPT,
    AGAN = VERDICT_COMMIT_AGAIN,
    REFU = VERDICT_REFUSE
};

/* clang-format off */
static const struct row {
    unsigned ours, theirs;
    unsigned verdicts[GENERATION_RELATION_COUNT];
} rows[] = {
    /*        SAME  BEHIND AHEAD FORKED FOREIGN EMPTY_OURS EMPTY_THEIRS */
    {S, S, { REFU, FNCE,  WAIT, WAIT,  REFU,   REFU,      REFU }},
    {S, T, { SHIP, FNCE,  REFU, REFU,  REFU,   REFU,      WAIT }},
    {S, P, { REFU, FNCE,  WAIT, AGAN,  REFU,   REFU,      REFU }},
    {S, F, { REFU, FNCE,  AGAN, AGAN,  REFU,   REFU,      REFU }},
    {T, S, { RECV, REFU,  WAIT, REFU,  REFU,   ADPT,      REFU }},
    {T, T, { REFU, REFU,  REFU, REFU,  REFU,   REFU,      REFU }},
    {T, P, { REFU, REFU,  REFU, REFU,  REFU,   REFU,      REFU }},
    {T, F, { REFU, REFU,  REFU, REFU,  REFU,   REFU,      REFU }},
    {P, S, { REFU, FNCE,  WAIT, AGAN,  REFU,   REFU,      REFU }},
    {P, T, { REFU, FNCE,  REFU, REFU,  REFU,   REFU,      REFU }},
    {P, P, { REFU, FNCE,  WAIT, WAIT,  REFU,   REFU,      REFU }},
    {P, F, { REFU, FNCE,  WAIT, WAIT,  REFU,   REFU,      REFU }},
    {F, S, { REFU, AGAN,  REFU, AGAN,  REFU,   REFU,      REFU }},
    {F, T, { REFU, REFU,  REFU, REFU,  REFU,   REFU,      REFU }},
    {F, P, { REFU, WAIT,  REFU, WAIT,  REFU,   REFU,      REFU }},
    {F, F, { REFU, REFU,  REFU, WAIT,  REFU,   REFU,      REFU }},
};
/* clang-format on */

static void decides_row_by_row(void **state)
{
    assert_int_equal(sizeof(rows) / sizeof(rows[0]), STREAM_ROLE_COUNT * STREAM_ROLE_COUNT);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned r = 0; r < GENERATION_RELATION_COUNT; r++) {
            const char *why = NULL;

            assert_int_equal(generation_decide(rows[i].ours, rows[i].theirs, r, &why),
                             rows[i].verdicts[r]);
            assert_true(why != NULL && strlen(why) > 0 && strlen(why) < 180);
        }
    }
}

static enum generation_relation mirror(enum generation_relation relation)
{
    switch (relation) {
    case GENERATION_BEHIND:
        return GENERATION_AHEAD;
    case GENERATION_AHEAD:
        return GENERATION_BEHIND;
    case GENERATION_EMPTY_OURS:
        return GENERATION_EMPTY_THEIRS;
    case GENERATION_EMPTY_THEIRS:
        return GENERATION_EMPTY_OURS;
    default:
        return relation;
    }
}

static bool is_writer(enum stream_role role)
{
    return role == STREAM_ROLE_SOURCE || role == STREAM_ROLE_PROMOTED;
}

static void is_safe_in_every_cell(void **state)
{
    for (unsigned a = 0; a < STREAM_ROLE_COUNT; a++)
        for (unsigned b = 0; b < STREAM_ROLE_COUNT; b++)
            for (unsigned r = 0; r < GENERATION_RELATION_COUNT; r++) {
                const char *why;
                enum generation_verdict ours = generation_decide(a, b, r, &why);
                enum generation_verdict theirs = generation_decide(b, a, mirror(r), &why);

                /* Data flows only where both agree, from the source to the target. */
                if (ours == VERDICT_SHIP) {
                    assert_int_equal(a, STREAM_ROLE_SOURCE);
                    assert_int_equal(b, STREAM_ROLE_TARGET);
                    assert_int_equal(theirs, VERDICT_RECEIVE);
                }
                if (ours == VERDICT_RECEIVE)
                    assert_int_equal(theirs, VERDICT_SHIP);
                if (ours == VERDICT_ADOPT)
                    assert_int_equal(theirs, VERDICT_WAIT);
                /* Only who is behind fences itself, never both; a writer that is behind always. */
                if (ours == VERDICT_FENCE) {
                    assert_int_equal(r, GENERATION_BEHIND);
                    assert_int_not_equal(theirs, VERDICT_FENCE);
                }
                if (r == GENERATION_BEHIND && is_writer(a))
                    assert_int_equal(ours, VERDICT_FENCE);
                if (r == GENERATION_FOREIGN)
                    assert_int_equal(ours, VERDICT_REFUSE);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_terms),        cmocka_unit_test(relates_lines),
        cmocka_unit_test(forgets_the_oldest),    cmocka_unit_test(decides_row_by_row),
        cmocka_unit_test(is_safe_in_every_cell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
