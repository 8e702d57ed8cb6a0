/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why: sockets, the library's options, and what is done with a connection when it comes and goes.
 *
 * Promises
 *  1. Who speaks TLS to the plain port gets an alert, who speaks HTTP to the TLS port an answer in
 *     plain HTTP; both at once. The kernel hands a connection over when its first bytes are there
 *     (TCP_DEFER_ACCEPT), or after a second.
 *  2. What is no request line is answered where the library only closes: by the socket that it
 *     leaves open, inside TLS in the moment before it says goodbye (http_session.h).
 *  3. After our last words the peer gets a moment to read them (http_linger.h).
 */
#include "http/http_listener.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "http/http_address.h"

enum {
    BACKLOG = 1024,
    LIBRARY_IDLE_S = 75,
    TLS_HANDSHAKE = 0x16,
    DEFER_S = 1,
    POOL_REST_BYTES = 8 << 10,
};

/* --- sockets --------------------------------------------------------------------------------- */

/* 0: nobody answers there. Where that cannot be found out somebody may. */
static int probe(const struct sockaddr_un *address, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

    if (fd < 0)
        return err_set(err, -errno, "%s: %s", address->sun_path, err_name(errno));
    if (connect(fd, (const void *)address, sizeof(*address)) == 0)
        error = err_set(err, -EADDRINUSE, "%s: another process listens there", address->sun_path);
    else if (errno != ECONNREFUSED && errno != ENOENT && errno != ENOTSOCK)
        error = err_set(err, -errno, "%s: %s", address->sun_path, err_name(errno));
    close(fd);
    return error;
}

/* A socket file that nobody answers on is replaced, a live one is not. */
int http_listener_bind_unix(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    check(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    if (probe(&address, err) < 0)
        return err->code;
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) != 0 || chmod(path, 0660) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, error, "%s: %s", path, err_name(error));
    }
    return fd;
}

int http_listener_bind_tcp(const struct posix_address *address, struct err *err)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1, defer_s = DEFER_S;
    char text[64];

    http_address_format(&address->any, text, sizeof(text));
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", text, err_name(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_s, sizeof(defer_s));
    if (address->any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
    if (bind(fd, &address->any, address->length) != 0 || listen(fd, BACKLOG) != 0) {
        int error = -errno;
        close(fd);
        return err_set(err, error, "%s: %s", text, err_name(error));
    }
    return fd;
}

/* --- connections, on the library's thread ---------------------------------------------------- */

static const union MHD_ConnectionInfo *ask(struct MHD_Connection *connection,
                                           enum MHD_ConnectionInfoType what)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, what);

    check(info);
    return info;
}

static void take_credentials(struct http_peer *peer, int fd)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    peer->is_loopback = true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return;
    peer->user = credentials.uid;
    peer->is_permitted = credentials.uid == 0 || credentials.uid == geteuid();
}

/* One byte, left where it is; negative: none there yet, or the peer has closed. */
static int first_byte(int fd)
{
    unsigned char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? byte : -1;
}

/* The other protocol than this door's: says so, and stops sending. The library finds no sense in
 * what it then reads, and closes. */
