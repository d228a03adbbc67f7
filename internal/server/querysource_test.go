package server

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
	"vesperdb.io/vesper/internal/store"
)

// sameAnswers compares the answers from the store with those from the same
// statements in memory, without any index but the plainest.
func sameAnswers(t *rapid.T, rd *store.Reader, queries []string) {
	var all []statement.Statement
	for o, err := range rd.Objects("") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o.Statements...)
	}
	for _, text := range queries {
		q, err := jsonql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		want, err := q.Run(t.Context(), jsonqltest.New(all), nil, jsonql.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := q.Run(t.Context(), newSource(rd, "test:"), nil, jsonql.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if a, b := pjson.AppendJSON(nil, got.Rows), pjson.AppendJSON(nil, want.Rows); string(a) != string(b) {
			t.Fatalf("%s gives\n%s\nwant\n%s", text, a, b)
		}
	}
}

func TestTheStoreAnswersAsTheSameStatementsInMemory(t *testing.T) {
	queries := []string{
		"{*}", "{id, p}", "{id where p = 1}", "{id where p = 'x' and q}", "{id where p > 1}", "{id where q <= 'x' and p}",
		"{id, p order by p desc limit 2}", "{p, 'n': count(*) group by p}", "{'n': count(p)}", "{id where p = @o1}", "{id where not q}",
		"{id, q order by p desc}", "{q where p order by id limit 2}", "{q, p where any order by p, id desc}",
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t)
		write := func(tx *store.Tx) error {
			for range rapid.IntRange(1, 6).Draw(rt, "objects") {
				value := rapid.SampledFrom([]string{"1", "2.5", `"x"`, `"y"`, "null", "true", `"@o1"`, "[1,2]", `{"p":1,"q":"x"}`})
				text := fmt.Sprintf(`{"id":"o%d","any":0,"p":%s,"q":%s}`, rapid.IntRange(0, 5).Draw(rt, "id"), value.Draw(rt, "p"), value.Draw(rt, "q"))
				doc, err := pjson.Parse([]byte(text), pjson.Options{})
				if err != nil {
					return err
				}
				if err := tx.Replace(doc.Objects); err != nil {
					return err
				}
			}
			sameAnswers(rt, tx.Reader, queries)
			return nil
		}
		for range 2 {
			if _, err := n.server.deps.Store.Update(t.Context(), store.WriteOptions{}, write); err != nil {
				rt.Fatal(err)
			}
		}
		err := n.server.deps.Store.View(t.Context(), func(rd *store.Reader) error {
			sameAnswers(rt, rd, queries)
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func TestAQueryBombHitsItsLimitWhileOthersAreAnswered(t *testing.T) {
	n := newNode(t, func(d *Deps) { d.Config.Limits.QueryRows = 50 })
	objects := ""
	for i := range 200 {
		objects += fmt.Sprintf(`,{"id":"o%d","v":%d}`, i, i)
	}
	n.rpc(request("1", "add", "["+objects[1:]+"]")).want(200)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := n.server.deps.Store.View(t.Context(), func(rd *store.Reader) error {
				_, bomb := n.server.runQuery(t.Context(), rd, queryParams{Query: "{id, v}"})
				if !isQueryFault(bomb) {
					t.Errorf("a query with too many rows: %v", bomb)
				}
				got, err := n.server.runQuery(t.Context(), rd, queryParams{Query: fmt.Sprintf("{v where id = 'o%d'}", i)})
				if len(got.Rows) != 1 {
					t.Errorf("its neighbor has %d rows", len(got.Rows))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
