/* SPDX-License-Identifier: Apache-2.0 */
/* Why: see fake_world.h; the asking is a file of its own. */
#include <stdlib.h>
#include <string.h>

#include "api/table.h"
#include "base/check.h"
#include "fake_world.h"

struct question {
    bool is_answered, is_forgotten;
    unsigned status;
    json_t *reply;
};

static void answered(void *arg, unsigned status, json_t *body)
{
    struct question *question = arg;

    if (question->is_forgotten) {
        free(question);
        return;
    }
    question->is_answered = true;
    question->status = status;
    question->reply = json_deep_copy(body);
}

static const char *version_of(const char *action, const json_t *texts)
{
    const char *version = json_string_value(json_object_get(texts, "Version"));

    if (version)
        return version;
    for (unsigned i = 0; table_at(i); i++)
        if (strcmp(table_at(i)->name, action) == 0)
            return table_at(i)->version;
    return "2021-07-30";
}

static void ask(struct fake_world *world, unsigned site, const char *action, const char *query,
                struct question *question)
{
    struct form form = {0};
    json_t *texts = json_object();

    check(world->sites[site].is_alive);
    check(form_parse(&form, query, strlen(query)) == 0);
    for (unsigned i = 0; i < form.count; i++)
        json_object_set_new(texts, form.pairs[i].name, json_string(form.pairs[i].value));
    form_fini(&form);
    api_execute(world->sites[site].api, action, version_of(action, texts), texts, &world->caller,
                "R-1", NULL, answered, question);
    json_decref(texts);
}

json_t *fake_ask(struct fake_world *world, unsigned site, const char *action, const char *query,
                 unsigned *ret_status)
{
    struct question *question = calloc(1, sizeof(*question));
    json_t *reply;

    check(question);
    ask(world, site, action, query, question);
    for (unsigned i = 0; !question->is_answered && i < 200; i++)
        fake_run(world, i == 0 ? 0 : 100000000);
    if (!question->is_answered) {
        question->is_forgotten = true;
        return NULL;
    }
    *ret_status = question->status;
    reply = question->reply;
    free(question);
    return reply;
}

void fake_ask_together(struct fake_world *world, unsigned site, struct fake_asked *asked,
                       unsigned count)
{
    struct question **questions = calloc(count, sizeof(*questions));
    unsigned left = count;

    check(questions);
    for (unsigned i = 0; i < count; i++) {
        questions[i] = calloc(1, sizeof(**questions));
        check(questions[i]);
        ask(world, site, asked[i].action, asked[i].query, questions[i]);
    }
    for (unsigned turn = 0; left > 0 && turn < 200; turn++) {
        fake_run(world, turn == 0 ? 0 : 100000000);
        left = 0;
        for (unsigned i = 0; i < count; i++)
            left += !questions[i]->is_answered;
    }
    for (unsigned i = 0; i < count; i++) {
        questions[i]->is_forgotten = !questions[i]->is_answered;
        asked[i].status = questions[i]->status;
        asked[i].reply = questions[i]->reply;
        if (questions[i]->is_answered)
            free(questions[i]);
    }
    free(questions);
}

void fake_ask_and_forget(struct fake_world *world, unsigned site, const char *action,
                         const char *query)
{
    struct question *question = calloc(1, sizeof(*question));

    check(question);
    question->is_forgotten = true;
    ask(world, site, action, query, question);
    fake_run(world, 0);
}
