/* action.h - what a capability's actions do on a phone, as its file says; and what they found. */
#ifndef HOST_SHARED_ACTION_H
#define HOST_SHARED_ACTION_H

#include "firmware/capability.h"
#include "host/shared/json_write.h"

enum {
    ACTION_RULES_MAX = 8,
    ACTION_FAILS_MAX = 4,
    ACTION_KEY_BYTES = 32,
    ACTION_TEXT_BYTES = 64,
    ACTION_PATH_BYTES = 256,
    ACTION_COMMAND_BYTES = 1024,
    FINDINGS_MAX = 64,
    ACTION_PROGRAM_INPUT_BYTES = 16384, /* one input of a program */
};

enum action_kind {
    ACTION_SHELL,
    ACTION_PUSH,
    ACTION_PULL,
    ACTION_VERDICT,
    ACTION_REVIEW,
    ACTION_EXEC,
    ACTION_FLASH,
    ACTION_POWER_CYCLE
};

enum action_rule_kind { ACTION_NUMBER_AFTER, ACTION_TEXT_AFTER, ACTION_NUMBER_AT };

/* How to find one value in a command's output. */
struct action_rule {
    enum action_rule_kind kind;
    char key[ACTION_KEY_BYTES];
    char after[ACTION_TEXT_BYTES]; /* the value follows this text on its line */
    uint32_t line;                 /* AT: from 1 */
    uint32_t column;               /* AT: blank-separated, from 1 */
};

/* A verdict's limit on a number that an earlier action found. */
struct action_limit {
    char action[ACTION_KEY_BYTES];
    char key[ACTION_KEY_BYTES];
    bool is_critical; /* else it asks for attention only */
    bool is_below;    /* below the bound is bad; else above */
    int64_t bound;
};

struct action {
    char name[ACTION_KEY_BYTES];
    enum action_kind kind;
    char command[ACTION_COMMAND_BYTES]; /* SHELL, EXEC: ${key} is a member of the inputs */
    char source[ACTION_PATH_BYTES];     /* PUSH: on the host; PULL: on the phone; FLASH: a folder */
    char target[ACTION_PATH_BYTES];     /* FLASH: the folder in it, with ${key}; "": itself */
    uint64_t max_bytes;                 /* PULL */
    uint64_t timeout_ms;
    bool is_always;      /* runs also when the request names other steps */
    bool ignores_status; /* a command's exit status does not matter */
    char fails_on[ACTION_FAILS_MAX][ACTION_TEXT_BYTES]; /* output with such a text is a failure */
    uint32_t fails_on_count;
    uint32_t rule_count;
    struct action_rule rules[ACTION_RULES_MAX];
    uint32_t limit_count;
    struct action_limit limits[ACTION_RULES_MAX];
};

/* The host's half of a capability; the core's half has the same index. */
struct action_list {
    struct action actions[CAPABILITY_ACTIONS_MAX];
    uint32_t count;
    bool has_steps; /* inputs may name the steps to run: {"steps":[{"action":...}]} */
};

/* HUB_NONE-like: UINT32_MAX when there is none. */
uint32_t action_find(const struct action_list *list, struct bytes name);

/* Whether any action needs a run container. */
bool action_needs_container(const struct action_list *list);

/* The text of `fails_on` that stands in the output; NULL: none does. */
const char *action_failure_in(const struct action *action, struct bytes output);

/* ---- what was found ---- */

struct finding {
    uint8_t action;
    bool is_number;
    char key[ACTION_KEY_BYTES];
    int64_t number;
    char text[ACTION_TEXT_BYTES];
};

struct findings {
    struct finding list[FINDINGS_MAX];
    uint32_t count;
    uint32_t dropped; /* that had no room */
};

void action_add_number(struct findings *findings, uint32_t action, const char *key, int64_t number);

/* Applies an action's rules to its output. What a rule does not find is left out. */
void action_find_values(const struct action_list *list, uint32_t action, struct bytes output,
                        struct findings *findings);

/* Judges: adds `health` (ok, attention, critical) and a `reason` for each limit that is broken. */
void action_judge(const struct action_list *list, uint32_t action, struct findings *findings);

/* {"battery":{"level":83,...},...}, in the order of the actions. */
must_check enum status action_write_findings(const struct action_list *list,
                                             const struct findings *findings, char *text,
                                             size_t capacity, struct bytes *json);

/* Reads back what action_write_findings() wrote in an earlier attempt. */
void action_read_findings(const struct action_list *list, struct bytes json,
                          struct findings *findings);

/* ---- inputs ---- */

enum { ACTION_INPUT_TOKENS = 512 };

/* Which actions a request's inputs ask for: a bit for each. MALFORMED: a step that is none, named
 * in `wrong`. */
must_check enum status action_select(const struct action_list *list, struct bytes inputs,
                                     uint32_t *selected, char wrong[ACTION_TEXT_BYTES]);

/* Puts members of the inputs in the place of each ${key}, quoted for the phone's shell.
 * NOT_FOUND: the inputs lack one, named in `wrong`. TOO_LARGE. */
must_check enum status action_fill(const char *command, struct bytes inputs, char *target,
                                   size_t capacity, char wrong[ACTION_TEXT_BYTES]);

enum { ACTION_WORDS_MAX = 32 };

struct action_words {
    char *memory; /* of the caller, for the texts */
    size_t capacity;
    const char *list[ACTION_WORDS_MAX]; /* NULL-terminated */
};

/* The same for a program that is run without a shell: splits the command at blanks first, so that
 * an input stays inside its word, whatever it holds; double quotes keep blanks in a word.
 * TOO_LARGE: too many words. */
must_check enum status action_words_fill(struct action_words *words, const char *command,
                                         struct bytes inputs, char wrong[ACTION_TEXT_BYTES]);

#endif
