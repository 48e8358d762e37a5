// A slow line on this machine: what comes in at one port goes out to another, half a round trip later, each way.
//
//   line --listen PORT --to PORT --counts FILE [--round-trip MS] [--megabits N]
//
// Bytes in flight do not wait for each other: each lot that is read gets the moment at which it may go on, and any number
// of lots are on their way. A new connection costs a round trip more, as TCP's handshake would. With --megabits, all
// connections together share so much in each direction. At most RING bytes are on their way in one direction of one
// connection, which is what a TCP window of that size would allow. Lost packets, slow start and TLS are not imitated.
//
// FILE holds three native 64-bit numbers that grow while this runs: bytes to the server, bytes from it, connections.
// All of it is one thread; both ports are on 127.0.0.1. Ends at SIGTERM.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RING = 4 << 20, LOTS = 1024, LOT = 256 << 10, CONNECTIONS = 512 };

// Up to `end` (counted from the first byte of all), bytes may go on at `due` (nanoseconds).
struct lot {
    uint64_t end;
    int64_t due;
};

// One direction of a connection. Offsets count all bytes ever; their place in the ring is the remainder by RING.
struct way {
    int from, to;
    char *ring;
    struct lot lots[LOTS];
    unsigned first_lot, lot_count;
    uint64_t read, released, written;
    bool ended, closed, blocked;
};

struct connection {
    bool open;
    int64_t opened;
    struct way ways[2];  // 0: to the server, 1: from it
};

struct counts {
    uint64_t bytes[2], connections;
};

static struct connection connections[CONNECTIONS];
static int highest;  // connections from here on were never used
static struct counts *counts;
static int64_t round_trip, line_free[2];
static double nanoseconds_per_byte;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct sockaddr_in place(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void hang_up(struct connection *connection) {
    close(connection->ways[0].from);
    close(connection->ways[1].from);
    connection->open = false;
}

static bool can_read(const struct way *way) {
    return !way->ended && way->read - way->written < RING && way->lot_count < LOTS;
}

// When the line has carried so many bytes, sent now, to the other end.
static int64_t arrival(int direction, const struct connection *connection, size_t bytes) {
    int64_t time = now();
    if (nanoseconds_per_byte > 0) {
        if (line_free[direction] < time) line_free[direction] = time;
        line_free[direction] += (int64_t)((double)bytes * nanoseconds_per_byte);
        time = line_free[direction];
    }
    if (time < connection->opened + round_trip) time = connection->opened + round_trip;
    return time + round_trip / 2;
}

// False when the connection is broken.
static bool take(struct connection *connection, int direction) {
    struct way *way = &connection->ways[direction];
    if (way->read == way->written) way->read = way->released = way->written = 0;  // an empty ring starts again where memory is warm
    size_t place = way->read % RING, room = RING - (size_t)(way->read - way->written);
    if (room > RING - place) room = RING - place;
    if (room > LOT) room = LOT;
    ssize_t got = recv(way->from, way->ring + place, room, 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) way->ended = true;
    way->read += (uint64_t)got;
    unsigned next = (way->first_lot + way->lot_count++) % LOTS;
    way->lots[next] = (struct lot){.end = way->read, .due = arrival(direction, connection, (size_t)got)};
    return true;
}

// Sends what has arrived. False when the connection is broken.
static bool give(struct way *way, int direction, int64_t time) {
    while (way->lot_count && way->lots[way->first_lot].due <= time) {
        way->released = way->lots[way->first_lot].end;
        way->first_lot = (way->first_lot + 1) % LOTS;
        way->lot_count--;
    }
    way->blocked = false;
    while (way->written < way->released) {
        size_t place = way->written % RING, length = (size_t)(way->released - way->written);
        if (length > RING - place) length = RING - place;
        ssize_t sent = send(way->to, way->ring + place, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            way->blocked = true;
            return true;
        }
        if (sent < 0) return false;
        way->written += (uint64_t)sent;
        counts->bytes[direction] += (uint64_t)sent;
    }
    if (way->ended && !way->lot_count && !way->closed) {
        shutdown(way->to, SHUT_WR);
        way->closed = true;
    }
    return true;
}

static void prepare(struct way *way, int from, int to) {
    char *ring = way->ring;
    if (!ring) {
        ring = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ring == MAP_FAILED) die("mmap");
    }
    *way = (struct way){.from = from, .to = to, .ring = ring};
}

