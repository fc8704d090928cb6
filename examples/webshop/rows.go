package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/fsm"
	_ "modernc.org/sqlite" // the driver, in Go
)

//go:embed schema.sql
var schema string

// An order is a row of the table.
type order struct {
	ID       int64   `json:"id"`
	Customer string  `json:"customer"`
	Amount   float64 `json:"amount"`
	State    string  `json:"state"`
	Ended    bool    `json:"ended"`
}

// data is what the instance of an order carries. It is small on purpose: what the
// machine does not need stays in the row.
func (o *order) data() map[string]any {
	return map[string]any{"customer": o.Customer, "amount": o.Amount}
}

// key is the business key of an order's instance: it says which row is which.
func key(id int64) string { return "order:" + strconv.FormatInt(id, 10) }

// rowOf is the other way.
func rowOf(key string) (id int64, ok bool) {
	number, ok := strings.CutPrefix(key, "order:")
	id, err := strconv.ParseInt(number, 10, 64)
	return id, ok && err == nil
}

// rows are the table. They are used by many goroutines.
type rows struct{ db *sql.DB }

func openRows(ctx context.Context, file string) (*rows, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // SQLite has one writer anyway
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("make the table: %w", err), db.Close())
	}
	return &rows{db}, nil
}

// insert adds an order in its first state.
func (r *rows) insert(ctx context.Context, customer string, amount float64) (*order, error) {
	o := &order{Customer: customer, Amount: amount, State: "Draft"}
	return o, r.db.QueryRowContext(ctx, `INSERT INTO orders (customer, amount, state) VALUES (?, ?, ?) RETURNING id`, customer, amount, o.State).Scan(&o.ID)
}

const columns = `id, customer, amount, state, ended`

// get returns one order, or sql.ErrNoRows.
func (r *rows) get(ctx context.Context, id int64) (*order, error) {
	var o order
	return &o, r.db.QueryRowContext(ctx, `SELECT `+columns+` FROM orders WHERE id = ?`, id).Scan(&o.ID, &o.Customer, &o.Amount, &o.State, &o.Ended)
}

// open returns the orders that have not ended.
func (r *rows) open(ctx context.Context) (out []*order, err error) {
	found, err := r.db.QueryContext(ctx, `SELECT `+columns+` FROM orders WHERE ended = 0 ORDER BY id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var o order
		if err := found.Scan(&o.ID, &o.Customer, &o.Amount, &o.State, &o.Ended); err != nil {
			return nil, err
		}
		out = append(out, &o)
	}
	return out, found.Err()
}

// put writes the state of an instance into its row.
func (r *rows) put(ctx context.Context, in *fsm.Instance) error {
	id, ok := rowOf(in.Key())
	if !ok {
		return nil // none of this table's
	}
	ended := in.Status() != fsm.StatusActive
	_, err := r.db.ExecContext(ctx, `UPDATE orders SET state = ?, ended = ? WHERE id = ?`, in.State(), ended, id)
	if err != nil {
		return fmt.Errorf("write the state of order %d: %w", id, err)
	}
	return nil
}
