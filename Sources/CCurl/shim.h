// libcurl's variadic calls, which Swift cannot import, with one fixed type each. Nothing here allocates or frees.
#ifndef COGNITOFS_CCURL_SHIM_H
#define COGNITOFS_CCURL_SHIM_H
#include <curl/curl.h>
#endif
