/* Any bytes as a token file: OK, or an error with its line and no secret; every token of a file
 * that is taken is found, as itself and as nothing shorter or longer. */
#include "host/shared/token.h"

#include <string.h>

static struct token_table table;

static void look_at(const struct token *token) {
    struct bytes secret = {(const uint8_t *)token->secret, strlen(token->secret)};
    check(token->name[0] != '\0' && secret.size > 0 && token->scopes != 0);
    check(token_find(&table, secret) == token);
    secret.size -= 1;
    const struct token *shorter = token_find(&table, secret);
    check(shorter == NULL || strlen(shorter->secret) == secret.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct token_error error = {0};
    table.count = 0;
    if (token_parse(&table, (struct bytes){data, size}, &error) != STATUS_OK) {
        check(table.count == 0); /* left as it was */
        check(error.text[0] != '\0' && memchr(error.text, '\0', sizeof error.text) != NULL);
        return 0;
    }
    check(table.count <= TOKEN_COUNT_MAX);
    for (size_t i = 0; i < table.count; i++) {
        look_at(&table.tokens[i]);
        for (size_t j = 0; j < i; j++) {
            check(strcmp(table.tokens[i].name, table.tokens[j].name) != 0);
            check(strcmp(table.tokens[i].secret, table.tokens[j].secret) != 0);
        }
    }
    return 0;
}
