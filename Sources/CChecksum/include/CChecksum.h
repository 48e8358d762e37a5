// Checksums with the processor's own instructions where it has them: Swift cannot import compiler intrinsics.
// Nothing here allocates. All functions may be called from any thread.
#ifndef COGNITOFS_CCHECKSUM_H
#define COGNITOFS_CCHECKSUM_H
#include <stddef.h>
#include <stdint.h>

/// Continues a CRC-32C (Castagnoli, reflected, initial value and final XOR applied by this function) over `count` bytes.
/// Pass 0 to begin; pass the former result to go on.
uint32_t cognitofs_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same value by table alone: what runs on a processor without the instruction. Public so that a test compares them.
uint32_t cognitofs_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

/// Continues a CRC-64/NVME (reflected, initial value and final XOR applied by this function) over `count` bytes.
/// Pass 0 to begin; pass the former result to go on.
uint64_t cognitofs_crc64nvme(uint64_t crc, const void *bytes, size_t count);

/// The same value by table alone: what runs on a processor without carry-less multiplication.
uint64_t cognitofs_crc64nvme_portable(uint64_t crc, const void *bytes, size_t count);
#endif
