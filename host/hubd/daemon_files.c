/* The files of hubd's configuration: capabilities, tokens, certificates, the ADB key. */
#include "host/hubd/daemon.h"

#include "host/shared/capability_dir.h"
#include "host/shared/capability_file.h"
#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct action_list action_lists[DAEMON_CAPABILITIES];

/* Lists that have been replaced while attempts follow them: a running attempt ends by the list it
 * has begun with. */
enum { REPLACED_LISTS = 8 };
static struct action_list replaced[REPLACED_LISTS];

const struct action_list *daemon_action_lists(void) {
    return action_lists;
}

/* What one pass over the directory has found; each pass begins it anew. */
struct capability_pass {
    struct daemon *daemon;
    struct config_error *error;
    struct capability capability; /* of the file read last */
    struct action_list list;
    char names[DAEMON_CAPABILITIES][RECORD_ID_MAX + 1];
    uint32_t count;      /* of names */
    uint32_t new_count;  /* of them, those the core does not know yet */
    uint32_t kept_count; /* lists that must be kept beside their new ones */
};

static uint32_t find_index(const struct capability_pass *pass) {
    const char *name = pass->capability.name;
    return hub_capability_find(&pass->daemon->hub,
                               (struct bytes){(const uint8_t *)name, strlen(name)});
}

