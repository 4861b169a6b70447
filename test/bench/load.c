/* The load of npm run bench: connections that speak the milter protocol as Postfix does, in one thread, so that the load
 * costs less than the filter under test. The commands that one step of an SMTP client causes are sent in one write, and
 * the next step waits for the reply if there is one. generator.ts starts it, and says what the arguments are.
 * Source of the protocol: sendmail 8.17 include/libmilter/mfdef.h; Postfix 3.7 src/milter/milter8.c. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum step { IDLE, NEGOTIATING, MAIL, RCPT, DATA, END };

struct connection {
    int fd;
    enum step step;
    int left;           /* messages that follow on this connection */
    long session;
    long triplet;
    int expected;       /* the verdict that is right for the message */
    double sent_at;     /* of RCPT, in seconds */
    unsigned char in[512];
    size_t held;
    int is_queued;
};

/* Microseconds up to 1 s; longer answers count as 1 s. */
#define MAX_LATENCY 1000000
static uint32_t latencies[MAX_LATENCY + 1];

static struct sockaddr_storage address;
static socklen_t address_length;
static int poll_fd, messages, is_judged;
static const char *kind;
static long first, count, taken, decisions, wrong, sessions, open_connections;
static double until;
static int asks_data;
static struct connection *queue[65536];
static int queued;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* Appends a frame with the command and the body, which may hold NUL. */
static size_t frame(unsigned char *out, char command, const void *body, size_t length) {
    uint32_t size = htonl((uint32_t)length + 1);
    memcpy(out, &size, 4);
    out[4] = (unsigned char)command;
    memcpy(out + 5, body, length);
    return length + 5;
}

static void put(struct connection *c, const unsigned char *bytes, size_t length) {
    ssize_t written = write(c->fd, bytes, length);
    if (written != (ssize_t)length) die("write");
}

static void later(struct connection *c) {
    if (c->is_queued) return;
    c->is_queued = 1;
    queue[queued++] = c;
}

static void begin(struct connection *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    unsigned char out[32];
    uint32_t offer[3] = {htonl(6), htonl(0x1ff), htonl(0x1fffff)};
    int on = 1;
    c->fd = socket(address.ss_family, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, address_length) < 0) die("connect");
    if (address.ss_family == AF_INET) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
    c->held = 0;
    c->left = messages;
    c->session = sessions++;
    c->step = NEGOTIATING;
    open_connections += 1;
    put(c, out, frame(out, 'O', offer, sizeof offer));
}

static void greet(struct connection *c, int wants_helo) {
    static const char macros[] = "Cj\0mx1.example.com\0v\0Postfix 3.7.11\0_\0mail.example.org [198.51.100.7]\0client_resolve\0OK";
    unsigned char out[512], body[128];
    size_t length = frame(out, 'D', macros, sizeof macros), size;
    uint16_t port = htons(25);
    /* Each session has a host of its own, so that no host's first passes speak for others. */
    size = (size_t)sprintf((char *)body, "mail.%c%ld.example", kind[0], first + c->session) + 1;
    body[size++] = '4';
    memcpy(body + size, &port, 2);
    size += 2;
    size += (size_t)sprintf((char *)body + size, "198.%ld.%ld.7", 18 + ((c->session >> 8) & 1), c->session & 255) + 1;
    length += frame(out + length, 'C', body, size);
    if (wants_helo) length += frame(out + length, 'H', "mail.example.org", 17);
    put(c, out, length);
    c->step = IDLE;
    later(c);
}

/* The number of the triplet that comes next, and whether it has passed before; -1 when there is none left. */
static long next_triplet(int *is_known) {
    long n = taken++;
    *is_known = strcmp(kind, "known") == 0 || strcmp(kind, "retry") == 0 || (strcmp(kind, "mix") == 0 && n % 10 < 7);
    if (strcmp(kind, "learn") == 0 || strcmp(kind, "retry") == 0) return n < count ? n : -1;
    return *is_known ? n % count : first + n;
}

static void close_connection(struct connection *c, int is_in_transaction) {
    unsigned char out[16];
    size_t length = is_in_transaction ? frame(out, 'A', "", 0) : 0;
    length += frame(out + length, 'Q', "", 0);
    put(c, out, length);
    close(c->fd);
    open_connections -= 1;
    c->step = IDLE;
    c->fd = -1;
}

static void send_mail(struct connection *c) {
    unsigned char out[256], body[128];
    int is_known, is_of_known;
    long n = next_triplet(&is_known);
    if (n < 0) {
        close_connection(c, 0);
        return;
    }
    is_of_known = is_known || strcmp(kind, "learn") == 0;
    c->expected = is_known ? 'c' : 'y';
    size_t length = frame(out, 'D', "M", 1);
    size_t size = (size_t)sprintf((char *)body, "<user%ld@%c%ld.example>", n, is_of_known ? 'k' : 'n', n % 997) + 1;
    length += frame(out + length, 'M', body, size);
    put(c, out, length);
    c->triplet = n;
    c->step = MAIL; /* RCPT comes a moment later, in a packet of its own */
    later(c);
}

