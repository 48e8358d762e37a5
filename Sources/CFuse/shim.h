// libfuse's low-level interface, at one interface version. What Swift cannot import follows as functions; none of them
// gives out memory.
#ifndef COGNITOFS_CFUSE_SHIM_H
#define COGNITOFS_CFUSE_SHIM_H
#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

typedef void (*cfuse_log_sink)(int level, const char *message);

static inline cfuse_log_sink *cfuse_log_slot(void) {
    static cfuse_log_sink sink;
    return &sink;
}

static inline void cfuse_log_line(enum fuse_log_level level, const char *format, va_list arguments) {
    char line[512];
    vsnprintf(line, sizeof line, format, arguments);
    (*cfuse_log_slot())((int)level, line);
}

// Sends libfuse's own messages, formatted and cut at 511 bytes, to `sink` instead of to standard error. The message is
// libfuse's and valid during the call. For the whole process; call it once, before a session exists.
static inline void cfuse_set_log_sink(cfuse_log_sink sink) {
    *cfuse_log_slot() = sink;
    fuse_set_log_func(cfuse_log_line);
}

// Names the calling thread; the kernel cuts at 15 bytes.
static inline void cfuse_name_thread(const char *name) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
}
#endif
