package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"
)

// otherSpan is how long 64 clients write to each system; seen is how many single
// writes are timed until the other side shows them.
const (
	otherSpan = 3 * time.Second
	seen      = 30
)

// system is two replicas of something, of which the first is written to.
type system interface {
	// name is unique; promise says what an acknowledged write means there.
	name() string
	promise() string
	start(w *world) error
	// writer connects a client that writes new objects of 1 KiB to the first.
	writer() (caller, error)
	// put writes one object to the first, has asks the second for it.
	put(id string) error
	has(id string) (bool, error)
	// count is how many objects the second has.
	count() (int, error)
	// settle makes the first's files what they stay, and data is where they are.
	settle() error
	data() string
	stop()
}

// others are the systems of a run. One that cannot be started says why.
type others struct {
	systems []system
	missing map[string]string
}

// measureOthers does the same work on each system, one after another.
func measureOthers(w *world) error {
	if w.others == nil {
		w.startOthers()
	}
	var errs []error
	for _, s := range w.others.systems {
		if w.others.missing[s.name()] == "" {
			if err := w.compare(s); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (w *world) startOthers() {
	w.others = &others{systems: []system{&vesperPair{}, &postgres{}, &pouch{}}, missing: map[string]string{}}
	for _, s := range w.others.systems {
		if err := s.start(w); err != nil {
			w.others.missing[s.name()] = err.Error()
			continue
		}
		w.t.Cleanup(s.stop)
	}
}

// compare measures one system.
func (w *world) compare(s system) error {
	had, err := s.count()
	if err != nil {
		return err
	}
	before, err := diskUse(s.data())
	if err != nil {
		return err
	}
	start := time.Now()
	n, rate, err := closedLoop(w.ctx, 64, w.span(otherSpan), s.writer)
	if err != nil {
		return err
	}
	if err := w.arrived(s, had+n); err != nil {
		return err
	}
	w.figures.Add(s.name()+" replicated", float64(n)/time.Since(start).Seconds())
	if err := s.settle(); err != nil {
		return err
	}
	after, err := diskUse(s.data())
	if err != nil {
		return err
	}
	w.figures.Add(s.name()+" writes", rate)
	w.figures.Add(s.name()+" disk", float64(after-before)/float64(n*objectBytes))
	return w.visible(s)
}

// arrived waits until the second has as many objects as were written.
func (w *world) arrived(s system, want int) error {
	return until(w.ctx, "all writes to arrive", func() (bool, error) {
		n, err := s.count()
		if err == nil && n < want {
			err = fmt.Errorf("%d of %d are there", n, want)
			time.Sleep(20 * time.Millisecond) // counting costs the system something
		}
		return err == nil, err
	})
}

// visible times single writes from the acknowledgement to the first sight.
func (w *world) visible(s system) error {
	pause(w.ctx, time.Second) // what the load left behind
	var times []float64
	for range seen {
		id := newID()
		if err := s.put(id); err != nil {
			return err
		}
		start := time.Now()
		if err := until(w.ctx, "a write to be seen", func() (bool, error) { return s.has(id) }); err != nil {
			return err
		}
		times = append(times, milliseconds(time.Since(start)))
		time.Sleep(pace)
	}
	w.figures.Add(s.name()+" visible p50", Quantile(times, 0.5))
	w.figures.Add(s.name()+" visible p99", Quantile(times, 0.99))
	return nil
}

// diskUse is what the files of a directory take on the disk.
func diskUse(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file that went meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}

// table compares the systems; the ratios are Vesper's figure by the other's.
func (o *others) table(f *Figures) Table {
	t := Table{{"system", "an acknowledged write is", "writes/s, 64 clients", "written and replicated/s", "visible on the other after, p50 / p99 ms", "bytes on disk ÷ payload"}}
	vesper := o.systems[0].name()
	cell := func(s, what string) string {
		own, reference := f.Median(s+what), f.Median(vesper+what)
		if s == vesper {
			return Number(own)
		}
		return Number(own) + " (Vesper × " + Number(reference/own) + ")"
	}
	for _, s := range o.systems {
		name := s.name()
		if why := o.missing[name]; why != "" {
			t = append(t, []string{name, s.promise(), "not measured: " + why, "-", "-", "-"})
			continue
		}
		t = append(t, []string{name, s.promise(), cell(name, " writes"), cell(name, " replicated"),
			cell(name, " visible p50") + " / " + cell(name, " visible p99"), cell(name, " disk")})
	}
	return t
}

// vesperPair is two nodes and the run's broker.
type vesperPair struct {
	ctx       context.Context
	a, b      *node
	ask, put1 *httpConn
	bodies    [][]byte
}

func (*vesperPair) name() string    { return "Vesper" }
func (*vesperPair) promise() string { return "on the disk, history and indexes included" }
func (v *vesperPair) data() string  { return v.a.data }
func (v *vesperPair) settle() error { return nil }

func (v *vesperPair) start(w *world) (err error) {
	v.ctx, v.bodies = w.ctx, documents(256, objectBytes)
	channel := newChannel()
	for i, n := range []**node{&v.a, &v.b} {
		dir, _, err := w.fresh("pair")
		if err != nil {
			return err
		}
		// The ids of no other measure: this pair stays connected for the whole run.
		if *n, err = w.startNode(dir, fmt.Sprintf("0%c", 'Y'+i), channel, w.mq().Addr()); err != nil {
			return err
		}
	}
	if v.put1, err = dialHTTP(v.ctx, v.a.address); err != nil {
		return err
	}
	v.ask, err = dialHTTP(v.ctx, v.b.address)
	return err
}

func (v *vesperPair) stop() { v.a.stop(); v.b.stop() }

func (v *vesperPair) writer() (caller, error) { return v.a.writer(v.ctx, v.bodies)() }

func (v *vesperPair) put(id string) error {
	status, answer, err := v.put1.do("PUT", "/v1/objects/"+id, v.bodies[0])
	return want(status, answer, err, 200, 201)
}

func (v *vesperPair) has(id string) (bool, error) {
	return there(v.ask.do("GET", "/v1/objects/"+id, nil))
}

func (v *vesperPair) count() (int, error) {
	n, err := v.b.metric(v.ctx, "vesper_store_objects")
	return int(n), err
}

// want makes an error of a status that is none of those expected.
func want(status int, answer []byte, err error, expected ...int) error {
	for _, e := range expected {
		if err == nil && status == e {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("the answer is %d: %s", status, answer))
}

// there takes an answer to a GET for whether the object exists.
func there(status int, answer []byte, err error) (bool, error) {
	if err == nil && status == 404 {
		return false, nil
	}
	return err == nil && status == 200, want(status, answer, err, 200)
}
