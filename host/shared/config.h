/* config.h - INI files (inih) into a schema the caller gives, with errors an operator can act on.
 *
 * A line is `[section]`, `key = value`, a comment (`;` or `#`), or blank; at most 197 bytes, a
 * section's name at most 48. ` ;` begins a comment behind a value. Nothing is guessed: an unknown
 * section or key, a value out of range, a key that comes twice, a missing one: each is refused
 * with file, line, section, key and what was expected:
 *     hubd.ini:12: [api] listen: expected tcp:HOST:PORT or unix:PATH, got "8080" */
#ifndef HOST_SHARED_CONFIG_H
#define HOST_SHARED_CONFIG_H

#include "hal/base.h"

enum { CONFIG_FILE_BYTES = 64 * 1024, CONFIG_LINE_BYTES = 197, CONFIG_KEYS = 64 };

struct config_error {
    char text[512];
};

/* One line, valid during the call only. */
struct config_item {
    const char *file;
    unsigned line;
    const char *section; /* "" before the first */
    const char *suffix;  /* of `[name.suffix]`: "suffix"; else "" */
    const char *key;     /* NULL: the section's own line */
    const char *value;
};

enum config_kind {
    CONFIG_STRING,  /* target: char[capacity] */
    CONFIG_PATH,    /* the same */
    CONFIG_INTEGER, /* target: uint64_t; min..max */
    CONFIG_SIZE,    /* target: uint64_t bytes; min..max; a number with KiB, MiB, GiB, or none */
    CONFIG_BOOLEAN, /* target: bool; on or off */
    CONFIG_EACH     /* may be repeated: `take(target, item)` for each */
};

struct config_key {
    const char *section; /* "api", or "hub_serial.*" for [hub_serial.NAME] */
    const char *key;
    enum config_kind kind;
    bool is_required; /* for "x.*": in each such section */
    void *target;     /* stays untouched when the key is absent */
    size_t capacity;
    uint64_t min, max;
    const char *expected; /* EACH: what a value looks like, for the message */
    bool (*take)(void *target, const struct config_item *item); /* false: not as expected */
};

struct config_schema {
    const struct config_key *keys;
    size_t count; /* at most CONFIG_KEYS */
};

/* OK; else `error` is filled. MALFORMED: the text; TOO_LARGE: more than CONFIG_FILE_BYTES;
 * NOT_FOUND, DENIED, IO: the file. Targets may have been written before an error was found. */
must_check enum status config_read(const char *path, const struct config_schema *schema,
                                   struct config_error *error);
must_check enum status config_parse(const char *file, struct bytes text,
                                    const struct config_schema *schema, struct config_error *error);

/* The same without a schema, line by line (capability files). `visit` returns false after
 * config_refuse() to stop. */
typedef bool config_visit(void *owner, const struct config_item *item, struct config_error *error);
must_check enum status config_read_each(const char *path, config_visit *visit, void *owner,
                                        struct config_error *error);
must_check enum status config_each(const char *file, struct bytes text, config_visit *visit,
                                   void *owner, struct config_error *error);

/* Fills `error`: `FILE:LINE: [section] key: expected EXPECTED, got "value"`. Returns false. */
bool config_refuse(struct config_error *error, const struct config_item *item,
                   const char *expected);

/* Takes the next part of a comma-separated list, without blanks; false: none is left, or it does
 * not fit (then *list is not NULL). */
bool config_next_part(const char **list, char *part, size_t capacity);

/* Takes a comma-separated list of words of letters, digits and `_ . : -` as a text of words with
 * one space between them. False: not such a list, or it does not fit. */
must_check bool config_words(const char *list, char *text, size_t capacity);

/* Single values, for `take` functions. */
must_check enum status config_integer(const char *text, uint64_t min, uint64_t max,
                                      uint64_t *value);
must_check enum status config_size(const char *text, uint64_t min, uint64_t max, uint64_t *value);
must_check enum status config_boolean(const char *text, bool *value);

#endif
