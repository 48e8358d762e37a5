// CRC-64/NVME (NVM Express NVM Command Set Specification, "64b CRC"): S3's default checksum.
//
// With carry-less multiplication: a 128-bit register R stands for a polynomial; to fold it over the next D bits is
// R * x^D, which needs only the two remainders of x^(D+64) and x^D. The multiplication of bit-reversed operands
// leaves one factor x too many, so the constants are x^(D+63) and x^(D-1) modulo the polynomial. What is left in the
// end is a message of 16 bytes with the same remainder, which the table finishes.

#include "CChecksum.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// 0xAD93D23594C93659 with the bits reversed.
static const uint64_t polynomial = 0x9A6C9329AC4BC9B5u;

/// Written once before `main`, read by all threads afterwards.
static uint64_t slices[8][256];
static bool has_multiplication;
/// Remainders for folding over 64 bytes and over 16 bytes: of the register's first and second half.
static uint64_t fold64[2], fold16[2];

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken from memory as they lie");

static uint64_t load8(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static uint64_t portable(uint64_t state, const uint8_t *bytes, size_t count) {
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word = load8(bytes) ^ state;
        state = 0;
        for (int i = 0; i < 8; i++) state ^= slices[7 - i][(word >> (8 * i)) & 0xFF];
    }
    while (count--) state = (state >> 8) ^ slices[0][(state ^ *bytes++) & 0xFF];
    return state;
}

/// x^exponent modulo the polynomial, bits reversed.
static uint64_t power_of_x(int exponent) {
    uint64_t power = 1ull << 63;
    while (exponent--) power = (power >> 1) ^ (polynomial & (0 - (power & 1)));
    return power;
}

static bool detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse2");
#else
    return false;
#endif
}

__attribute__((constructor)) static void prepare(void) {
    for (uint64_t byte = 0; byte < 256; byte++) {
        uint64_t state = byte;
        for (int bit = 0; bit < 8; bit++) state = (state >> 1) ^ (polynomial & (0 - (state & 1)));
        slices[0][byte] = state;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint64_t former = slices[slice - 1][byte];
            slices[slice][byte] = (former >> 8) ^ slices[0][former & 0xFF];
        }
    fold64[0] = power_of_x(512 + 63);
    fold64[1] = power_of_x(512 - 1);
    fold16[0] = power_of_x(128 + 63);
    fold16[1] = power_of_x(128 - 1);
    has_multiplication = detect();
}

#if defined(__x86_64__)
#define PCLMUL __attribute__((target("pclmul,sse2")))

PCLMUL static __m128i load16(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

PCLMUL static __m128i fold(__m128i state, __m128i constants, __m128i next) {
    __m128i first = _mm_clmulepi64_si128(state, constants, 0x00);
    __m128i second = _mm_clmulepi64_si128(state, constants, 0x11);
    return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

/// Needs 64 bytes or more. Four registers side by side hide the multiplication's latency.
PCLMUL static uint64_t folded(uint64_t state, const uint8_t *bytes, size_t count) {
    const __m128i by64 = load16((const uint8_t *)fold64), by16 = load16((const uint8_t *)fold16);
    __m128i a = _mm_xor_si128(load16(bytes), _mm_cvtsi64_si128((long long)state));
    __m128i b = load16(bytes + 16), c = load16(bytes + 32), d = load16(bytes + 48);
    for (bytes += 64, count -= 64; count >= 64; bytes += 64, count -= 64) {
        a = fold(a, by64, load16(bytes));
        b = fold(b, by64, load16(bytes + 16));
        c = fold(c, by64, load16(bytes + 32));
        d = fold(d, by64, load16(bytes + 48));
    }
    a = fold(fold(fold(a, by16, b), by16, c), by16, d);
    for (; count >= 16; bytes += 16, count -= 16) a = fold(a, by16, load16(bytes));
    uint8_t remainder[16];
    _mm_storeu_si128((__m128i *)remainder, a);
    return portable(portable(0, remainder, sizeof remainder), bytes, count);
}
#endif

uint64_t cognitofs_crc64nvme(uint64_t crc, const void *bytes, size_t count) {
#if defined(__x86_64__)
    if (has_multiplication && count >= 64) return ~folded(~crc, bytes, count);
#endif
    return ~portable(~crc, bytes, count);
}

uint64_t cognitofs_crc64nvme_portable(uint64_t crc, const void *bytes, size_t count) {
    return ~portable(~crc, bytes, count);
}
