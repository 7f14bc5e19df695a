#include "host/shared/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_MAX = 5 }; /* one more than allowed, to see it */

static enum status refuse(struct token_error *error, enum status status, unsigned line,
                          const char *text) {
    error->line = line;
    snprintf(error->text, sizeof(error->text), "%s", text);
    return status;
}

static bool is_blank(uint8_t byte) {
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* Cuts a line into words; at most WORDS_MAX are told apart. */
static size_t split(struct bytes line, struct bytes words[WORDS_MAX]) {
    size_t count = 0;
    size_t next = 0;
    while (count < WORDS_MAX) {
        while (next < line.size && is_blank(line.data[next])) {
            next++;
        }
        size_t start = next;
        while (next < line.size && !is_blank(line.data[next])) {
            next++;
        }
        if (next == start) {
            break;
        }
        words[count++] = (struct bytes){line.data + start, next - start};
    }
    return count;
}

/* Copies a word of visible ASCII; the rest of `target` becomes zero. */
static bool copy_word(char *target, size_t target_size, struct bytes word) {
    if (word.size >= target_size) {
        return false;
    }
    for (size_t i = 0; i < word.size; i++) {
        if (word.data[i] <= ' ' || word.data[i] > '~') {
            return false;
        }
    }
    memset(target, 0, target_size);
    memcpy(target, word.data, word.size);
    return true;
}

/* 0: there is no such scope. */
static unsigned scope_of(struct bytes word) {
    static const struct {
        const char *name;
        unsigned scope;
    } scopes[] = {
        {"submit", TOKEN_SUBMIT},
        {"read", TOKEN_READ},
        {"worker", TOKEN_WORKER},
        {"operate", TOKEN_OPERATE},
    };
    for (size_t i = 0; i < array_count(scopes); i++) {
        if (word.size == strlen(scopes[i].name) &&
            memcmp(word.data, scopes[i].name, word.size) == 0) {
            return scopes[i].scope;
        }
    }
    return 0;
}

static unsigned parse_scopes(struct bytes list) {
    unsigned scopes = 0;
    size_t start = 0;
    for (size_t i = 0; i <= list.size; i++) {
        if (i < list.size && list.data[i] != ',') {
            continue;
        }
        unsigned scope = scope_of((struct bytes){list.data + start, i - start});
        if (scope == 0) {
            return 0;
        }
        scopes |= scope;
        start = i + 1;
    }
    return scopes;
}

static const char *parse_token(struct token *token, const struct bytes *words, size_t count) {
    memset(token, 0, sizeof(*token));
    if (count < 3 || count > 4) {
        return "expected NAME SCOPES TOKEN [SYSTEM]";
    }
    if (!copy_word(token->name, sizeof(token->name), words[0])) {
        return "expected a name of at most 32 visible ASCII characters";
    }
    token->scopes = parse_scopes(words[1]);
    if (token->scopes == 0) {
        return "expected scopes from submit,read,worker,operate";
    }
    if (!copy_word(token->secret, sizeof(token->secret), words[2])) {
        return "expected a token of at most 128 visible ASCII characters";
    }
    if (count == 4 && !copy_word(token->system, sizeof(token->system), words[3])) {
        return "expected a system of at most 64 visible ASCII characters";
    }
    return NULL;
}

static enum status add_line(struct token_table *table, struct bytes line, unsigned number,
                            struct token_error *error) {
    struct bytes words[WORDS_MAX];
    size_t count = split(line, words);
    if (count == 0 || words[0].data[0] == '#') {
        return STATUS_OK;
    }
    if (table->count == TOKEN_COUNT_MAX) {
        return refuse(error, STATUS_FULL, number, "expected at most 64 tokens");
    }
    struct token *token = &table->tokens[table->count];
    const char *fault = parse_token(token, words, count);
    if (fault != NULL) {
        return refuse(error, STATUS_MALFORMED, number, fault);
    }
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->tokens[i].name, token->name) == 0) {
            return refuse(error, STATUS_MALFORMED, number, "this name comes twice");
        }
        if (strcmp(table->tokens[i].secret, token->secret) == 0) {
            return refuse(error, STATUS_MALFORMED, number, "this token comes twice");
        }
    }
    table->count++;
    return STATUS_OK;
}

