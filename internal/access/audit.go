package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"vesperdb.io/vesper/internal/nodeconfig"
)

// MaxObjects is how many objects of a write the audit log names.
const MaxObjects = 32

// Entry is one line of the audit log: one write, or one attempt. It never holds
// a value or a token.
type Entry struct {
	Log       string    `json:"log"`
	Time      time.Time `json:"time"`
	Principal string    `json:"principal"`
	Role      string    `json:"role"`
	Remote    string    `json:"remote"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	// RPC are the methods of a JSON-RPC batch that write.
	RPC []string `json:"rpc,omitempty"`
	// Objects are the ids of what was changed, sorted, at most MaxObjects of
	// ObjectCount.
	Objects     []string `json:"objects,omitempty"`
	ObjectCount int      `json:"objectCount,omitempty"`
	// Changeset and Revision are what the write became.
	Changeset string `json:"changeset,omitempty"`
	Revision  string `json:"revision,omitempty"`
	// Outcome is committed, unchanged, done (what is no changeset), refused (by the
	// guard) or failed.
	Outcome string `json:"outcome"`
	// Problem is the type of the problem that the client was told.
	Problem   string  `json:"problem,omitempty"`
	LatencyMS float64 `json:"latencyMs"`
}

// Audit writes entries. Its zero value, and nil, write nothing. It is safe for
// use by many goroutines.
type Audit struct {
	config nodeconfig.Audit

	mu     sync.Mutex
	out    io.Writer
	file   *os.File
	length int64
}

// NewAudit opens the log that the configuration names. stdout is where stdout goes.
func NewAudit(c nodeconfig.Audit, stdout io.Writer) (*Audit, error) {
	a := &Audit{config: c}
	switch c.To {
	case "":
		return nil, nil
	case nodeconfig.AuditStdout:
		a.out = stdout
		return a, nil
	}
	return a, a.open()
}

func (a *Audit) open() error {
	f, err := os.OpenFile(a.config.To, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("opening the audit log: %w", err), f.Close())
	}
	a.file, a.out, a.length = f, f, info.Size()
	return nil
}

// On reports whether entries are kept.
func (a *Audit) On() bool { return a != nil && a.out != nil }

// Write keeps an entry: when it returns nil, the line is with the operating
// system, and so survives the end of the process.
func (a *Audit) Write(e Entry) error {
	if !a.On() {
		return nil
	}
	e.Log = "audit"
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil && a.length > 0 && a.length+int64(len(line)) >= a.config.MaxBytes {
		if err := a.rotate(); err != nil {
			return err
		}
	}
	n, err := a.out.Write(append(line, '\n'))
	a.length += int64(n)
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
}

// rotate makes the file FILE.1, FILE.1 FILE.2 and so on. The oldest goes.
func (a *Audit) rotate() error {
	err := errors.Join(a.file.Sync(), a.file.Close())
	for i := a.config.Keep; i >= 1; i-- {
		from := a.config.To
		if i > 1 {
			from = fmt.Sprintf("%s.%d", from, i-1)
		}
		if e := os.Rename(from, fmt.Sprintf("%s.%d", a.config.To, i)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if opened := a.open(); opened != nil {
		return errors.Join(err, opened)
	}
	return err
}

// Close makes the file durable and closes it.
func (a *Audit) Close() error {
	if a == nil || a.file == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.file.Sync(), a.file.Close())
}
