/* secret_text.h - finds what must not be shown in a text that somebody else wrote: the password of
 * a URL or a connection string, a bearer token. The programs never log a secret themselves; this
 * catches the message of a library that quotes its input. */
#ifndef HOST_SHARED_SECRET_TEXT_H
#define HOST_SHARED_SECRET_TEXT_H

#include "hal/base.h"

/* How many bytes of `text` from `at` on are a secret; 0: none begins there. One begins behind
 * `password=`, `passwd=`, `secret=`, `token=`, `Bearer ` (any case) and ends before a blank, a
 * quote, `&`, `;`, `,`, or the end; or behind the colon of `//USER:` and ends before the `@`. */
size_t secret_text_at(struct bytes text, size_t at);

#endif
