/* token.h - bearer tokens of the HTTP API: who may do what.
 *
 * The file has a line per token, `NAME SCOPES TOKEN [SYSTEM]` (SPEC.md section 5); scopes are comma
 * separated from submit, read, worker, operate; SYSTEM binds the token to one requested_by.system.
 * Empty lines and lines that begin with # are skipped. */
#ifndef HOST_SHARED_TOKEN_H
#define HOST_SHARED_TOKEN_H

#include "hal/base.h"

enum {
    TOKEN_SUBMIT = 1,
    TOKEN_READ = 2,
    TOKEN_WORKER = 4,
    TOKEN_OPERATE = 8,
    TOKEN_ANY = TOKEN_SUBMIT | TOKEN_READ | TOKEN_WORKER | TOKEN_OPERATE,

    TOKEN_COUNT_MAX = 64,
    TOKEN_NAME_SIZE = 33, /* with NUL, as the next two */
    TOKEN_SYSTEM_SIZE = 65,
    TOKEN_SECRET_SIZE = 129,
    TOKEN_FILE_BYTES_MAX = 32 << 10,
};

struct token {
    char name[TOKEN_NAME_SIZE];
    char system[TOKEN_SYSTEM_SIZE]; /* empty: any */
    char secret[TOKEN_SECRET_SIZE]; /* padded with zeros */
    unsigned scopes;                /* TOKEN_* */
};

struct token_table {
    struct token tokens[TOKEN_COUNT_MAX];
    size_t count;
    bool is_exposed; /* everybody may read the file: worth a warning */
};

struct token_error {
    unsigned line;  /* from 1; 0: the file as a whole */
    char text[120]; /* what was expected; never holds a secret */
};

/* Reads the file. IO: it cannot be read. MALFORMED: a line is not as above, a name or a token comes
 * twice. FULL: too many tokens. TOO_LARGE. On failure the table is left as it was. */
must_check enum status token_load(struct token_table *table, const char *path,
                                  struct token_error *error);

/* The same from memory; is_exposed is not touched. */
must_check enum status token_parse(struct token_table *table, struct bytes text,
                                   struct token_error *error);

/* The entry whose token was presented, or NULL. Takes the same time whichever it is, and whether
 * there is one. */
const struct token *token_find(const struct token_table *table, struct bytes presented);

#endif
