/* text.h - makes text that others made safe to show: phones, callers and servers are not trusted
 * to write on an operator's terminal.
 *
 * Control characters, bytes that are not UTF-8, and what changes the direction or place of other
 * text (bidirectional controls, zero-width and line separators) become escapes: \n \t \\ \x1b
 * \u{202e}. Where the environment's locale is not UTF-8, everything outside ASCII is escaped. */
#ifndef HOST_HUBCTL_TEXT_H
#define HOST_HUBCTL_TEXT_H

#include "hal/base.h"

/* Learns from LC_ALL, LC_CTYPE and LANG whether UTF-8 may be shown. Until then: ASCII only. */
void text_start(void);

/* Writes the safe form with a NUL and gives its size; what does not fit is cut at a whole
 * character. `capacity` is at least 1. */
size_t text_escape(struct bytes source, char *target, size_t capacity);

/* Columns that a safe text takes: one a character. */
size_t text_columns(const char *safe);

/* Prints the safe form; lines stay lines: only `\n` is written as it is. */
void text_print_lines(struct bytes source, const char *indent);

/* Prints a JSON string, which is also one in CBOR's diagnostic notation: everything outside
 * printable ASCII as \uXXXX, bytes that are not UTF-8 as \ufffd. */
void text_print_quoted(struct bytes source);

#endif
