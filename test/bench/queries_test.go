package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// querySpan is for how long a question is repeated in a round.
const querySpan = 300 * time.Millisecond

// querySizes are the numbers of objects that are asked about.
var querySizes = []*querySize{{name: "Q100k", objects: 100_000}, {name: "Q1M", objects: 1_000_000}}

// querySize is one number of objects in all systems.
type querySize struct {
	name    string
	objects int

	// n is how many there are at the scale of the run.
	n       int
	systems []querySystem
	node    *node
	// resident is the peak of the node's own memory.
	resident atomic.Int64
}

// querySystem is one way to ask, by its name in the table. What has failed once
// is not asked again.
type querySystem struct {
	name   string
	asked  asked
	failed map[string]string
}

// The ways to ask. The first two are in the process of whoever asks, the others
// behind a socket.
const (
	vesperInside = "Vesper, in process"
	sqliteInside = "SQLite, in process"
	vesperHTTP   = "Vesper, HTTP"
	postgresWire = "PostgreSQL, socket"
)

// queryRows are the measures that have a goal.
func queryRows() (out []Row) {
	for _, s := range querySizes {
		for _, q := range questions {
			if q.against == "" {
				continue
			}
			how := "in process"
			if q.against == againstPostgres {
				how = "each over its socket"
			}
			out = append(out, Row{s.name + "-" + q.key, fmt.Sprintf("%s, of %d objects: time ÷ %s's, %s", q.what, s.objects, q.against, how), Goal{Bound: q.atMost}, ""})
		}
	}
	return out
}

func init() {
	rows = append(rows, queryRows()...)
	for _, s := range querySizes {
		groups = append(groups, group{[]string{"Q", s.name}, s.measure})
	}
}

func (s *querySize) quantity(q question, system string) string {
	return s.name + " " + q.key + ": " + system
}

// measure asks each question of one system after the other.
func (s *querySize) measure(w *world) error {
	if s.systems == nil {
		if err := s.start(w); err != nil {
			return err
		}
	}
	stop := s.watch(w.ctx)
	defer stop()
	var errs []error
	for _, q := range questions {
		calls := q.calls(s.n)
		for _, one := range s.systems {
			if one.failed[q.key] != "" {
				continue
			}
			took, err := one.asked.time(q, calls, w.span(querySpan))
			if err != nil {
				one.failed[q.key] = err.Error()
				errs = append(errs, fmt.Errorf("%s of %s: %w", q.key, one.name, err))
				continue
			}
			w.figures.Add(s.quantity(q, one.name), took)
		}
		s.ratios(w.figures, q)
	}
	return errors.Join(errs...)
}

// ratios adds those of this round.
func (s *querySize) ratios(f *Figures, q question) {
	for _, pair := range [][2]string{{vesperInside, sqliteInside}, {vesperHTTP, postgresWire}} {
		goal := q.against != "" && strings.HasPrefix(pair[1], q.against)
		own, ok := f.Last(s.quantity(q, pair[0]))
		other, ok2 := f.Last(s.quantity(q, pair[1]))
		if !ok || !ok2 {
			if goal {
				f.Skip(s.name+"-"+q.key, s.why(q, pair[:]))
			}
			continue
		}
		f.Add(s.quantity(q, pair[0]+" ÷ "+pair[1]), own/other)
		if goal {
			f.Add(s.name+"-"+q.key, own/other)
		}
	}
}

// why says why a question has no figure of some systems.
func (s *querySize) why(q question, names []string) string {
	for _, one := range s.systems {
		if slices.Contains(names, one.name) && one.failed[q.key] != "" {
			return one.name + ": " + one.failed[q.key]
		}
	}
	return "one of the systems is not there"
}

// start fills all systems with the same objects, and looks whether they give the
// same answers. One that is not there is left out.
func (s *querySize) start(w *world) error {
	dir, free, err := w.fresh("queries")
	if err != nil {
		return err
	}
	w.t.Cleanup(free)
	n := w.size(s.objects)
	s.n = n
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL reads the file as a user of its own
		return err
	}
	if err := writeData(dataFile(dir), n); err != nil {
		return err
	}
	for _, part := range []func(*world, string, int) error{s.startVesper, s.startSQLite, s.startPostgres} {
		began := time.Now()
		if err := part(w, dir, n); err != nil {
			return err
		}
		fmt.Printf("%s: filled in %.1f s\n", s.systems[len(s.systems)-1].name, time.Since(began).Seconds())
	}
	s.compare(n)
	return nil
}

func (s *querySize) add(name string, a asked) {
	s.systems = append(s.systems, querySystem{name, a, map[string]string{}})
}

