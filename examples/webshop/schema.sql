-- The shop's own table. The state is that of the order's instance as it was told
-- last: the instance is ahead of it for a moment, never behind.
CREATE TABLE IF NOT EXISTS orders (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    customer TEXT    NOT NULL,
    amount   REAL    NOT NULL,
    state    TEXT    NOT NULL,
    ended    INTEGER NOT NULL DEFAULT 0
) STRICT;
