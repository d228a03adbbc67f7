package server

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// queryParams are what a query is asked with, by REST and by JSON-RPC.
type queryParams struct {
	Query    string
	BindVars jsonql.Bindings
	// Explain asks for the plan beside the results.
	Explain bool
	// At is the revision to ask about if Past is true; else it is the present.
	At   branch.Revision
	Past bool
	// ForUpdate asks for the ids of all objects, embedded ones too; PrintAST for
	// the query as it was understood.
	ForUpdate bool
	PrintAST  bool
}

// members are those that a query has as JSON, wherever it is sent.
func (p *queryParams) members(body text) map[string]func(value) error {
	return map[string]func(value) error{
		"query":    body.string("query", &p.Query),
		"explain":  body.bool("explain", &p.Explain),
		"bindvars": func(v value) error { return p.bind(body, v) },
		"at": func(v value) error {
			var at string
			if err := body.string("at", &at)(v); err != nil {
				return err
			}
			if err := p.ask(at); err != nil {
				return body.fault(v.at, "%s", problemOf(err).Detail)
			}
			return nil
		},
	}
}

// ask makes the question one about a past revision.
func (p *queryParams) ask(at string) (err error) {
	p.At, err = parseRevision("at", at)
	p.Past = true
	return err
}

// bind reads the bind variables, which are text of the body.
func (p *queryParams) bind(body text, v value) error {
	err := body.each(v, "bindvars", func(_ int64, name string, v value) error { return checkBound(body, name, v) })
	if err != nil {
		return err
	}
	return json.Unmarshal(v.raw, &p.BindVars)
}

// checkBound refuses what no bind variable can be.
func checkBound(body text, name string, v value) error {
	switch v.raw[0] {
	case '{':
		return body.fault(v.at, `the bind variable %q is an object: it must be a string, a number, true, false, null, a reference such as "@id", or a list of these`, name)
	case '[':
		return body.items(v, name, func(_ int, v value) error { return checkBound(body, name, v) })
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if _, err := statement.FromNumber(string(v.raw)); err != nil {
			return body.fault(v.at, "the bind variable %q: %v", name, err)
		}
	}
	return nil
}

// prepareQuery reads a query and says what it is asked of.
func (s *Server) prepareQuery(rd *store.Reader, p queryParams) (*jsonql.Query, jsonql.Source, error) {
	q, err := s.parsed.parse(p.Query)
	if err != nil {
		return nil, nil, err
	}
	q.ForUpdate = p.ForUpdate
	if !p.Past {
		return q, newSource(rd, s.deps.Config.ModelURI), nil
	}
	if err := reached(rd, "at", p.At); err != nil {
		return nil, nil, err
	}
	past, err := rd.At(p.At)
	return q, newPastSource(past, s.deps.Config.ModelURI), err
}

// checkQueryText refuses what no text of the store can hold: a query that has it
// was damaged on its way.
func checkQueryText(query string) error {
	for i, c := range query {
		fault := &jsonql.SyntaxError{}
		switch {
		case c == 0:
			fault.Message, fault.Hint = "a NUL character", "remove it, no value has one"
		case c == utf8.RuneError && strings.HasPrefix(query[i:], "\uFFFD"):
			continue
		case c == utf8.RuneError:
			fault.Message, fault.Hint = "a byte that is not UTF-8", "send the query as UTF-8"
		default:
			continue
		}
		fault.Line, fault.Col = text(query).place(int64(i))
		return fault
	}
	return nil
}