func writeData(file string, n int) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	err = orders(n, "", func(id, body string) error {
		_, err := fmt.Fprintf(out, "%s\t%s\n", id, body)
		return err
	})
	return errors.Join(err, out.Flush(), f.Close())
}

// startVesper fills a node over HTTP and starts it again, so that its memory is
// what queries take. A copy of its file is for the questions in this process.
func (s *querySize) startVesper(w *world, dir string, n int) error {
	first, err := w.startNode(dir, "0A", "", "", vesperIndexes())
	if err != nil {
		return err
	}
	if err := fillNode(w.ctx, first, n); err != nil {
		first.stop()
		return first.complaint(err)
	}
	first.stop()
	copied := filepath.Join(dir, "copy")
	if err := copyFile(filepath.Join(first.data, "vesper.db"), filepath.Join(copied, "vesper.db")); err != nil {
		return err
	}
	inside, err := openInProcess(w.ctx, copied)
	if err != nil {
		return err
	}
	w.t.Cleanup(func() { _ = inside.store.Close() })
	if s.node, err = w.startNode(dir, "0A", "", "", vesperIndexes(), "limits: {queryTime: "+askLimit.String()+"}"); err != nil {
		return err
	}
	w.t.Cleanup(s.node.stop)
	client, err := dialHTTP(w.ctx, s.node.address)
	s.add(vesperInside, inside)
	s.add(vesperHTTP, overHTTP{client})
	return err
}

// vesperIndexes is what the node's configuration says of indexes.
func vesperIndexes() string {
	list := make([]string, len(vesperOrdered))
	for i, property := range vesperOrdered {
		list[i] = "{property: " + property + "}"
	}
	return "indexes: [" + strings.Join(list, ", ") + "]"
}

func fillNode(ctx context.Context, n *node, objects int) error {
	c, err := dialHTTP(ctx, n.address)
	if err != nil {
		return err
	}
	defer c.close()
	const batch = 4000
	var body bytes.Buffer
	send := func() error {
		status, answer, err := c.do("POST", "/v1/objects?mode=replace", body.Bytes())
		body.Reset()
		return want(status, answer, err, 200, 201)
	}
	written := 0
	err = orders(objects, "@", func(_, text string) error {
		if body.Len() == 0 {
			body.WriteByte('[')
		} else {
			body.WriteByte(',')
		}
		body.WriteString(text)
		if written++; written%batch != 0 && written != objects {
			return nil
		}
		body.WriteByte(']')
		return send()
	})
	return err
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func (s *querySize) startSQLite(w *world, dir string, _ int) error {
	db, err := startSQLite(w.ctx, dir)
	if err != nil {
		fmt.Printf("SQLite is left out: %v\n", err)
		return nil
	}
	w.t.Cleanup(db.stop)
	s.add(sqliteInside, db)
	return db.fill(dataFile(dir))
}

func (s *querySize) startPostgres(w *world, dir string, _ int) error {
	p, err := w.startPostgresAsked(dataFile(dir))
	if err != nil {
		fmt.Printf("PostgreSQL is left out: %v\n", err)
		return nil
	}
	s.add(postgresWire, p)
	return nil
}

// compare asks each question once and drops it where the answer differs from
// SQLite's, or from that of the first system that has one.
func (s *querySize) compare(n int) {
	for _, q := range questions {
		var reference []string
		from := ""
		for _, name := range []string{sqliteInside, postgresWire, vesperInside, vesperHTTP} {
			at := slices.IndexFunc(s.systems, func(one querySystem) bool { return one.name == name })
			if at < 0 {
				continue
			}
			rows, err := s.systems[at].asked.rows(q, q.calls(n)[0])
			switch got := canonical(rows); {
			case err != nil:
				s.refuse(at, q, err.Error())
			case reference == nil:
				reference, from = got, name
			case !slices.Equal(got, reference):
				s.refuse(at, q, fmt.Sprintf("%d rows %.200q, and of %s %d rows %.200q", len(got), got, from, len(reference), reference))
			}
		}
	}
}

func (s *querySize) refuse(at int, q question, why string) {
	s.systems[at].failed[q.key] = why
	fmt.Printf("%s: %s of %s is left out: %s\n", s.name, q.key, s.systems[at].name, why)
}

// watch samples the memory of the node's own, without what it maps of its file,
// until it is stopped.
func (s *querySize) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			s.resident.Store(max(s.resident.Load(), s.memory("RssAnon")))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// memory reads a figure of the node's process, in bytes; 0 if there is none.
func (s *querySize) memory(name string) int64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(s.node.cmd.Process.Pid) + "/status")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
