/*
 * The load of `npm run bench -- --door policy`: connections that ask a policy server as Postfix's smtpd processes do, each
 * with one request at a time. policy-load-node.ts does the same for machines without a C compiler.
 *
 *   policy-load SOCKET CONNECTIONS KIND FIRST COUNT SECONDS JUDGED
 *
 * The arguments and the triplets are those of load.c. Prints one line of JSON.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Latencies are counted in microseconds, up to a second. */
#define MAX_LATENCY 1000000

struct connection {
    int fd;
    int is_known;
    double sent_at;
    size_t held;
    char in[2048];
};

static const char *kind;
static long first, count, taken, decisions, wrong, open_connections;
static int is_judged, poll_fd;
static double until;
static long latencies[MAX_LATENCY + 1];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* The number of the triplet that comes next, and whether it has passed before; -1 when there is none left. */
static long next_triplet(int *is_known) {
    long n = taken++;
    *is_known = strcmp(kind, "known") == 0 || strcmp(kind, "retry") == 0 || (strcmp(kind, "mix") == 0 && n % 10 < 7);
    if (strcmp(kind, "learn") == 0 || strcmp(kind, "retry") == 0) return n < count ? n : -1;
    return *is_known ? n % count : first + n;
}

static void ask(struct connection *c) {
    char out[2048];
    long n = now() < until ? next_triplet(&c->is_known) : -1;
    if (n < 0) {
        close(c->fd);
        open_connections -= 1;
        return;
    }
    char set = c->is_known || strcmp(kind, "learn") == 0 ? 'k' : 'n';
    /* Each triplet has a host of its own, so that no host's first passes speak for others. */
    int size = snprintf(
        out, sizeof out,
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=198.%ld.%ld.7\n"
        "client_name=mail.%c%ld.example\nclient_port=50112\nreverse_client_name=mail.%c%ld.example\n"
        "server_address=192.0.2.1\nserver_port=25\nhelo_name=mail.example.org\nsender=user%ld@%c%ld.example\n"
        "recipient=person%ld@example.com\nrecipient_count=0\nqueue_id=\ninstance=1a2b.%c%lx.%ld\nsize=0\netrn_domain=\n"
        "stress=\nsasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n"
        "ccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\nencryption_keysize=0\npolicy_context=\n\n",
        18 + ((n >> 8) & 1), n & 255, set, n, set, n, n, set, n % 997, n, kind[0], n, taken);
    c->sent_at = now();
    if (write(c->fd, out, (size_t)size) != size) die("write");
}

static void receive(struct connection *c) {
    ssize_t got = read(c->fd, c->in + c->held, sizeof c->in - c->held);
    if (got <= 0) die("the policy server closed a connection");
    c->held += (size_t)got;
    if (c->held < 2 || memcmp(c->in + c->held - 2, "\n\n", 2) != 0) return;
    double took = (now() - c->sent_at) * 1e6;
    latencies[took < MAX_LATENCY ? (int)took : MAX_LATENCY] += 1;
    decisions += 1;
    int is_deferred = c->held > 12 && strncasecmp(c->in, "action=defer", 12) == 0;
    if (is_judged && is_deferred == c->is_known) wrong += 1;
    c->held = 0;
    ask(c);
}

static double quantile(double share) {
    long seen = 0;
    for (long at = 0; at <= MAX_LATENCY; at += 1) {
        seen += latencies[at];
        if (seen >= decisions * share) return at / 1000.0;
    }
    return MAX_LATENCY / 1000.0;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: policy-load SOCKET CONNECTIONS KIND FIRST COUNT SECONDS JUDGED\n");
        return 64;
    }
    struct sockaddr_storage address = {0};
    socklen_t address_length;
    if (argv[1][0] == '/') {
        struct sockaddr_un *path = (struct sockaddr_un *)&address;
        path->sun_family = AF_UNIX;
        snprintf(path->sun_path, sizeof path->sun_path, "%s", argv[1]);
        address_length = sizeof *path;
    } else {
        struct sockaddr_in *inet = (struct sockaddr_in *)&address;
        inet->sin_family = AF_INET;
        inet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        inet->sin_port = htons((uint16_t)atoi(argv[1]));
        address_length = sizeof *inet;
    }
    int connections = atoi(argv[2]);
    kind = argv[3];
    first = atol(argv[4]);
    count = atol(argv[5]);
    is_judged = atoi(argv[7]);
    poll_fd = epoll_create1(0);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (poll_fd < 0 || !all) die("start");
    for (int index = 0; index < connections; index += 1) {
        struct connection *c = &all[index];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        int on = 1;
        c->fd = socket(address.ss_family, SOCK_STREAM, 0);
        if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, address_length) < 0) die("connect");
        if (address.ss_family == AF_INET) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
        open_connections += 1;
    }
    double began = now();
    until = began + atof(argv[6]);
    for (int index = 0; index < connections; index += 1) ask(&all[index]);
    while (open_connections > 0) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll_fd, events, 256, -1);
        for (int index = 0; index < ready; index += 1) receive(events[index].data.ptr);
    }
    struct timespec cpu;
    double elapsed = now() - began;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"decisions\":%ld,\"wrong\":%ld,\"taken\":%ld,\"seconds\":%f,\"cpu\":%f,\"p50\":%f,\"p99\":%f}\n", decisions, wrong,
           taken, elapsed, cpu.tv_sec + cpu.tv_nsec / 1e9, quantile(0.5), quantile(0.99));
    return 0;
}