static void send_rcpt(struct connection *c) {
    unsigned char out[256], body[128];
    size_t length = frame(out, 'D', "R", 1);
    size_t size = (size_t)sprintf((char *)body, "<person%ld@example.com>", c->triplet) + 1;
    length += frame(out + length, 'R', body, size);
    c->step = RCPT;
    c->sent_at = now();
    put(c, out, length);
}

static void next_message(struct connection *c, int is_in_transaction) {
    unsigned char out[8];
    c->left -= 1;
    if (c->left == 0) {
        close_connection(c, is_in_transaction);
        if (now() < until) begin(c);
        return;
    }
    if (is_in_transaction) put(c, out, frame(out, 'A', "", 0));
    c->step = IDLE;
    later(c);
}

static void send_end(struct connection *c) {
    static const char macros[] = "Ei\0004gKx3z1Xq9zB2";
    unsigned char out[64];
    size_t length = frame(out, 'D', macros, sizeof macros);
    length += frame(out + length, 'E', "", 0);
    c->step = END;
    put(c, out, length);
}

static void replied(struct connection *c, const unsigned char *body, size_t length) {
    uint32_t steps;
    switch (c->step) {
    case NEGOTIATING:
        if (body[0] != 'O' || length < 13) { fprintf(stderr, "expected a negotiation, found %c\n", body[0]); exit(1); }
        memcpy(&steps, body + 9, 4);
        steps = ntohl(steps);
        asks_data = (steps & 0x200) == 0;
        greet(c, (steps & 0x2) == 0);
        return;
    case RCPT: {
        double took = (now() - c->sent_at) * 1e6;
        latencies[took < MAX_LATENCY ? (int)took : MAX_LATENCY] += 1;
        decisions += 1;
        if (is_judged && body[0] != c->expected) wrong += 1;
        if (c->expected != 'c') next_message(c, 1);
        else if (asks_data) {
            unsigned char out[8];
            c->step = DATA;
            put(c, out, frame(out, 'T', "", 0));
        } else send_end(c);
        return;
    }
    case DATA:
        send_end(c);
        return;
    case END:
        if (body[0] != 'h') next_message(c, 0); /* a header precedes the reply */
        return;
    default:
        fprintf(stderr, "unexpected reply %c\n", body[0]);
        exit(1);
    }
}

static void receive(struct connection *c) {
    ssize_t got = read(c->fd, c->in + c->held, sizeof c->in - c->held);
    if (got <= 0) die("the filter closed a connection");
    c->held += (size_t)got;
    size_t start = 0;
    while (c->fd >= 0 && c->held - start >= 5) {
        uint32_t size;
        memcpy(&size, c->in + start, 4);
        size = ntohl(size);
        if (c->held - start < size + 4) break;
        unsigned char body[512];
        memcpy(body, c->in + start + 4, size);
        start += size + 4;
        replied(c, body, size);
        if (c->held == 0) return; /* this is another connection now */
    }
    if (c->fd < 0) return;
    memmove(c->in, c->in + start, c->held - start);
    c->held -= start;
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
    if (argc != 9) {
        fprintf(stderr, "usage: load SOCKET CONNECTIONS MESSAGES KIND FIRST COUNT SECONDS JUDGED\n");
        return 64;
    }
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
    messages = atoi(argv[3]);
    kind = argv[4];
    first = atol(argv[5]);
    count = atol(argv[6]);
    is_judged = atoi(argv[8]);
    poll_fd = epoll_create1(0);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (poll_fd < 0 || !all || connections > (int)(sizeof queue / sizeof *queue)) die("start");
    double began = now();
    until = began + atof(argv[7]);
    for (int index = 0; index < connections; index += 1) begin(&all[index]);
    while (open_connections > 0) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll_fd, events, 256, queued > 0 ? 0 : -1);
        for (int index = 0; index < ready; index += 1) receive(events[index].data.ptr);
        static struct connection *due[65536];
        int dues = queued;
        memcpy(due, queue, sizeof *queue * (size_t)dues);
        queued = 0;
        for (int index = 0; index < dues; index += 1) {
            struct connection *c = due[index];
            c->is_queued = 0;
            if (c->fd < 0) continue;
            if (c->step == MAIL) send_rcpt(c);
            else if (now() < until) send_mail(c);
            else close_connection(c, 0);
        }
    }
    double elapsed = now() - began;
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("{\"decisions\":%ld,\"wrong\":%ld,\"taken\":%ld,\"seconds\":%f,\"cpu\":%f,\"p50\":%f,\"p99\":%f}\n", decisions, wrong,
           taken, elapsed, cpu.tv_sec + cpu.tv_nsec / 1e9, quantile(0.5), quantile(0.99));
    return 0;
}
