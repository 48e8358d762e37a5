// The least that a parallel S3 client does: sends requests that are signed already, and takes the answers into memory.
//
//   replay PORT CONNECTIONS REQUESTS BODIES
//
// REQUESTS holds, for each request, a line "METHOD HEAD-BYTES BODY-OFFSET BODY-BYTES" and then the head itself, as it goes
// over the wire; a body is a stretch of the file BODIES. Each connection is a thread that takes the next request when it is
// done with the last one. The first line printed is the seconds from the first connection to the last answer; then, for each
// request, its status, the bytes of its answer's body, and its ETag (or -).
//
// Answers must name their length. A connection that the server has closed is opened again, once for each request.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, ETAG = 80, MOST_CONNECTIONS = 256 };

struct request {
    char method[8];
    const char *head;
    size_t head_bytes, body_offset, body_bytes;
    int status;
    size_t answer_bytes;
    char etag[ETAG];
};

static struct request *requests;
static size_t request_count;
static atomic_size_t next_request;
static const char *bodies;
static int port;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int dial(void) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(descriptor, (void *)&address, sizeof address)) die("replay: connect");
    return descriptor;
}

static bool send_all(int descriptor, const char *bytes, size_t count) {
    while (count) {
        ssize_t sent = send(descriptor, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

// A header's value in a head that ends in a zero, or null.
static const char *header(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found ? found + strlen(name) + strspn(found + strlen(name), " ") : NULL;
}

// Reads one answer whole. False when the connection cannot be used again.
static bool receive(int descriptor, struct request *request, char *buffer) {
    size_t have = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = recv(descriptor, buffer + have, BUFFER - have, 0);
        if (got <= 0) return false;
        have += (size_t)got;
        buffer[have] = 0;
        end = strstr(buffer, "\r\n\r\n");
        if (!end && have == BUFFER) return false;
    }
    *end = 0;
    const char *length = header(buffer, "\r\nContent-Length:"), *etag = header(buffer, "\r\nETag:");
    int status = atoi(buffer + strcspn(buffer, " "));
    if (etag) snprintf(request->etag, ETAG, "%.*s", (int)strcspn(etag, "\r"), etag);
    size_t body = (size_t)(buffer + have - (end + 4)), expected = length ? strtoull(length, NULL, 10) : 0;
    bool empty = status == 204 || !strcmp(request->method, "HEAD");
    if (!length && !empty) return false;
    bool closing = strcasestr(buffer, "\r\nConnection: close");
    while (!empty && body < expected) {
        ssize_t got = recv(descriptor, buffer, BUFFER, 0);
        if (got <= 0) return false;
        body += (size_t)got;
    }
    request->answer_bytes = body;
    request->status = status;
    return !closing;
}

static void *connection(void *unused) {
    (void)unused;
    char *buffer = malloc(BUFFER + 1);
    int descriptor = dial();
    for (size_t index; (index = atomic_fetch_add(&next_request, 1)) < request_count;) {
        struct request *request = &requests[index];
        for (int attempt = 0; attempt < 2 && !request->status; attempt++) {
            bool usable = send_all(descriptor, request->head, request->head_bytes) &&
                          send_all(descriptor, bodies + request->body_offset, request->body_bytes) &&
                          receive(descriptor, request, buffer);
            if (usable) continue;
            close(descriptor);
            descriptor = dial();
        }
    }
    close(descriptor);
    free(buffer);
    return NULL;
}

static const char *mapped(const char *path, size_t *size) {
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &facts)) die(path);
    *size = (size_t)facts.st_size;
    if (!*size) return "";
    const char *memory = mmap(NULL, *size, PROT_READ, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) die(path);
    return memory;
}

static void load(const char *path) {
    size_t size, room = 0;
    const char *text = mapped(path, &size), *end = text + size;
    while (text < end) {
        if (request_count == room) requests = realloc(requests, sizeof *requests * (room = room ? room * 2 : 1024));
        struct request *request = &requests[request_count++];
        *request = (struct request){.etag = "-"};
        size_t method = strcspn(text, " ");
        if (method >= sizeof request->method) {
            fprintf(stderr, "replay: request %zu of %s cannot be read\n", request_count, path);
            exit(2);
        }
        memcpy(request->method, text, method);
        char *rest;
        request->head_bytes = strtoull(text + method, &rest, 10);
        request->body_offset = strtoull(rest, &rest, 10);
        request->body_bytes = strtoull(rest, &rest, 10);
        request->head = rest + 1;
        text = request->head + request->head_bytes;
    }
}

int main(int count, char **words) {
    if (count != 5) {
        fputs("usage: replay PORT CONNECTIONS REQUESTS BODIES\n", stderr);
        return 2;
    }
    size_t body_size, threads = strtoul(words[2], NULL, 10);
    port = atoi(words[1]);
    load(words[3]);
    bodies = mapped(words[4], &body_size);
    if (threads > MOST_CONNECTIONS) threads = MOST_CONNECTIONS;
    if (threads > request_count) threads = request_count;
    pthread_t thread[MOST_CONNECTIONS];
    double began = seconds();
    for (size_t index = 0; index < threads; index++)
        if (pthread_create(&thread[index], NULL, connection, NULL)) die("replay: thread");
    for (size_t index = 0; index < threads; index++) pthread_join(thread[index], NULL);
    printf("%.6f\n", seconds() - began);
    for (size_t index = 0; index < request_count; index++) {
        const struct request *request = &requests[index];
        printf("%d %zu %s\n", request->status, request->answer_bytes, request->etag);
    }
    return 0;
}
