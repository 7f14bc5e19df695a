/* table.h - rows of text in aligned columns, on standard output.
 *
 * Cells are made safe to show (text.h). Widths come from all rows, so nothing is printed before
 * table_end(); a table larger than TABLE_CELLS is printed in parts that are aligned each by itself.
 * The last column is never padded. */
#ifndef HOST_HUBCTL_TABLE_H
#define HOST_HUBCTL_TABLE_H

#include "hal/base.h"

enum { TABLE_COLUMNS = 12, TABLE_CELLS = 12288, TABLE_CELL_BYTES = 128 };

struct table {
    unsigned columns;
    unsigned cells; /* head included */
    const char *heads[TABLE_COLUMNS];
    char text[TABLE_CELLS][TABLE_CELL_BYTES];
};

/* Begins a table with up to TABLE_COLUMNS heads; the texts must stay in place. */
void table_begin(struct table *table, const char *const *heads, unsigned columns);

/* Adds the next cell, row after row; a longer one is cut. An empty one is shown as `-`. */
void table_add(struct table *table, struct bytes cell);
void table_add_text(struct table *table, const char *cell);

/* Prints it; a table without rows prints its head only. */
void table_end(struct table *table);

#endif
