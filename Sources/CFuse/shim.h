// libfuse's low-level interface, at one interface version, with what Swift cannot import (function-like macros) as functions.
#ifndef COGNITOFS_CFUSE_SHIM_H
#define COGNITOFS_CFUSE_SHIM_H
#define FUSE_USE_VERSION 314
#define _FILE_OFFSET_BITS 64
#include <fuse3/fuse_lowlevel.h>
#endif
