package server

import (
	"encoding/json"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/access"
)

// TestEveryWriteIsAuditedAndHasItsPrincipalAsAuthor, whatever way it comes: each
// operation of the interface that writes leaves one line with the token's name,
// and what becomes a changeset has that name as its author. What reads leaves none.
func TestEveryWriteIsAuditedAndHasItsPrincipalAsAuthor(t *testing.T) {
	n, audit := guarded(t)
	other := newNodeOf(t, "0B")
	n.do("PUT", "/v1/objects/fight", `{"color":"green"}`, bearer(writeToken)).want(201)
	other.put("fight", `{"color":"blue"}`)
	exchange2(t, n, other)
	roles := map[string]access.Role{}
	for _, r := range n.server.routes() {
		for method, e := range r.methods {
			roles[method+" "+strings.Replace(r.pattern, "...", "", 1)] = e.role
		}
	}
	lines := len(entries(t, audit))
	changesets := 0
	add := apiCall{"POST", "/datarequest", "/datarequest", `{"jsonrpc":"2.0","id":1,"method":"add","params":{"id":"r","x":1}}`, 200, []string{jsonBody}}
	for _, c := range append(apiCalls(other.get("/v1/bundle").want(200).body), add) {
		writes := roles[c.method+" "+c.template] >= access.Write || strings.Contains(c.body, `"add"`)
		r := n.do(c.method, c.path, c.body, append(c.headers, bearer(adminToken))...)
		told := entries(t, audit)[lines:]
		lines += len(told)
		if !writes {
			if len(told) > 0 {
				t.Errorf("%s %s only reads, and the log says %+v", c.method, c.path, told)
			}
			continue
		}
		if len(told) != 1 || told[0].Principal != "the-adminr" || told[0].Role != "admin" || told[0].Method != c.method || !strings.HasPrefix(c.path, told[0].Path) ||
			(told[0].Outcome == "failed") != (r.status >= 400 || strings.Contains(r.body, `"success": false`)) || told[0].Outcome == "refused" {
			t.Errorf("%s %s was answered with %d, and the log says %+v", c.method, c.path, r.status, told)
			continue
		}
		if told[0].Changeset == "" {
			continue
		}
		changesets++
		var made struct{ Author string }
		if err := json.Unmarshal([]byte(n.get("/v1/changesets/"+told[0].Changeset, bearer(readToken)).want(200).body), &made); err != nil || made.Author != "the-adminr" {
			t.Errorf("%s %s: the author of %s is %q (%v)", c.method, c.path, told[0].Changeset, made.Author, err)
		}
	}
	if changesets < 10 {
		t.Errorf("only %d of the writes became changesets", changesets)
	}
}
