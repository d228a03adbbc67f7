package server

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
)

// TestTheFirstJoinOfTheDocumentsWorksAsANewcomerWouldTryIt: the data of the
// tutorial sent in one request as it tells, and each of its queries asked by GET,
// give the rows that the page shows.
func TestTheFirstJoinOfTheDocumentsWorksAsANewcomerWouldTryIt(t *testing.T) {
	page, err := os.ReadFile("../../docs/jsonql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tutorial, _ := strings.Cut(string(page), "## A first join\n")
	tutorial, _, _ = strings.Cut(tutorial, "\n## ")
	n := newNode(t)
	var query string
	asked := 0
	for i, block := range strings.Split(tutorial, "```") {
		if i%2 == 0 {
			continue // prose
		}
		info, body, _ := strings.Cut(block, "\n")
		switch info {
		case "json data":
			n.do("POST", "/v1/objects", body, jsonBody).want(201)
		case "text query":
			query = strings.TrimSpace(body)
		case "json":
			asked++
			var got struct{ Results json.RawMessage }
			n.get("/v1/query?q=" + url.QueryEscape(query)).want(200).into(&got)
			reply{t: t, body: string(got.Results)}.wantJSON(body)
		default:
			t.Errorf("the tutorial has a block of %q", info)
		}
	}
	if asked < 6 || !strings.Contains(tutorial, "localhost:8000/v1/objects") || !strings.Contains(tutorial, "localhost:8000/v1/query") {
		t.Errorf("the tutorial asks %d times, and must say how to send its data and to ask", asked)
	}
}
