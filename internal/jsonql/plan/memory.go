package plan

import (
	"fmt"
	"time"

	"vesperdb.io/vesper/internal/jsonql/eval"
	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/source"
	"vesperdb.io/vesper/internal/jsonql/value"
	"vesperdb.io/vesper/internal/statement"
)

// memory is what a step keeps of the objects of its set.
type memory struct {
	// objects are all of them, once loaded is set; table has them by key.
	objects []*eval.Object
	table   map[string][]*eval.Object
	loaded  bool
	// tooLarge: there are too many to be kept.
	tooLarge bool
	bytes    int
	// numbers are the subjects by the key of a number; nil until needed.
	numbers map[string][]string
}

// forget lets go of what depends on the environments around.
func (p *envPlan) forget(run *eval.Run) {
	for _, st := range p.steps {
		if dependsOnOuter(st.alone) || st.key != nil && dependsOnOuter([]resolve.Expr{st.key}) || st.access.outer {
			_ = run.Hold(-st.memory.bytes)
			st.memory = memory{numbers: st.memory.numbers}
		}
	}
}

// dependsOnOuter reports whether conditions name sets of environments around.
func dependsOnOuter(conds []resolve.Expr) (depends bool) {
	for _, c := range conds {
		resolve.Walk(c, func(e resolve.Expr) bool {
			switch e := e.(type) {
			case *resolve.ID:
				depends = depends || e.Up > 0
			case *resolve.Prop:
				depends = depends || e.Up > 0
			case *resolve.Sub:
				depends = true // it may
			}
			return !depends
		})
	}
	return depends
}

// held shows what a set has by itself, and keeps it for the next time.
func (e *execution) held(st *step, visit func(*eval.Object) (bool, error)) error {
	if err := e.load(st); err != nil {
		return err
	}
	if st.memory.tooLarge {
		return e.scanned(st, visit)
	}
	for _, o := range st.memory.objects {
		if err := e.run.Looked(); err != nil {
			return err
		}
		if more, err := visit(o); err != nil || !more {
			return err
		}
	}
	return nil
}

// load reads what a set has by itself, unless that is too much to be kept.
func (e *execution) load(st *step) error {
	m := &st.memory
	if m.loaded || m.tooLarge {
		return nil
	}
	limits := e.run.Limits()
	err := e.scanned(st, func(o *eval.Object) (bool, error) {
		m.objects = append(m.objects, o)
		m.bytes += o.Size()
		m.tooLarge = m.bytes > limits.MaxBytes/2 || len(m.objects) > limits.MaxObjects
		return !m.tooLarge, e.run.Hold(o.Size())
	})
	e.s[st.id] = nil
	if err != nil {
		return err
	}
	if m.tooLarge {
		released := m.bytes
		m.objects, m.bytes = nil, 0
		return e.run.Hold(-released)
	}
	m.loaded = true
	return nil
}

// hashed shows the objects whose key has a value in common with what is bound.
func (e *execution) hashed(st *step, visit func(*eval.Object) (bool, error)) error {
	if err := e.tabulate(st); err != nil {
		return err
	}
	if st.memory.tooLarge {
		if st.way.Cond != nil {
			return e.looked(st, visit)
		}
		return e.scanned(st, visit)
	}
	e.s[st.id] = nil
	v, err := e.run.Eval(st.probe, e.scope)
	if err != nil {
		return err
	}
	members := v.Members()
	var shown map[*eval.Object]bool
	if len(members) > 1 {
		shown = map[*eval.Object]bool{}
	}
	key := make([]byte, 0, 64)
	for _, m := range members {
		for _, o := range st.memory.table[string(equalKey(key[:0], m))] {
			if shown[o] {
				continue
			}
			if shown != nil {
				shown[o] = true
			}
			if err := e.run.Looked(); err != nil {
				return err
			}
			if more, err := visit(o); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// tabulate makes the table of a hash join.
func (e *execution) tabulate(st *step) error {
	m := &st.memory
	if m.table != nil || m.tooLarge {
		return nil
	}
	if err := e.load(st); err != nil || m.tooLarge {
		return err
	}
	m.table = make(map[string][]*eval.Object, len(m.objects))
	for _, o := range m.objects {
		e.s[st.id] = o
		v, err := e.run.Eval(st.key, e.scope)
		if err != nil {
			return err
		}
		for _, member := range v.Members() {
			key := string(equalKey(nil, member))
			if list := m.table[key]; len(list) == 0 || list[len(list)-1] != o { // 1 and 1.0 have one key
				m.table[key] = append(list, o)
			}
		}
		m.bytes += eval.ValueBytes * len(v.Members())
		if err := e.run.Hold(eval.ValueBytes * len(v.Members())); err != nil {
			return err
		}
	}
	e.s[st.id] = nil
	st.found.Elapsed = time.Since(e.start)
	return nil
}

// numbers returns how to find the subjects with a number under the property of
// a step's way; nil if the index does not tell.
func (e *execution) numbers(st *step) numbers {
	postings, ok := e.run.Source().(source.PostingSource)
	if !ok || st.way.Prop == "" {
		return nil
	}
	return func(v value.Value) ([]string, error) {
		if st.memory.numbers == nil {
			if err := e.tabulateNumbers(st, postings); err != nil {
				return nil, err
			}
		}
		return st.memory.numbers[string(equalKey(nil, v))], nil
	}
}

func (e *execution) tabulateNumbers(st *step, postings source.PostingSource) error {
	table := map[string][]string{}
	for p, err := range postings.Postings(st.way.Prop) {
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", statement.Excerpt(st.way.Prop), err)
		}
		if err := e.run.Looked(); err != nil {
			return err
		}
		v := value.Of(p.Term)
		if v.Exact() || p.Cut {
			continue
		}
		key := string(equalKey(nil, v))
		table[key] = append(table[key], p.Subject)
		if err := e.run.Hold(len(key) + len(p.Subject) + 2*stringBytes); err != nil {
			return err
		}
	}
	st.memory.numbers = table
	return nil
}

// equalKey appends a key that equal values have in common, and no others.
func equalKey(key []byte, v value.Value) []byte { return value.AppendKey(key, v, wholeKey) }

// wholeKey is longer than any value.
const wholeKey = 1 << 40
