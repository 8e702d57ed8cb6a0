/* SPDX-License-Identifier: Apache-2.0 */
/* What all who answer reads do with a request, whatever they read from. */
#include "volume/request.h"

#include <string.h>

void request_copy_out(const struct volume_request *request, uint64_t at, const uint8_t *bytes,
                      uint64_t length)
{
    for (unsigned i = 0; i < request->iov_count && length > 0; i++) {
        const struct iovec *iov = &request->iov[i];
        uint64_t part;

        if (at >= iov->iov_len) {
            at -= iov->iov_len;
            continue;
        }
        part = iov->iov_len - at < length ? iov->iov_len - at : length;
        memcpy((uint8_t *)iov->iov_base + at, bytes, part);
        bytes += part;
        length -= part;
        at = 0;
    }
    check(length == 0);
}
