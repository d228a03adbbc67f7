package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestParsedQueriesAreKeptUpToABound(t *testing.T) {
	var p parsedQueries
	for i := range 2000 {
		text := fmt.Sprintf("{id where p = %d and q = '%s'}", i, strings.Repeat("x", i%100))
		q, err := p.parse(text)
		if err != nil {
			t.Fatal(err)
		}
		q.ForUpdate = true
		if again, err := p.parse(text); err != nil || again == q || again.ForUpdate {
			t.Fatalf("%s, asked again, is the query of whoever asked first: %v", text, err)
		}
	}
	kept := 0
	for text := range p.known {
		kept += len(text)
	}
	if kept != p.bytes || kept > keptQueries || kept < keptQueries-keptQuery {
		t.Errorf("queries of %d bytes are kept, %d by their account, of at most %d", kept, p.bytes, keptQueries)
	}
	if _, err := p.parse("{id where p = '" + strings.Repeat("x", keptQuery) + "'}"); err != nil || len(p.known) == 0 || p.bytes != kept {
		t.Errorf("a long query: %v, and now %d bytes are kept instead of %d", err, p.bytes, kept)
	}
}

func TestFaultyQueriesAreFaultyEachTime(t *testing.T) {
	var p parsedQueries
	for range 2 {
		for _, text := range []string{"{id where", "{id}\x00", "{id where p = '\xff'}"} {
			if _, err := p.parse(text); err == nil {
				t.Errorf("%q is a query", text)
			}
		}
	}
}

func TestClientsShareParsedQueries(t *testing.T) {
	n := newNode(t)
	n.rpc(request("1", "add", `[{"id":"a","p":1},{"id":"b","p":2}]`)).want(200)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				reply := n.do("POST", "/v1/query", fmt.Sprintf(`{"query":"{id where p = :p}","bindvars":{"p":%d}}`, i%2+1), "Content-Type: application/json")
				if want := fmt.Sprintf(`{"id":"@%c"}`, "ab"[i%2]); !strings.Contains(reply.body, want) {
					t.Errorf("the answer is %s, want %s", reply.body, want)
				}
			}
		})
	}
	all.Wait()
}
