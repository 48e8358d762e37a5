// CRC-32C with the processor's own instruction where it has one: Swift cannot import compiler intrinsics.
#ifndef COGNITOFS_CCHECKSUM_H
#define COGNITOFS_CCHECKSUM_H
#include <stddef.h>
#include <stdint.h>

/// Continues a CRC-32C (Castagnoli, reflected, initial value and final XOR applied by this function) over `count` bytes.
/// Pass 0 to begin; pass the former result to go on.
uint32_t cognitofs_crc32c(uint32_t crc, const void *bytes, size_t count);
#endif
