// CRC-32C (RFC 3720, appendix B.4).
//
// The state between calls is the register without the final XOR. Everything is linear over GF(2): the register after
// a run of bytes is the XOR of the register moved over as many zero bytes, and of the bytes' own contribution. The
// three-way loop lives on that: it begins lanes two and three from zero and joins them by moving over zeros.

#include "CChecksum.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HARDWARE_TARGET __attribute__((target("sse4.2")))
#define STEP8(state, word) ((uint32_t)_mm_crc32_u64((state), (word)))
#define STEP1(state, byte) _mm_crc32_u8((state), (byte))
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define HARDWARE_TARGET __attribute__((target("crc")))
#define STEP8(state, word) __builtin_arm_crc32cd((state), (word))
#define STEP1(state, byte) __builtin_arm_crc32cb((state), (byte))
#endif

enum { lane_byte_count = 2048 };

static const uint32_t polynomial = 0x82F63B78u;

/// Written once before `main`, read by all threads afterwards.
static uint32_t slices[8][256];
static uint32_t over_lane[4][256];
static bool has_instruction;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken from memory as they lie");

static uint64_t load8(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static uint32_t portable(uint32_t state, const uint8_t *bytes, size_t count) {
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word = load8(bytes) ^ state;
        state = 0;
        for (int i = 0; i < 8; i++) state ^= slices[7 - i][(word >> (8 * i)) & 0xFF];
    }
    while (count--) state = (state >> 8) ^ slices[0][(state ^ *bytes++) & 0xFF];
    return state;
}

static bool detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
#else
    return false;
#endif
}

__attribute__((constructor)) static void prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t state = byte;
        for (int bit = 0; bit < 8; bit++) state = (state >> 1) ^ (polynomial & (0u - (state & 1)));
        slices[0][byte] = state;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t former = slices[slice - 1][byte];
            slices[slice][byte] = (former >> 8) ^ slices[0][former & 0xFF];
        }
    static const uint8_t zeros[lane_byte_count];
    for (int position = 0; position < 4; position++)
        for (int bit = 0; bit < 8; bit++) {
            uint32_t moved = portable(1u << (8 * position + bit), zeros, lane_byte_count);
            for (int byte = 0; byte < 256; byte++)
                if (byte >> bit & 1) over_lane[position][byte] ^= moved;
        }
    has_instruction = detect();
}

#ifdef HARDWARE_TARGET
static uint32_t move_over_lane(uint32_t state) {
    return over_lane[0][state & 0xFF] ^ over_lane[1][state >> 8 & 0xFF] ^ over_lane[2][state >> 16 & 0xFF]
        ^ over_lane[3][state >> 24];
}

/// The instruction answers after three cycles but can be begun in each: three independent lanes keep it busy.
HARDWARE_TARGET static uint32_t hardware(uint32_t state, const uint8_t *bytes, size_t count) {
    for (; count >= 3 * lane_byte_count; bytes += 3 * lane_byte_count, count -= 3 * lane_byte_count) {
        uint32_t second = 0, third = 0;
        for (size_t at = 0; at < lane_byte_count; at += 8) {
            state = STEP8(state, load8(bytes + at));
            second = STEP8(second, load8(bytes + lane_byte_count + at));
            third = STEP8(third, load8(bytes + 2 * lane_byte_count + at));
        }
        state = move_over_lane(move_over_lane(state) ^ second) ^ third;
    }
    for (; count >= 8; bytes += 8, count -= 8) state = STEP8(state, load8(bytes));
    while (count--) state = STEP1(state, *bytes++);
    return state;
}
#endif

uint32_t cognitofs_crc32c(uint32_t crc, const void *bytes, size_t count) {
#ifdef HARDWARE_TARGET
    if (has_instruction) return ~hardware(~crc, bytes, count);
#endif
    return ~portable(~crc, bytes, count);
}

uint32_t cognitofs_crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
    return ~portable(~crc, bytes, count);
}
