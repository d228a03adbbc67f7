package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// formed sends an action of the form-encoded interface. The fields are
// alternately a name and a value.
func (n *node) formed(action string, fields ...string) reply {
	n.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return n.do("POST", "/api/"+action, form.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

func TestFormsAddUpdateAndQuery(t *testing.T) {
	n := newNode(t)
	for _, step := range []struct {
		name, action string
		fields       []string
		want         string
	}{
		{"a list counts its objects", "add", []string{"data", `[{"id":"a","v":1},{"id":"b","v":2},{"id":"b b","v":3}]`}, `{"action":"add","count":3,"success":true}`},
		{"an object counts its keys", "add", []string{"data", `{"id":"c","v":1,"w":"x"}`}, `{"action":"add","count":3,"success":true}`},
		{"with the id that it gets", "add", []string{"data", `{"v":9}`}, `{"action":"add","count":2,"success":true}`},
		{"an update sets what is given", "update", []string{"data", `{"v":5}`, "where", `id = "c"`}, `{"action":"update","count":2,"success":true}`},
		{"found by a property", "update", []string{"data", `{"w":["y","z"]}`, "where", `v = 2`}, `{"action":"update","count":2,"success":true}`},
		{"of an object whose id is no name", "update", []string{"data", `{"v":4}`, "where", `v = 3`}, `{"action":"update","count":2,"success":true}`},
		{"of an object without an id", "update", []string{"data", `{"v":8}`, "where", `v = 9`}, `{"action":"update","count":2,"success":true}`},
	} {
		t.Run(step.name, func(t *testing.T) { n.formed(step.action, step.fields...).want(200).wantJSON(step.want) })
	}
	var out struct {
		Action, Error string
		Success       bool
		Results       []any
		Errors        []string
		Elapsed       *float64
	}
	r := n.formed("query", "data", `(v ~ where v > 3 order by v)`).want(200).wantHeader("Content-Type", "application/json")
	if r.into(&out); !out.Success || out.Action != "query" || len(out.Errors) != 1 || out.Elapsed == nil {
		t.Errorf("got %s", r.body)
	}
	if got := fmt.Sprint(out.Results); got != "[4 5 8]" {
		t.Errorf("the rows are %s", got)
	}
	n.get("/v1/objects/c").wantJSON(`{"id":"c","v":5,"w":"x"}`)
	n.get("/v1/objects/b").wantJSON(`{"id":"b","v":2,"w":["y","z"]}`)
	n.get("/api/query?" + url.Values{"data": {`{v where id = 'a'}`}}.Encode()).want(200)
}

func TestAFormIsAnsweredWithSortedKeysAndFourBlanks(t *testing.T) {
	n := newNode(t)
	if r := n.formed("add", "data", `{"id":"a"}`); r.body != "{\n    \"action\": \"add\",\n    \"count\": 1,\n    \"success\": true\n}\n" {
		t.Errorf("answered with %q", r.body)
	}
}

func TestAFormThatFailsSaysWhyAndWritesNothing(t *testing.T) {
	n := newNode(t)
	n.formed("add", "data", `[{"id":"a","v":1},{"id":"b","v":1}]`).want(200)
	const tryAdd = "Update 'where' clause did not match any objects; try an add"
	for _, c := range []struct {
		name, action string
		fields       []string
		status       int
		says         string
	}{
		{"update of nothing", "update", []string{"data", `{"v":2}`, "where", `id = 'none'`}, 200, tryAdd},
		{"update of two", "update", []string{"data", `{"v":2}`, "where", `v = 1`}, 200, tryAdd},
		{"update of anything", "update", []string{"data", `{"v":2}`}, 200, tryAdd},
		{"update with what is no condition", "update", []string{"data", `{"v":2}`, "where", `id = `}, 200, "line 1"},
		{"update of another object", "update", []string{"data", `{"id":"z","v":2}`, "where", `id = 'a'`}, 200, "z"},
		{"add of what is no JSON", "add", []string{"data", `{`}, 200, "line 1"},
		{"a query that cannot be computed", "query", []string{"data", `(v / 0)`}, 200, "division by zero"},
		{"delete", "delete", []string{"data", `{"id":"a"}`}, 200, "delete removes nothing"},
		{"no data", "add", []string{"other", `{"id":"c","v":1}`}, 400, "data is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := n.formed(c.action, c.fields...).want(c.status)
			var out struct {
				Action, Error string
				Success       bool
			}
			if r.into(&out); out.Success || out.Action != c.action || !strings.Contains(out.Error, c.says) {
				t.Errorf("got %s, want a failure that says %q", r.body, c.says)
			}
		})
	}
	r := n.formed("query", "data", `{* where`).want(200)
	var out struct {
		Success bool
		Results []any
		Errors  []string
	}
	if r.into(&out); !out.Success || out.Results == nil || len(out.Results) != 0 || len(out.Errors) != 1 || !strings.HasPrefix(out.Errors[0], "ERROR: ") {
		t.Errorf("a query that cannot be read: %s", r.body)
	}
	n.formed("nosuch", "data", "{}").want(404)
	n.get("/api/add?data=%7B%22id%22%3A%22c%22%7D").want(405)
	n.get("/v1/objects").wantJSON(`{"objects":[{"id":"a","v":1},{"id":"b","v":1}]}`)
}
