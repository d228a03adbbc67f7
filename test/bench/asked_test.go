package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/server"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// asked is something that answers questions.
type asked interface {
	// rows returns the rows of one answer, each a value as encoding/json reads it.
	rows(q question, params []any) ([]any, error)
	// time asks for so long, with one list of parameters after the other, and
	// returns the seconds of a call.
	time(q question, calls [][]any, d time.Duration) (float64, error)
}

// askLimit is how long a single answer may take; the node has the same limit.
const askLimit = 30 * time.Second

// repeat calls for so long and returns the seconds of a call.
func repeat(calls [][]any, d time.Duration, call func([]any) error) (float64, error) {
	start, n := time.Now(), 0
	for {
		if err := call(calls[n%len(calls)]); err != nil {
			return 0, err
		}
		n++
		if took := time.Since(start); took >= d {
			return took.Seconds() / float64(n), nil
		}
	}
}

// bindings name parameters as questions do.
func bindings(params []any) jsonql.Bindings {
	b := jsonql.Bindings{}
	for i, p := range params {
		name := "p" + strconv.Itoa(i+1)
		switch p := p.(type) {
		case id:
			b[name] = statement.Ref(p)
		default:
			b[name] = p
		}
	}
	return b
}

// inProcess is a store in this process, as SQLite is one in that of its user. A
// query is parsed once; its rows are written as JSON.
type inProcess struct {
	ctx    context.Context
	store  *store.Store
	plain  *pjson.Writer
	parsed map[string]*jsonql.Query
	buffer []byte
	// within ends an answer that takes too long. A new one is made when half of it
	// is over, not for each answer.
	within context.Context
	until  time.Time
	free   context.CancelFunc
}

func openInProcess(ctx context.Context, dir string) (*inProcess, error) {
	s, err := store.Open(ctx, store.Options{Dir: dir, Branch: "0A"})
	if err != nil {
		return nil, err
	}
	w, err := pjson.NewWriter(pjson.Format{BareIDs: true, PreserveTypes: true, OmitEmbeddedIDs: true})
	return &inProcess{ctx: ctx, store: s, plain: w, parsed: map[string]*jsonql.Query{}}, err
}

// limit returns a context that leaves an answer at least askLimit.
func (p *inProcess) limit() context.Context {
	if now := time.Now(); p.within == nil || now.Add(askLimit).After(p.until) {
		if p.free != nil {
			p.free()
		}
		p.until = now.Add(2 * askLimit)
		p.within, p.free = context.WithDeadline(p.ctx, p.until)
	}
	return p.within
}

// answer writes the rows into the buffer. The parameters come as the system takes
// them, as SQLite has them before it is timed.
func (p *inProcess) answer(q question, params []any, bound jsonql.Bindings) error {
	p.buffer = p.buffer[:0]
	if q.vesper == "" {
		return p.store.View(p.ctx, func(rd *store.Reader) error {
			o, _, err := rd.Object(string(params[0].(id)))
			p.buffer = append(p.plain.AppendObject(p.buffer, o.ID, o.Statements), '\n')
			return err
		})
	}
	query := p.parsed[q.vesper]
	if query == nil {
		var err error
		if query, err = jsonql.Parse(q.vesper); err != nil {
			return err
		}
		p.parsed[q.vesper] = query
	}
	ctx := p.limit()
	return p.store.View(ctx, func(rd *store.Reader) error {
		answer, err := query.Start(ctx, server.QuerySource(rd), bound, jsonql.Limits{})
		if err != nil {
			return err
		}
		for row, err := range answer.Rows() {
			if err == nil {
				p.buffer, _, err = row.AppendJSON(p.buffer, math.MaxInt)
			}
			if err != nil {
				return err
			}
			p.buffer = append(p.buffer, '\n')
		}
		return nil
	})
}

func (p *inProcess) rows(q question, params []any) ([]any, error) {
	if err := p.answer(q, params, bindings(params)); err != nil {
		return nil, err
	}
	var out []any
	for len(p.buffer) > 0 {
		at := slices.Index(p.buffer, '\n')
		var row any
		if err := json.Unmarshal(p.buffer[:at], &row); err != nil {
			return nil, err
		}
		out, p.buffer = append(out, row), p.buffer[at+1:]
	}
	return out, nil
}

