/* adb_key.h - the RSA key by which phones know this host, and its check on the phone's side.
 *
 * Source: AOSP client/auth.cpp, crypto/rsa_2048_key.cpp, core/libcrypto_utils/android_pubkey.cpp.
 * A token's 20 bytes are signed as if they were a SHA-1 digest (PKCS#1 v1.5). */
#ifndef HOST_SHARED_ADB_KEY_H
#define HOST_SHARED_ADB_KEY_H

#include "hal/linux/mbedtls_compat.h"
#include "protocol/adb.h"

struct adb_key {
    mbedtls_pk_context pk;
    char text[ADB_PUBLIC_KEY_SIZE]; /* the public key as phones keep it: base64, blank, comment */
};

/* Loads the private key at `path` (PEM, as ~/.android/adbkey), or makes a 2048-bit key there
 * (mode 0600, its text beside it in `path`.pub). `comment` is what the phone's user sees, such as
 * "hub@rack-3"; under 128 bytes. MALFORMED: the file holds no 2048-bit RSA key. IO: the file could
 * not be read or written (errno says why). NO_MEMORY: mbed TLS. Close with adb_key_close() after
 * OK only. */
must_check enum status adb_key_open(struct adb_key *key, const char *path, const char *comment);
void adb_key_close(struct adb_key *key);

must_check enum status adb_key_sign(struct adb_key *key, const uint8_t token[ADB_TOKEN_SIZE],
                                    uint8_t signature[ADB_SIGNATURE_SIZE]);

/* The phone's side. MALFORMED: `text` is not the text of a 2048-bit key. DENIED: the signature is
 * not of this key and token. */
must_check enum status adb_key_verify(struct bytes text, const uint8_t token[ADB_TOKEN_SIZE],
                                      struct bytes signature);

#endif