static void answer_mismatch(const struct http_listener *listener, struct http_peer *peer, int fd)
{
    static const unsigned char alert[] = {21, 3, 1, 0, 2, 2, 70}; /* fatal: protocol_version */
    int first = first_byte(fd);
    char text[HTTP_ERRORS_TEXT_SIZE];

    if (listener->gate.door == HTTP_DOOR_UNIX || first < 0 ||
        (first == TLS_HANDSHAKE) == (listener->tls != NULL))
        return;
    if (listener->tls == NULL)
        (void)send(fd, alert, sizeof(alert), MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        (void)send(fd, text, http_errors_write(peer, 400, text, sizeof(text)),
                   MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    peer->is_owed = false;
}

static bool is_ended_by_us(const struct http_peer *peer)
{
    const struct http_gate *gate = &peer->listener->gate;

    return atomic_load(&gate->front->is_stopping) ||
           http_patrol_has_ended(gate->patrol, peer->guest);
}

static bool is_late(const struct http_peer *peer)
{
    return http_patrol_is_late(peer->listener->gate.patrol, peer->guest);
}

/* The status of our last words inside TLS, 0: none. */
static unsigned judge_session(const struct http_peer *peer)
{
    if (is_ended_by_us(peer))
        return 0;
    if (is_late(peer) && (peer->is_head_coming || (peer->is_owed && peer->session.has_words)))
        return MHD_HTTP_REQUEST_TIMEOUT;
    return peer->is_owed && http_session_is_refused(&peer->session) ? MHD_HTTP_BAD_REQUEST : 0;
}

static bool session_is_over(struct http_session *session)
{
    return is_late(container_of(session, struct http_peer, session));
}

static void session_closes(struct http_session *session)
{
    struct http_peer *peer = container_of(session, struct http_peer, session);
    unsigned status = judge_session(peer);
    char text[HTTP_ERRORS_TEXT_SIZE];
    size_t length;

    if (status == 0)
        return;
    peer->is_owed = peer->is_head_coming = false;
    length = http_errors_write(peer, status, text, sizeof(text));
    (void)gnutls_record_send(session->tls, text, length);
}

static void begin_session(struct http_listener *listener, struct MHD_Connection *connection,
                          struct http_peer *peer)
{
    gnutls_session_t tls = ask(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;

    peer->certificate = http_tls_hold(listener->tls, tls);
    http_session_watch(&peer->session, tls, session_is_over, session_closes);
}

static void greet(struct http_listener *listener, struct MHD_Connection *connection,
                  struct http_peer *peer)
{
    int fd = ask(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const struct sockaddr *address =
        ask(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;

    peer->listener = listener;
    peer->is_owed = true;
    peer->host_id = listener->gate.front->host_id;
    peer->refusals = listener->gate.front->refusals;
    if (listener->gate.door == HTTP_DOOR_UNIX) {
        address = NULL;
        take_credentials(peer, fd);
    } else {
        http_address_format(address, peer->source, sizeof(peer->source));
        peer->is_loopback = http_address_is_loopback(address);
        peer->is_permitted = true;
    }
    peer->guest = http_patrol_enter(listener->gate.patrol, fd, address);
    if (listener->gate.door == HTTP_DOOR_UNIX && peer->is_permitted)
        http_patrol_proved(listener->gate.patrol, peer->guest);
    answer_mismatch(listener, peer, fd);
    if (listener->tls != NULL)
        begin_session(listener, connection, peer);
}

/* Did more come than the end? Of a unix socket nobody knows. */
static bool has_spoken(int fd, bool has_closed)
{
    struct tcp_info facts = {0};
    socklen_t size = sizeof(facts);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &facts, &size) == 0 &&
           facts.tcpi_bytes_received > (has_closed ? 1 : 0);
}

/* The status of our last words without TLS, 0: none. */
static unsigned judge_socket(struct http_peer *peer, int fd, bool has_closed)
{
    if (is_late(peer))
        return peer->is_head_coming || (peer->is_owed && has_spoken(fd, false))
                   ? MHD_HTTP_REQUEST_TIMEOUT
                   : 0;
    if (has_closed && !has_spoken(fd, true)) /* to see whether the door is there: no line of it */
        peer->refusals = NULL;
    /* Who asked before and closes now goes as he should. */
    return peer->is_owed && !(has_closed && peer->has_asked) ? MHD_HTTP_BAD_REQUEST : 0;
}

/* The library's session is gone already, the socket still open. */
static void part(struct http_listener *listener, struct MHD_Connection *connection,
                 struct http_peer *peer)
{
    int fd = ask(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    struct http_patrol *patrol = listener->gate.patrol;
    bool is_ours = !is_ended_by_us(peer);
    unsigned char byte;
    bool has_closed = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;

    unsigned status = is_ours && listener->tls == NULL ? judge_socket(peer, fd, has_closed) : 0;

    if (status != 0)
        http_errors_send(connection, peer, status);
    if (peer->guest != NULL)
        http_patrol_leave(patrol, peer->guest, is_ours && !has_closed);
    http_tls_drop(peer->certificate);
    free(peer);
}

static void connection_changed(void *arg, struct MHD_Connection *connection, void **state,
                               enum MHD_ConnectionNotificationCode what)
{
    struct http_listener *listener = arg;
    struct http_peer *peer = *state;

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        part(listener, connection, peer);
        *state = NULL;
        return;
    }
    peer = calloc(1, sizeof(*peer));
    check(peer);
    *state = peer;
    greet(listener, connection, peer);
    if (listener->connected_cb != NULL)
        listener->connected_cb(listener->connected_arg, listener->index);
}

static enum MHD_Result connection_wanted(void *arg, const struct sockaddr *address,
                                         socklen_t length)
{
    struct http_listener *listener = arg;

    if (listener->gate.door == HTTP_DOOR_UNIX)
        address = NULL;
    return http_patrol_admit(listener->gate.patrol, address) ? MHD_YES : MHD_NO;
}

/* --- the library ----------------------------------------------------------------------------- */

/* The library wants a certificate of its own or this; the sessions have theirs before it is asked.
 */
static int no_certificate(gnutls_session_t session, const gnutls_datum_t *names, int name_count,
                          const gnutls_pk_algorithm_t *algorithms, int algorithm_count,
                          gnutls_pcert_st **certificates, unsigned *count, gnutls_privkey_t *key)
{
    return -1;
}

/* The library's pool holds a head as it came and taken apart, then the head of the answer. It is
 * made empty for each request, so it is no larger than that. */
int http_listener_start(struct http_listener *listener)
{
    const struct http_limits *limits = listener->gate.front->limits;
    const struct MHD_OptionItem tls_options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)HTTP_TLS_PRIORITIES},
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)no_certificate},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
    /* TURBO leaves the socket open for part(); TLS needs the library's own end (close_notify). */
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_ALLOW_SUSPEND_RESUME |
                     (listener->tls != NULL ? MHD_USE_TLS : MHD_USE_TURBO);

    /* On the network the patrol makes room as they come; a limit of the library's would have good
     * clients wait behind a crowd. */
    unsigned connections_max = listener->gate.door == HTTP_DOOR_UNIX ? limits->connections_max
                                                                     : 2 * limits->connections_max;

    listener->daemon = MHD_start_daemon(
        flags, 0, connection_wanted, listener, http_exchange_request, &listener->gate,
        MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_URI_LOG_CALLBACK, http_exchange_uri,
        &listener->gate, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_ended, &listener->gate,
        MHD_OPTION_NOTIFY_CONNECTION, connection_changed, listener, MHD_OPTION_CONNECTION_LIMIT,
        connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(limits->idle_ns_max / 1000000000 + limits->request_ns_max / 1000000000 +
                   LIBRARY_IDLE_S),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)limits->head_bytes_max * 2 + POOL_REST_BYTES,
        MHD_OPTION_ARRAY, listener->tls != NULL ? tls_options : no_options, MHD_OPTION_END);
    return listener->daemon ? 0 : -EIO;
}

void http_listener_quiesce(struct http_listener *listener)
{
    MHD_quiesce_daemon(listener->daemon);
}

void http_listener_stop(struct http_listener *listener)
{
    if (listener->daemon != NULL)
        MHD_stop_daemon(listener->daemon);
    listener->daemon = NULL;
    http_exchange_drop_spares(&listener->gate);
    close(listener->fd);
}
