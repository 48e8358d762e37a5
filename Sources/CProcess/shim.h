// prctl is variadic, which Swift cannot call.
#pragma once
#include <sys/prctl.h>

/// Clears the dumpable flag of this process (prctl(2), PR_SET_DUMPABLE). Returns 0, or -1 with errno set.
static inline int cprocess_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

/// The dumpable flag: 0 when no core may be written and no other process may look in.
static inline int cprocess_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }
