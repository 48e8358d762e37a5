// What Swift's Glibc module leaves out, since it asks for _GNU_SOURCE.
#ifndef COGNITOFS_CDISK_H
#define COGNITOFS_CDISK_H
#include <stdint.h>

/// Gives the room of bytes of an open file back to the disk and keeps the file's size (fallocate(2),
/// FALLOC_FL_PUNCH_HOLE). Returns 0, or -1 with errno set.
int cognitofs_punch_hole(int descriptor, int64_t offset, int64_t count);

/// Takes room for bytes of an open file and keeps the file's size (fallocate(2), FALLOC_FL_KEEP_SIZE). Returns 0, or -1
/// with errno set.
int cognitofs_reserve(int descriptor, int64_t offset, int64_t count);

/// The command of fcntl(2) for open file description locks, without waiting.
extern const int cognitofs_set_description_lock;
#endif