enum status token_parse(struct token_table *table, struct bytes text, struct token_error *error) {
    static struct token_table parsed; /* too large for the stack */
    parsed.count = 0;
    parsed.is_exposed = table->is_exposed;
    enum status status = STATUS_OK;
    unsigned number = 0;
    size_t start = 0;
    while (start < text.size && status == STATUS_OK) {
        const uint8_t *newline = memchr(text.data + start, '\n', text.size - start);
        size_t end = newline == NULL ? text.size : (size_t)(newline - text.data);
        struct bytes line = {text.data + start, end - start};
        status = add_line(&parsed, line, ++number, error);
        start = end + 1;
    }
    if (status == STATUS_OK) {
        memset(&parsed.tokens[parsed.count], 0,
               (TOKEN_COUNT_MAX - parsed.count) * sizeof(parsed.tokens[0]));
        *table = parsed;
    }
    explicit_bzero(&parsed, sizeof(parsed));
    return status;
}

/* Reads to the end or until the buffer is full; -1 with errno. */
static ssize_t read_all(int fd, uint8_t *target, size_t size) {
    size_t filled = 0;
    while (filled < size) {
        ssize_t count = read(fd, target + filled, size - filled);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 ? count : (ssize_t)filled;
        }
        filled += (size_t)count;
    }
    return (ssize_t)filled;
}

enum status token_load(struct token_table *table, const char *path, struct token_error *error) {
    static uint8_t buffer[TOKEN_FILE_BYTES_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return refuse(error, STATUS_IO, 0, strerrordesc_np(errno));
    }
    struct stat info;
    bool is_exposed = fstat(fd, &info) == 0 && (info.st_mode & S_IROTH) != 0;
    ssize_t size = read_all(fd, buffer, sizeof(buffer));
    int saved = errno;
    close(fd);
    enum status status = STATUS_OK;
    if (size < 0) {
        status = refuse(error, STATUS_IO, 0, strerrordesc_np(saved));
    } else if (size > TOKEN_FILE_BYTES_MAX) {
        status = refuse(error, STATUS_TOO_LARGE, 0, "expected at most 32 KiB");
    } else {
        status = token_parse(table, (struct bytes){buffer, (size_t)size}, error);
    }
    explicit_bzero(buffer, sizeof(buffer));
    if (status == STATUS_OK) {
        table->is_exposed = is_exposed;
    }
    return status;
}

enum { SECRET_WORDS = (TOKEN_SECRET_SIZE + 7) / 8 };

/* A secret with zeros behind it. */
struct padded {
    uint64_t words[SECRET_WORDS];
};

static struct padded pad(const char *secret, size_t size) {
    struct padded padded = {{0}};
    check(size < sizeof padded.words);
    memcpy(padded.words, secret, size);
    return padded;
}

/* 1 if both are equal, else 0, without a branch on their bytes. */
static unsigned is_same(const struct padded *left, const struct padded *right) {
    volatile uint64_t difference = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < SECRET_WORDS; i++) {
        sum |= left->words[i] ^ right->words[i];
    }
    difference = (sum | sum >> 32) & UINT32_MAX;
    return 1U & (unsigned)((difference - 1U) >> 32);
}

/* How many tokens there are is no secret; which of them it is, and how much of it was right, is. */
const struct token *token_find(const struct token_table *table, struct bytes presented) {
    if (presented.size == 0 || presented.size >= TOKEN_SECRET_SIZE) {
        return NULL;
    }
    struct padded wanted = pad((const char *)presented.data, presented.size);
    size_t found = 0; /* index + 1 */
    for (size_t i = 0; i < table->count; i++) {
        struct padded secret = pad(table->tokens[i].secret, TOKEN_SECRET_SIZE);
        size_t mask = (size_t)0 - is_same(&secret, &wanted);
        found |= mask & (i + 1);
        explicit_bzero(&secret, sizeof secret);
    }
    explicit_bzero(&wanted, sizeof wanted);
    return found != 0 ? &table->tokens[found - 1] : NULL;
}