func (p *inProcess) time(q question, calls [][]any, d time.Duration) (float64, error) {
	bound := make([]jsonql.Bindings, len(calls))
	for i := range calls {
		bound[i] = bindings(calls[i])
	}
	n := 0
	return repeat(calls, d, func(params []any) error {
		n++
		return p.answer(q, params, bound[(n-1)%len(bound)])
	})
}

// overHTTP is a node.
type overHTTP struct{ *httpConn }

// request returns the path and body that ask a question.
func (o overHTTP) request(q question, params []any) (method, path string, body []byte, err error) {
	if q.vesper == "" {
		return "GET", "/v1/objects/" + string(params[0].(id)), nil, nil
	}
	binds := bindings(params)
	for name, value := range binds {
		if ref, ok := value.(statement.Ref); ok {
			binds[name] = "@" + string(ref)
		}
	}
	body, err = json.Marshal(map[string]any{"query": q.vesper, "bindvars": binds})
	return "POST", "/v1/query", body, err
}

func (o overHTTP) answer(q question, params []any) ([]byte, error) {
	method, path, body, err := o.request(q, params)
	if err != nil {
		return nil, err
	}
	status, answer, err := o.do(method, path, body)
	if err != nil || status != 200 {
		return nil, want(status, answer, err, 200)
	}
	return answer, nil
}

func (o overHTTP) rows(q question, params []any) ([]any, error) {
	answer, err := o.answer(q, params)
	if err != nil {
		return nil, err
	}
	if q.vesper == "" {
		var object any
		err := json.Unmarshal(answer, &object)
		return []any{object}, err
	}
	var whole struct{ Results []any }
	err = json.Unmarshal(answer, &whole)
	return whole.Results, err
}

func (o overHTTP) time(q question, calls [][]any, d time.Duration) (float64, error) {
	return repeat(calls, d, func(params []any) error {
		_, err := o.answer(q, params)
		return err
	})
}

// pgAsked is a PostgreSQL of one cluster, with each question as a prepared
// statement.
type pgAsked struct {
	pgSide
	conn     *pgConn
	prepared map[string]bool
}

// startPostgresAsked makes a cluster with the table of a file. It has more memory
// than comes by itself, as a user with a million objects would see to.
func (w *world) startPostgresAsked(file string) (*pgAsked, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	p := &pgAsked{prepared: map[string]bool{}}
	if err := p.start(w, bin, "-c", "shared_buffers=1GB", "-c", "work_mem=64MB", "-c", "maintenance_work_mem=512MB", "-c", "max_wal_size=8GB"); err != nil {
		return nil, err
	}
	w.t.Cleanup(p.stop)
	err = until(w.ctx, "PostgreSQL to start", func() (ok bool, err error) {
		p.conn, err = p.dial(w.ctx)
		return err == nil, err
	})
	if err != nil {
		return nil, p.complaint(err)
	}
	p.conn.wait = 5 * time.Minute // for the indexes
	for _, sql := range append([]string{
		"CREATE TABLE objects (id text PRIMARY KEY, body jsonb NOT NULL)",
		"COPY objects FROM '" + file + "'",
	}, postgresIndexes...) {
		if _, err := p.conn.query(sql); err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return p, nil
}

func (p *pgAsked) answer(q question, params []any) error {
	if !p.prepared[q.key] {
		if err := p.conn.prepare(q.key, q.postgres); err != nil {
			return err
		}
		p.prepared[q.key] = true
	}
	texts := make([]string, len(params))
	for i, v := range params {
		texts[i] = fmt.Sprint(v)
	}
	_, err := p.conn.execute(q.key, texts...)
	return err
}

func (p *pgAsked) rows(q question, params []any) (rows []any, err error) {
	p.conn.each = func(columns []string) {
		row := make([]any, len(columns))
		for i, c := range columns {
			row[i] = c
		}
		rows = append(rows, row)
	}
	defer func() { p.conn.each = nil }()
	return rows, p.answer(q, params)
}

func (p *pgAsked) time(q question, calls [][]any, d time.Duration) (float64, error) {
	return repeat(calls, d, func(params []any) error { return p.answer(q, params) })
}

// dataFile is where the objects lie for the others to load: an id, a tab and an
// object a line.
func dataFile(dir string) string { return filepath.Join(dir, "objects.tsv") }
