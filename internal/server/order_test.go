package server

import "testing"

// TestRowsInAnOrderShowWhatTheOrderDoesNotName: a query reads of objects what it
// looks at, and that includes what only its rows show.
func TestRowsInAnOrderShowWhatTheOrderDoesNotName(t *testing.T) {
	n := newNode(t)
	n.put("a", `{"year":1851,"title":"M"}`)
	n.put("b", `{"year":1846,"title":"T"}`)
	n.put("c", `{"year":1815,"title":"E"}`)
	n.put("d", `{"year":1800}`)
	n.do("POST", "/v1/query", `{"query":"{title where year order by year desc limit 2 offset 1}"}`, asJSON).want(200)
	rows := n.query("{title where year order by year desc limit 2 offset 1}")
	if len(rows) != 2 || rows[0].(map[string]any)["title"] != "T" || rows[1].(map[string]any)["title"] != "E" {
		t.Errorf("got %v", rows)
	}
	if rows := n.query("{title, \"n\": year where year order by title}"); len(rows) != 3 {
		t.Errorf("got %v, and d has no title", rows)
	}
}
