package server

import (
	"sync"

	"vesperdb.io/vesper/internal/jsonql"
)

// Programs ask the same few queries again and again, with other bind variables.
// What a query means depends on its text alone, so that is found out once.

const (
	// keptQuery is the longest query that is kept, keptQueries how long all of them
	// are together; what a query is when it is parsed is some twenty times as long.
	keptQuery   = 2 << 10
	keptQueries = 64 << 10
)

// parsedQueries are those that were asked last. The zero value is ready for use.
type parsedQueries struct {
	mu    sync.Mutex
	known map[string]*jsonql.Query
	bytes int
}

// parse returns a query of the caller's own. Its errors are those of
// checkQueryText and jsonql.Parse.
func (p *parsedQueries) parse(text string) (*jsonql.Query, error) {
	if q := p.find(text); q != nil {
		return q, nil
	}
	if err := checkQueryText(text); err != nil {
		return nil, err
	}
	q, err := jsonql.Parse(text)
	if err == nil && len(text) <= keptQuery {
		p.keep(text, *q)
	}
	return q, err
}

func (p *parsedQueries) find(text string) *jsonql.Query {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.known[text]
	if q == nil {
		return nil
	}
	own := *q
	return &own
}

// keep keeps a query, and drops others until there is room.
func (p *parsedQueries) keep(text string, q jsonql.Query) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]*jsonql.Query{}
	}
	if p.known[text] != nil {
		return
	}
	for other := range p.known {
		if p.bytes+len(text) <= keptQueries {
			break
		}
		delete(p.known, other)
		p.bytes -= len(other)
	}
	p.known[text] = &q
	p.bytes += len(text)
}
