// What Sealing uses of OpenSSL's libcrypto: digests, HMAC, AES-256-GCM, big numbers, random bytes.
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
