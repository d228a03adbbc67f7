package stomp

import (
	"context"
	"fmt"
	"strconv"

	"vesperdb.io/vesper/internal/stomp/frame"
)

// Transaction groups sends and acknowledgements: the broker does all of them at Commit or none.
// It ends with its connection. Artemis ignores acknowledgements in it.
type Transaction struct {
	conn *Conn
	id   string
}

// Begin starts a transaction. It does not wait for the broker; Commit tells the outcome.
func (c *Conn) Begin(ctx context.Context) (*Transaction, error) {
	c.mu.Lock()
	c.lastID++
	t := &Transaction{conn: c, id: "t" + strconv.FormatUint(c.lastID, 10)}
	c.mu.Unlock()
	if err := c.post(ctx, frame.New(frame.Begin, frame.HeaderTransaction, t.id)); err != nil {
		return nil, fmt.Errorf("beginning a transaction: %w", err)
	}
	return t, nil
}

// Send hands m to the writer as a part of the transaction.
func (t *Transaction) Send(ctx context.Context, m Outgoing) error {
	return t.conn.post(ctx, t.conn.sendFrame(m, t.id))
}

// Ack acknowledges m as a part of the transaction. m must be from the same connection.
func (t *Transaction) Ack(ctx context.Context, m *Message) error {
	f := m.answer(frame.Ack, t.id)
	if f == nil {
		return nil
	}
	if m.sub.conn != t.conn {
		return fmt.Errorf("acknowledging %s in a transaction of another connection", m.ID)
	}
	return t.conn.post(ctx, f)
}

// CommitAsync asks for all of the transaction to be done; the receipt tells the outcome.
func (t *Transaction) CommitAsync(ctx context.Context) (*Receipt, error) {
	return t.conn.request(ctx, frame.New(frame.Commit, frame.HeaderTransaction, t.id), true)
}

// Commit has all of the transaction done and waits for the broker's receipt.
func (t *Transaction) Commit(ctx context.Context) error {
	r, err := t.CommitAsync(ctx)
	if err != nil {
		return err
	}
	return r.Wait(ctx)
}

// Abort has none of the transaction done and waits for the broker's receipt.
func (t *Transaction) Abort(ctx context.Context) error {
	return t.conn.call(ctx, frame.New(frame.Abort, frame.HeaderTransaction, t.id))
}
