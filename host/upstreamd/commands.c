#include "host/upstreamd/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_WRONG = 2, EXIT_NO_STORE = 3, CA_DAYS = 3650, SERVER_DAYS = 825 };

static struct db database;
static struct fleet_clock now;

bool commands_is(const char *word) {
    return strcmp(word, "enroll") == 0 || strcmp(word, "revoke") == 0 ||
           strcmp(word, "init-ca") == 0;
}

bool commands_needs_settings(const char *word) {
    return strcmp(word, "init-ca") != 0;
}

static int complain(int code, const char *what, const char *why) {
    fprintf(stderr, "upstreamd: %s: %s\n", what, why);
    return code;
}

/* ---- enroll, revoke ---- */

static bool read_minutes(const char *text, uint64_t *minutes) {
    char *end = NULL;
    *minutes = text == NULL ? TRUST_TOKEN_MINUTES : strtoull(text, &end, 10);
    return text == NULL ||
           (*text >= '0' && *text <= '9' && *end == '\0' && *minutes > 0 && *minutes <= 525600);
}

static int make_token(struct trust *trust, const char *hub, uint64_t minutes) {
    char token[TRUST_TOKEN_SIZE];
    enum status status = db_begin(trust->db);
    status = status == STATUS_OK ? trust_make_token(trust, hub, minutes, token) : status;
    status = status == STATUS_OK ? db_commit(trust->db) : status;
    if (status != STATUS_OK) {
        return complain(EXIT_NO_STORE, "enroll", db_reason(trust->db));
    }
    printf("%s\n", token);
    fprintf(stderr, "A token for hub %s, good once and for %llu minutes; it is shown only now.\n",
            hub, (unsigned long long)minutes);
    return 0;
}

static int revoke_hub(struct trust *trust, const char *hub) {
    enum status status = db_begin(trust->db);
    status = status == STATUS_OK ? trust_revoke(trust, hub) : status;
    status = status == STATUS_OK ? db_commit(trust->db) : status;
    if (status != STATUS_OK) {
        return complain(EXIT_NO_STORE, "revoke", db_reason(trust->db));
    }
    fprintf(stderr, "Every certificate of hub %s up to now is revoked.\n", hub);
    return 0;
}

static int with_database(const struct settings *settings, struct trust *trust,
                         const struct commands_options *options, char **words) {
    uint64_t minutes = 0;
    struct timespec wall;
    const struct db_place place = {settings->postgres[0] != '\0' ? NULL : settings->sqlite,
                                   settings->postgres[0] != '\0' ? settings->postgres : NULL};
    if (!read_minutes(options->minutes, &minutes)) {
        return complain(EXIT_WRONG, "--minutes", "expected a number from 1 to 525600");
    }
    if (!tls_identity_is_name((struct bytes){(const uint8_t *)words[1], strlen(words[1])})) {
        return complain(EXIT_WRONG, words[1], "expected a hub's id: letters, digits, - _ .");
    }
    check(clock_gettime(CLOCK_REALTIME, &wall) == 0);
    now.wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
    trust->db = &database;
    trust->now = &now;
    if (db_open(&database, &place) != STATUS_OK) {
        return complain(EXIT_NO_STORE, "[store]", db_reason(&database));
    }
    int code = strcmp(words[0], "enroll") == 0 ? make_token(trust, words[1], minutes)
                                               : revoke_hub(trust, words[1]);
    db_rollback(&database);
    db_close(&database);
    return code;
}

/* ---- init-ca ---- */

struct paths {
    char ca[SETTINGS_PATH_BYTES], ca_key[SETTINGS_PATH_BYTES];
    char server[SETTINGS_PATH_BYTES], server_key[SETTINGS_PATH_BYTES];
};

static int make_authority(const struct paths *paths, const char *host) {
    static struct tls_authority authority;
    char reason[TLS_REASON_SIZE];
    uint64_t now_s = (uint64_t)time(NULL);
    const struct tls_life ca_life = {now_s - TRUST_CLOCK_SLACK_S,
                                     now_s + (uint64_t)CA_DAYS * 86400};
    const struct tls_life life = {now_s - TRUST_CLOCK_SLACK_S,
                                  now_s + (uint64_t)SERVER_DAYS * 86400};
    bool has_ca = access(paths->ca, F_OK) == 0 && access(paths->ca_key, F_OK) == 0;
    if (!has_ca && tls_authority_make(paths->ca, paths->ca_key, &ca_life, reason) != STATUS_OK) {
        return complain(EXIT_FAILED, "init-ca", reason);
    }
    enum status status = tls_authority_open(&authority, paths->ca, paths->ca_key);
    if (status == STATUS_OK) {
        status =
            tls_authority_make_server(&authority, paths->server, paths->server_key, host, &life);
    }
    if (status != STATUS_OK) {
        return complain(EXIT_FAILED, "init-ca", authority.reason);
    }
    tls_authority_close(&authority);
    fprintf(stderr, "%s %s and %s (keep the key), made %s and %s for %s.\n",
            has_ca ? "Used" : "Made", paths->ca, paths->ca_key, paths->server, paths->server_key,
            host);
    return 0;
}

static int init_ca(const char *folder, const char *host) {
    struct paths paths;
    if (strlen(folder) + sizeof "/server.key" > SETTINGS_PATH_BYTES) {
        return complain(EXIT_WRONG, folder, "the path is too long");
    }
    snprintf(paths.ca, sizeof paths.ca, "%.240s/ca.crt", folder);
    snprintf(paths.ca_key, sizeof paths.ca_key, "%.240s/ca.key", folder);
    snprintf(paths.server, sizeof paths.server, "%.240s/server.crt", folder);
    snprintf(paths.server_key, sizeof paths.server_key, "%.240s/server.key", folder);
    return make_authority(&paths, host);
}

int commands_run(const struct settings *settings, struct trust *trust,
                 const struct commands_options *options, int count, char **words) {
    bool is_init = strcmp(words[0], "init-ca") == 0;
    if (count != (is_init ? 3 : 2)) {
        return complain(EXIT_WRONG, words[0],
                        is_init ? "expected init-ca FOLDER HOST" : "expected one hub's id");
    }
    return is_init ? init_ca(words[1], words[2]) : with_database(settings, trust, options, words);
}