static void answer(int listener, int target) {
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1, index = 0;
    if (client < 0) return;
    while (index < CONNECTIONS && connections[index].open) index++;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = place(target);
    if (index == CONNECTIONS || server < 0 || connect(server, (void *)&address, sizeof address)) {
        close(client);
        if (server >= 0) close(server);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *connection = &connections[index];
    connection->open = true;
    connection->opened = now();
    prepare(&connection->ways[0], client, server);
    prepare(&connection->ways[1], server, client);
    counts->connections++;
    if (highest <= index) highest = index + 1;
}

static int listen_at(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = place(port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (void *)&address, sizeof address) || listen(listener, 512)) die("line: listen");
    return listener;
}

static struct counts *shared_counts(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct counts))) die(path);
    void *memory = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) die(path);
    return memory;
}

// What to wait for on the two sockets of a connection: 0 is the client's, 1 the server's.
static short wanted(const struct connection *connection, int side) {
    bool reads = can_read(&connection->ways[side]), writes = connection->ways[1 - side].blocked;
    return (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

// Moves what has arrived; the moment at which the next lot does.
static int64_t advance(void) {
    int64_t time = now(), next = INT64_MAX;
    for (int index = 0; index < highest; index++) {
        struct connection *connection = &connections[index];
        if (!connection->open) continue;
        struct way *up = &connection->ways[0], *down = &connection->ways[1];
        if (!give(up, 0, time) || !give(down, 1, time) || (up->closed && down->closed)) {
            hang_up(connection);
            continue;
        }
        for (int direction = 0; direction < 2; direction++) {
            const struct way *way = &connection->ways[direction];
            if (way->lot_count && way->lots[way->first_lot].due < next) next = way->lots[way->first_lot].due;
        }
    }
    return next;
}

static void carry(int listener, int target) {
    static struct pollfd polled[1 + 2 * CONNECTIONS];
    while (!stopping) {
        int64_t next = advance(), wait = next == INT64_MAX ? 1000000000 : next - now();
        if (wait < 0) wait = 0;
        polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int slot = 0; slot < 2 * highest; slot++) {
            const struct connection *connection = &connections[slot / 2];
            short events = connection->open ? wanted(connection, slot % 2) : 0;
            polled[1 + slot] = (struct pollfd){.fd = events ? connection->ways[slot % 2].from : -1, .events = events};
        }
        struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        int slots = 2 * highest;
        if (ppoll(polled, (nfds_t)(1 + slots), &timeout, NULL) <= 0) continue;
        for (int slot = 0; slot < slots; slot++) {
            struct connection *connection = &connections[slot / 2];
            if (!connection->open || !polled[1 + slot].revents) continue;
            if (polled[1 + slot].revents & (POLLIN | POLLHUP | POLLERR) && can_read(&connection->ways[slot % 2]) &&
                !take(connection, slot % 2))
                hang_up(connection);
        }
        if (polled[0].revents) answer(listener, target);
    }
}

int main(int count, char **words) {
    int port = 0, target = 0;
    for (int word = 1; word + 1 < count; word += 2) {
        const char *name = words[word], *value = words[word + 1];
        if (!strcmp(name, "--listen")) port = atoi(value);
        else if (!strcmp(name, "--to")) target = atoi(value);
        else if (!strcmp(name, "--counts")) counts = shared_counts(value);
        else if (!strcmp(name, "--round-trip")) round_trip = (int64_t)(atof(value) * 1e6);
        else if (!strcmp(name, "--megabits")) nanoseconds_per_byte = atof(value) > 0 ? 8000 / atof(value) : 0;
        else port = 0, target = 0, word = count;
    }
    if (!port || !target || !counts) {
        fputs("usage: line --listen PORT --to PORT --counts FILE [--round-trip MS] [--megabits N]\n", stderr);
        return 2;
    }
    signal(SIGTERM, stop);
    carry(listen_at(port), target);
    return 0;
}
