/* SPDX-License-Identifier: Apache-2.0 */
/* A volume keeps a few scratches, so that a disk under overlay or stash pressure does not allocate
 * for each request; more than that go back to the heap. */
#include "volume/scratch.h"

#include <stdlib.h>

#include "base/check.h"

struct scratch *scratch_need(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct volume *volume = request->volume;
    struct list *node;

    if (state->scratch)
        return state->scratch;
    node = list_pop(&volume->scratch_free);
    if (node) {
        volume->scratch_free_count--;
        state->scratch = list_entry(node, struct scratch, node);
    } else {
        state->scratch = malloc(sizeof(struct scratch));
        if (!state->scratch)
            return NULL;
    }
    list_init(&state->scratch->node);
    state->scratch->request = request;
    return state->scratch;
}

void scratch_drop(struct volume_request *request)
{
    struct request_state *state = request_state(request);
    struct volume *volume = request->volume;

    if (!state->scratch)
        return;
    check(state->scratch->request == request);
    if (volume->scratch_free_count < SCRATCH_KEPT) {
        list_push(&volume->scratch_free, &state->scratch->node);
        volume->scratch_free_count++;
    } else {
        free(state->scratch);
    }
    state->scratch = NULL;
}

void scratch_fini(struct volume *volume)
{
    struct list *node;

    while ((node = list_pop(&volume->scratch_free)) != NULL)
        free(list_entry(node, struct scratch, node));
    volume->scratch_free_count = 0;
}
