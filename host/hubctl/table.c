#include "host/hubctl/table.h"

#include "host/hubctl/text.h"

#include <stdio.h>
#include <string.h>

void table_begin(struct table *table, const char *const *heads, unsigned columns) {
    check(columns > 0 && columns <= TABLE_COLUMNS);
    table->columns = columns;
    table->cells = 0;
    for (unsigned i = 0; i < columns; i++) {
        table->heads[i] = heads[i];
        table_add_text(table, heads[i]);
    }
}

static void print_row(const struct table *table, unsigned row, const size_t *widths) {
    for (unsigned column = 0; column < table->columns; column++) {
        const char *cell = table->text[row * table->columns + column];
        size_t used = text_columns(cell);
        bool is_last = column + 1 == table->columns;
        size_t padding = is_last ? 0 : widths[column] - used + 2;
        printf("%s%*s", cell, (int)padding, "");
    }
    putchar('\n');
}

void table_end(struct table *table) {
    size_t widths[TABLE_COLUMNS] = {0};
    check(table->cells % table->columns == 0);
    for (unsigned i = 0; i < table->cells; i++) {
        size_t used = text_columns(table->text[i]);
        size_t *width = &widths[i % table->columns];
        *width = used > *width ? used : *width;
    }
    for (unsigned row = 0; row < table->cells / table->columns; row++) {
        print_row(table, row, widths);
    }
    table->cells = 0;
}

void table_add(struct table *table, struct bytes cell) {
    bool is_row_start = table->cells % table->columns == 0;
    if (is_row_start && table->cells + table->columns > TABLE_CELLS) {
        table_end(table);
    }
    char *target = table->text[table->cells];
    if (text_escape(cell, target, TABLE_CELL_BYTES) == 0) {
        memcpy(target, "-", 2);
    }
    table->cells += 1;
}

void table_add_text(struct table *table, const char *cell) {
    table_add(table, (struct bytes){(const uint8_t *)cell, strlen(cell)});
}
