// What the C library tells of its heap (mallinfo(3)), which Swift's Glibc module leaves out.
#include <malloc.h>
