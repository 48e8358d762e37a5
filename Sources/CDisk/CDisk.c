#define _GNU_SOURCE
#include "CDisk.h"
#include <fcntl.h>

int cognitofs_punch_hole(int descriptor, int64_t offset, int64_t count) {
    return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, count);
}

int cognitofs_reserve(int descriptor, int64_t offset, int64_t count) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, count);
}

const int cognitofs_set_description_lock = F_OFD_SETLK;
