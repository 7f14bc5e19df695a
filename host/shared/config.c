#include "host/shared/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SECTION_BYTES = 48 }; /* inih cuts longer ones off without a word */

/* inih asks for line after line through `next_line`, which therefore knows the line's number. */
struct reading {
    const char *file;
    struct bytes rest;
    unsigned line;
    config_visit *visit;
    void *owner;
    struct config_error *error;
    bool has_failed;
};

static char file_text[CONFIG_FILE_BYTES];

bool config_refuse(struct config_error *error, const struct config_item *item,
                   const char *expected) {
    if (item->key == NULL) {
        snprintf(error->text, sizeof error->text, "%s:%u: [%s]: expected %s", item->file,
                 item->line, item->section, expected);
    } else {
        snprintf(error->text, sizeof error->text, "%s:%u: [%s] %s: expected %s, got \"%s\"",
                 item->file, item->line, item->section, item->key, expected, item->value);
    }
    return false;
}

static void fail_line(struct reading *reading, const char *expected) {
    if (!reading->has_failed) {
        snprintf(reading->error->text, sizeof reading->error->text, "%s:%u: expected %s",
                 reading->file, reading->line, expected);
    }
    reading->has_failed = true;
}

static bool visit(struct reading *reading, const char *section, const char *key,
                  const char *value) {
    const char *dot = strchr(section, '.');
    const struct config_item item = {.file = reading->file,
                                     .line = reading->line,
                                     .section = section,
                                     .suffix = dot != NULL ? dot + 1 : "",
                                     .key = key,
                                     .value = value};
    if (!reading->has_failed && !reading->visit(reading->owner, &item, reading->error)) {
        reading->has_failed = true;
    }
    return !reading->has_failed;
}

/* A carriage return belongs to the line's end: inih would take it for a blank anywhere, and see
 * sections that visit_section() does not. */
static bool is_clean(const char *line) {
    for (; *line != '\0'; line++) {
        unsigned char c = (unsigned char)*line;
        bool is_end = c == '\n' || (c == '\r' && (line[1] == '\n' || line[1] == '\0'));
        if (c == 0x7f || (c < ' ' && c != '\t' && !is_end)) {
            return false;
        }
    }
    return true;
}

/* inih does not report a section that has no keys, so we do. */
static void visit_section(struct reading *reading, const char *line) {
    char name[SECTION_BYTES + 1];
    line += strspn(line, " \t");
    const char *end = line[0] == '[' ? strchr(line, ']') : NULL;
    if (end == NULL) {
        return;
    }
    size_t size = (size_t)(end - line - 1);
    if (size == 0 || size > SECTION_BYTES) {
        fail_line(reading, "a section name of 1 to 48 bytes");
        return;
    }
    memcpy(name, line + 1, size);
    name[size] = '\0';
    const char *rest = end + 1 + strspn(end + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#') {
        fail_line(reading, "nothing behind [section]");
    }
    visit(reading, name, NULL, NULL);
}

static char *next_line(char *target, int capacity, void *stream) {
    struct reading *reading = stream;
    struct bytes *rest = &reading->rest;
    if (rest->size == 0 || reading->has_failed) {
        return NULL;
    }
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    size_t size = end != NULL ? (size_t)(end - rest->data) + 1 : rest->size;
    size_t visible = size - (end != NULL ? 1 : 0);
    reading->line++;
    if (visible > 0 && rest->data[visible - 1] == '\r') {
        visible--;
    }
    if (visible > CONFIG_LINE_BYTES || size >= (size_t)capacity) {
        fail_line(reading, "a line of at most 197 bytes");
        return NULL;
    }
    memcpy(target, rest->data, size);
    target[size] = '\0';
    *rest = (struct bytes){rest->data + size, rest->size - size};
    if (strlen(target) != size || !is_clean(target)) {
        fail_line(reading, "text without control characters");
        return NULL;
    }
    visit_section(reading, reading->line == 1 && strncmp(target, "\xef\xbb\xbf", 3) == 0
                               ? target + 3
                               : target);
    return reading->has_failed ? NULL : target;
}

static int on_value(void *user, const char *section, const char *key, const char *value) {
    struct reading *reading = user;
    if (section[0] == '\0') {
        fail_line(reading, "a [section] before the first key");
    } else if (key[0] == '\0') {
        fail_line(reading, "[section] or key = value");
    } else {
        visit(reading, section, key, value);
    }
    return !reading->has_failed;
}

enum status config_each(const char *file, struct bytes text, config_visit *visitor, void *owner,
                        struct config_error *error) {
    struct reading reading = {
        .file = file, .rest = text, .visit = visitor, .owner = owner, .error = error};
    /* A value continues on an indented line in other programs' files; here it is a mistake. */
    ini_allow_multiline = false;
    ini_stop_on_first_error = true;
    int wrong_line = ini_parse_stream(next_line, &reading, on_value, &reading);
    if (wrong_line != 0 && !reading.has_failed) {
        reading.line = wrong_line > 0 ? (unsigned)wrong_line : reading.line;
        fail_line(&reading, "[section] or key = value");
    }
    return reading.has_failed ? STATUS_MALFORMED : STATUS_OK;
}

static enum status load(const char *path, struct bytes *text, struct config_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 1;
    size_t size = 0;
    while (got > 0 && size < sizeof file_text) {
        got = read(fd, file_text + size, sizeof file_text - size);
        size += got > 0 ? (size_t)got : 0;
    }
    int reason = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (got < 0) {
        snprintf(error->text, sizeof error->text, "%s: cannot be read: %s", path, strerror(reason));
        return reason == ENOENT ? STATUS_NOT_FOUND : reason == EACCES ? STATUS_DENIED : STATUS_IO;
    }
    if (got > 0) {
        snprintf(error->text, sizeof error->text, "%s: expected less than %d bytes", path,
                 CONFIG_FILE_BYTES);
        return STATUS_TOO_LARGE;
    }
    *text = (struct bytes){(const uint8_t *)file_text, size};
    return STATUS_OK;
}

enum status config_read_each(const char *path, config_visit *visitor, void *owner,
                             struct config_error *error) {
    struct bytes text;
    enum status status = load(path, &text, error);
    return status == STATUS_OK ? config_each(path, text, visitor, owner, error) : status;
}

enum status config_read(const char *path, const struct config_schema *schema,
                        struct config_error *error) {
    struct bytes text;
    enum status status = load(path, &text, error);
    return status == STATUS_OK ? config_parse(path, text, schema, error) : status;
}