static bool is_named(const struct capability_pass *pass, const char *name) {
    for (uint32_t i = 0; i < pass->count; i++) {
        if (strcmp(pass->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static struct action_list *unused_list(const struct daemon *daemon) {
    for (uint32_t i = 0; i < REPLACED_LISTS; i++) {
        if (!executor_uses(&daemon->executor, &replaced[i])) {
            return &replaced[i];
        }
    }
    return NULL;
}

static uint32_t count_unused(const struct daemon *daemon) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < REPLACED_LISTS; i++) {
        count += !executor_uses(&daemon->executor, &replaced[i]);
    }
    return count;
}

/* Whether the file changes a list that attempts follow now. */
static bool replaces_used_list(const struct capability_pass *pass) {
    uint32_t index = find_index(pass);
    return index != HUB_NONE &&
           pass->daemon->hub.capabilities[index].actions_digest !=
               pass->capability.actions_digest &&
           executor_uses(&pass->daemon->executor, &action_lists[index]);
}

/* Judges one file among the others; changes nothing outside the pass. */
static bool judge_capability(void *owner, const char *path) {
    struct capability_pass *pass = owner;
    const struct hub *hub = &pass->daemon->hub;
    if (capability_file_read(path, &pass->capability, &pass->list, pass->error) != STATUS_OK) {
        return false;
    }
    const char *wrong = NULL;
    pass->new_count += find_index(pass) == HUB_NONE ? 1 : 0;
    pass->kept_count += replaces_used_list(pass) ? 1 : 0;
    if (is_named(pass, pass->capability.name)) {
        wrong = "expected a name that no other file has";
    } else if (pass->count == DAEMON_CAPABILITIES ||
               hub->capability_count + pass->new_count > hub->board->capabilities) {
        wrong = "expected no more capabilities than the board holds";
    } else if (pass->kept_count > count_unused(pass->daemon)) {
        wrong = "expected fewer changes of actions while attempts run; try again later";
    }
    if (wrong != NULL) {
        snprintf(pass->error->text, sizeof pass->error->text,
                 "%.300s: [capability] name: %s, got \"%s\"", path, wrong, pass->capability.name);
        return false;
    }
    snprintf(pass->names[pass->count], sizeof pass->names[0], "%s", pass->capability.name);
    pass->count += 1;
    return true;
}

/* Puts both halves of one file under the same index. */
static bool set_capability(void *owner, const char *path) {
    struct capability_pass *pass = owner;
    if (!judge_capability(pass, path)) {
        return false; /* it has changed since it was judged */
    }
    if (replaces_used_list(pass)) {
        struct action_list *list = &action_lists[find_index(pass)];
        struct action_list *kept = unused_list(pass->daemon);
        check(kept != NULL);
        *kept = *list;
        executor_move_list(&pass->daemon->executor, list, kept);
    }
    check(hub_capability_set(&pass->daemon->hub, &pass->capability) == STATUS_OK);
    action_lists[find_index(pass)] = pass->list;
    pass->new_count = 0; /* the core counts it from here on */
    pass->kept_count = 0;
    return true;
}

/* What has no file any more takes no new work; what it has accepted still runs. */
static void retire_others(const struct capability_pass *pass) {
    struct hub *hub = &pass->daemon->hub;
    for (uint32_t i = 0; i < hub->capability_count; i++) {
        struct capability capability = hub->capabilities[i];
        if (!is_named(pass, capability.name) && !capability.is_retired) {
            capability.is_retired = true;
            check(hub_capability_set(hub, &capability) == STATUS_OK);
        }
    }
}

/* All files are judged before the first is taken: a bad one leaves everything as it was. */
bool daemon_load_capabilities(struct daemon *daemon, struct config_error *error) {
    static struct capability_pass pass;
    capability_dir_visit *const visits[] = {judge_capability, set_capability};
    for (size_t i = 0; i < array_count(visits); i++) {
        pass.daemon = daemon;
        pass.error = error;
        pass.count = 0;
        pass.new_count = 0;
        pass.kept_count = 0;
        if (!capability_dir_walk(daemon->settings.capability_dir, visits[i], &pass, error)) {
            return false;
        }
    }
    retire_others(&pass);
    return true;
}

void daemon_judge_containers(struct daemon *daemon) {
    struct hub *hub = &daemon->hub;
    for (uint32_t i = 0; i < hub->capability_count; i++) {
        struct capability capability = hub->capabilities[i];
        if (!action_needs_container(&action_lists[i]) || capability.is_retired) {
            continue;
        }
        const char *reason = daemon->containers.reason;
        if (daemon->settings.adb_dir[0] == '\0') {
            reason = "a program reaches its phone over an adb endpoint, and [adb] dir is not set";
        } else if (run_containers_are_usable(&daemon->containers)) {
            continue;
        }
        log_error("capability_refused name=%s reason=%s", capability.name, reason);
        capability.is_retired = true;
        check(hub_capability_set(hub, &capability) == STATUS_OK);
    }
}

void daemon_load_tokens(struct daemon *daemon, bool is_start) {
    struct token_error error;
    const char *path = daemon->settings.token_file;
    enum status status = token_load(&daemon->tokens, path, &error);
    if (status != STATUS_OK && is_start) {
        daemon_die(EXIT_USAGE, "%s:%u: %s", path, error.line, error.text);
    }
    if (status != STATUS_OK) {
        log_error("tokens_not_reloaded file=%s line=%u reason=%s", path, error.line, error.text);
    } else if (daemon->tokens.is_exposed) {
        log_warn("token_file_exposed file=%s reason=%s", path, "everybody may read it");
    }
}

/* One certificate towards upstream, of the hub `id`; `where` names its section. */
static void load_hub_tls(struct tls_config_pair *pair, const struct tls_settings *tls,
                         const char *id, const char *where, bool is_start) {
    char reason[TLS_REASON_SIZE];
    char name[TLS_NAME_SIZE];
    enum status status = tls_config_pair_load(pair, tls, reason);
    if (status != STATUS_OK && is_start) {
        daemon_die(EXIT_USAGE, "[%s] %s", where, reason);
    }
    if (status != STATUS_OK) {
        log_error("certificates_not_reloaded reason=%s", reason);
        return;
    }
    tls_config_own_name(tls_config_pair_current(pair), name);
    if (strcmp(name, id) != 0 && is_start) {
        daemon_die(EXIT_USAGE, "[%s] %s: expected the certificate's common name `%s`, got \"%s\"",
                   strcmp(where, "upstream") == 0 ? "hub" : where,
                   strcmp(where, "upstream") == 0 ? "id" : "cert", name, id);
    }
}

void daemon_load_upstream_tls(struct daemon *daemon, bool is_start) {
    const struct settings *settings = &daemon->settings;
    struct tls_settings tls = {
        .role = TLS_CLIENT,
        .ca_path = settings->upstream_ca,
        .cert_path = settings->upstream_cert,
        .key_path = settings->upstream_key,
        .clock = &daemon->wall_clock.tls,
    };
    if (settings->upstream.count == 0) {
        return;
    }
    load_hub_tls(&daemon->upstream_tls, &tls, settings->hub_id, "upstream", is_start);
    for (uint32_t i = 0; i < settings->carried_count; i++) {
        const struct carrier_settings *carried = &settings->carried[i];
        char where[RECORD_ID_MAX + 8];
        snprintf(where, sizeof where, "carry.%s", carried->name);
        tls.cert_path = carried->cert;
        tls.key_path = carried->key;
        load_hub_tls(&daemon->carriers.rows[i].configs, &tls, carried->name, where, is_start);
    }
}

/* Where the API has a certificate, TCP listeners speak TLS; a Unix socket never needs it. */
void daemon_load_api_tls(struct daemon *daemon, bool is_start) {
    char reason[TLS_REASON_SIZE];
    const struct tls_settings tls = {
        .role = TLS_SERVER,
        .cert_path = daemon->settings.api_cert,
        .key_path = daemon->settings.api_key,
    };
    if (daemon->settings.api_cert[0] == '\0') {
        return;
    }
    enum status status = tls_config_pair_load(&daemon->api_tls, &tls, reason);
    if (status != STATUS_OK && is_start) {
        daemon_die(EXIT_USAGE, "[api] %s", reason);
    }
    if (status != STATUS_OK) {
        log_error("certificates_not_reloaded reason=%s", reason);
    } else if (is_start) {
        http_tls_init(&daemon->api_acceptor, &daemon->api_tls);
    }
}

static void load_callback_secret(struct daemon *daemon, bool is_start) {
    const char *path = daemon->settings.callback_secret;
    int error = 0;
    if (path[0] == '\0' || callback_load_secret(&daemon->callbacks, path, &error) == STATUS_OK) {
        return;
    }
    if (is_start) {
        daemon_die(EXIT_USAGE, "[callbacks] secret_file: %s: expected a line of 1 to %d bytes%s%s",
                   path, CALLBACK_SECRET_BYTES, error != 0 ? ": " : "",
                   error != 0 ? strerror(error) : "");
    }
    log_error("callback_secret_not_reloaded path=%s", path);
}

void daemon_load_callbacks(struct daemon *daemon, bool is_start) {
    char reason[TLS_REASON_SIZE];
    const struct settings *settings = &daemon->settings;
    const struct tls_settings tls = {.role = TLS_CLIENT, .ca_path = settings->callback_ca};
    for (uint32_t i = 0; is_start && i < settings->callbacks.count; i++) {
        check(callback_allow(&daemon->callbacks, settings->callbacks.entries[i]) == STATUS_OK);
    }
    load_callback_secret(daemon, is_start);
    if (settings->callback_ca[0] == '\0') {
        return;
    }
    if (tls_config_pair_load(&daemon->callback_tls, &tls, reason) == STATUS_OK) {
        return;
    }
    if (is_start) {
        daemon_die(EXIT_USAGE, "[callbacks] %s", reason);
    }
    log_error("certificates_not_reloaded reason=%s", reason);
}

void daemon_load_adb_key(struct daemon *daemon) {
    char path[SETTINGS_PATH_BYTES + 32];
    char comment[RECORD_ID_MAX + 16];
    snprintf(path, sizeof path, "%s", daemon->settings.adb_keys);
    if (path[0] == '\0') {
        return;
    }
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        snprintf(path, sizeof path, "%s/adbkey", daemon->settings.adb_keys);
    }
    snprintf(comment, sizeof comment, "hubd@%s", daemon->settings.hub_id);
    enum status status = adb_key_open(&daemon->key, path, comment);
    if (status != STATUS_OK) {
        daemon_die(EXIT_USAGE, "[phones] adb_keys: %s: %s", path, status_text(status));
    }
    daemon->has_key = true;
}
