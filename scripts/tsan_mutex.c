/* Lets the thread sanitizer see the contended side of Swift's Mutex.
 *
 * Mutex takes and gives up a free lock by an atomic operation in the caller's own code, which the sanitizer instruments.
 * With contention it calls _lockSlow and _unlockSlow in the Swift runtime, which is not instrumented, so the sanitizer
 * misses that one comes after the other and reports a race. Preloaded, this stands before those two and says so.
 *
 * scripts/test compiles it, with clang for the calling convention. The names are Swift 6.3's; with others it does nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

/* Of the sanitizer, where there is one. */
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));

typedef __attribute__((swiftcall)) void (*LockSlow)(uint32_t thread, __attribute__((swift_context)) void *lock);
typedef __attribute__((swiftcall)) void (*UnlockSlow)(__attribute__((swift_context)) void *lock);

__attribute__((swiftcall)) void lockSlow(uint32_t thread, __attribute__((swift_context)) void *lock) __asm__(LOCK_SLOW);
__attribute__((swiftcall)) void unlockSlow(__attribute__((swift_context)) void *lock) __asm__(UNLOCK_SLOW);

static LockSlow realLock;
static UnlockSlow realUnlock;

__attribute__((constructor)) static void findReal(void) {
    realLock = (LockSlow)dlsym(RTLD_NEXT, LOCK_SLOW);
    realUnlock = (UnlockSlow)dlsym(RTLD_NEXT, UNLOCK_SLOW);
}

__attribute__((swiftcall)) void lockSlow(uint32_t thread, __attribute__((swift_context)) void *lock) {
    realLock(thread, lock);
    if (__tsan_acquire) __tsan_acquire(lock);
}

__attribute__((swiftcall)) void unlockSlow(__attribute__((swift_context)) void *lock) {
    if (__tsan_release) __tsan_release(lock);
    realUnlock(lock);
}
