/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: see consent.h.
 *
 * Rules
 *  1. Who passed a call on keeps its number exactly as long as its caller waits. A number that is
 *     not known is refused, so nothing needs to be remembered of calls that timed out, also not
 *     over a restart.
 *  2. A consent is given once, to the site that the call was passed to, and not in the last fifth
 *     of the waiting. Then the caller is not told RequestTimeout any more: when no answer comes he
 *     is told that the end is not known.
 *  3. Who asked counts the time of the consent from his asking, by his own clock: what stood still
 *     meanwhile is not begun any more.
 *  4. Calls passed on are bounded, of each direction (SITE_PASSED_MAX): the consents have places of
 *     their own among the calls of the link.
 *  5. What remains: a site that dies, stands still or is cut off between the moment it has the
 *     consent and its answer. There is no error in the contract for it but InternalError.
 */
#include "control/consent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/tree.h"

enum { MS_MAX = 60000 };

#define MS_NS UINT64_C(1000000)

/* --- at the site that passes a call on ------------------------------------------------------- */

void consent_open(struct consent *consent, struct call *call, const char *peer, uint64_t wait_ns)
{
    struct site *site = call->site;

    memset(consent, 0, sizeof(*consent));
    consent->call = call;
    snprintf(consent->peer, sizeof(consent->peer), "%s", peer);
    snprintf(consent->number, sizeof(consent->number), "%016" PRIx64, site_random(site));
    consent->began_ns = loop_now_ns(site->loop);
    consent->limit_ns = wait_ns;
    list_init(&consent->node);
    list_append(&site->consents, &consent->node);
}

bool consent_close(struct consent *consent)
{
    list_remove(&consent->node);
    return consent->state == CONSENT_GIVEN;
}

uint64_t consent_step(struct consent *consent, uint64_t now_ns)
{
    uint64_t past_ns = now_ns - consent->began_ns;

    if (consent->state != CONSENT_OPEN) /* asked twice: the first answer may be under way */
        return 0;
    consent->state =
        past_ns < consent->limit_ns - consent->limit_ns / 5 ? CONSENT_GIVEN : CONSENT_REFUSED;
    return consent->state == CONSENT_GIVEN ? consent->limit_ns - past_ns : 0;
}

/* NULL: nobody waits. */
static struct consent *find(const struct peer_answer *answer)
{
    const char *number = tree_text(answer->arguments, "number");
    struct list *node, *next;

    list_for_each(node, next, &answer->site->consents)
    {
        struct consent *consent = list_entry(node, struct consent, node);

        if (strcmp(consent->number, number) == 0 && strcmp(consent->peer, answer->peer) == 0)
            return consent;
    }
    return NULL;
}

static void tell(struct peer_answer *answer, uint64_t left_ns)
{
    json_t *reply = json_object();
    uint64_t left_ms = left_ns / MS_NS;

    check(reply);
    tree_set_bool(reply, "given", left_ms > 0);
    tree_set_int(reply, "ms", (int64_t)(left_ms < MS_MAX ? left_ms : MS_MAX));
    peer_answer_ok(answer, reply);
}

/* What was passed on to us and went on from here is answered by who waits at its beginning. */
static void sender_told(void *arg, bool is_given)
{
    struct peer_answer *answer = arg;
    struct consent *consent = find(answer);
    uint64_t left_ns = 0;

    if (consent && consent->state == CONSENT_PENDING) {
        consent->state = is_given ? CONSENT_OPEN : CONSENT_REFUSED;
        left_ns = consent_step(consent, loop_now_ns(answer->site->loop));
    }
    tell(answer, left_ns);
}

void consent_serve(struct peer_answer *answer)
{
    struct consent *consent = find(answer);

    if (!consent) {
        tell(answer, 0);
    } else if (consent->state == CONSENT_OPEN && consent_is_due(consent->call)) {
        consent->state = CONSENT_PENDING;
        consent_ask(consent->call, sender_told, answer);
    } else {
        tell(answer, consent_step(consent, loop_now_ns(answer->site->loop)));
    }
}

/* --- at the site that does it ---------------------------------------------------------------- */

/* Outlives the call, where that is passed on and ends meanwhile. */
struct asking {
    struct peer_call peer_call;
    struct site *site;
    char sender[RECORD_WORD_SIZE];
    uint64_t began_ns;
    consent_fn done_cb;
    void *arg;
};

bool consent_is_due(const struct call *call)
{
    return call->sender[0] && !call_only_looks(call->operation->name);
}

static bool is_given(const struct asking *asking)
{
    const struct peer_call *told = &asking->peer_call;
    int64_t ms = told->error == 0 && told->status == 200 && tree_bool(told->reply, "given", false)
                     ? tree_int(told->reply, "ms", 0)
                     : 0;

    return ms > 0 && ms <= MS_MAX &&
           loop_now_ns(asking->site->loop) - asking->began_ns < (uint64_t)ms * MS_NS;
}

static void told(struct peer_call *peer_call)
{
    struct asking *asking = container_of(peer_call, struct asking, peer_call);
    consent_fn done_cb = asking->done_cb;
    void *arg = asking->arg;
    bool given = is_given(asking);

    free(asking);
    done_cb(arg, given);
}

void consent_ask(struct call *call, consent_fn done_cb, void *arg)
{
    struct asking *asking;
    json_t *arguments;

    check_magic(call, CALL_MAGIC);
    if (!consent_is_due(call) || call->is_consented) {
        done_cb(arg, true);
        return;
    }
    call->is_consented = true; /* or is not to be done */
    asking = calloc(1, sizeof(*asking));
    arguments = json_object();
    check(asking && arguments);
    asking->site = call->site;
    asking->began_ns = loop_now_ns(call->site->loop);
    asking->done_cb = done_cb;
    asking->arg = arg;
    strcpy(asking->sender, call->sender);
    tree_set_text(arguments, "number", call->pass_number);
    peer_call(call->site, &asking->peer_call, asking->sender, "forward.consent", arguments, told);
}

void consent_fail(struct call *call)
{
    call_fail(call, API_REQUEST_TIMEOUT, "It was not begun while site %s waited for it.",
              call->sender);
}
