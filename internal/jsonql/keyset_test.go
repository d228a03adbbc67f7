package jsonql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vesperdb.io/vesper/internal/jsonql"
	"vesperdb.io/vesper/internal/jsonql/jsonqltest"
	"vesperdb.io/vesper/internal/pjson"
	"vesperdb.io/vesper/internal/statement"
)

// TestPagesBehindTheLastRowAreTogetherTheWholeAnswer: whoever asks again and
// again with the keys of the last row gets each row once, in order, whatever the
// values are, whichever way they are ordered, and with every kind of index.
func TestPagesBehindTheLastRowAreTogetherTheWholeAnswer(t *testing.T) {
	values := []string{"1", "1", "2", "-3.5", "1e300", "123456789012345678901234567890", `"x"`, `"X"`, `""`, "true", "false", "null", `{"$ref":"o1"}`, ""}
	orders := []string{"p, id", "p desc, id", "p, id desc", "p desc, id desc", "p, q, id", "q desc, p, id"}
	rapid.Check(t, func(t *rapid.T) {
		var objects []string
		for i := range rapid.IntRange(1, 14).Draw(t, "objects") {
			o := fmt.Sprintf(`{"id":"o%d","all":0`, i)
			for _, name := range []string{"p", "q"} {
				if v := rapid.SampledFrom(values).Draw(t, name); v != "" {
					o += `,"` + name + `":` + v
				}
			}
			objects = append(objects, o+"}")
		}
		doc, err := pjson.Parse([]byte("["+strings.Join(objects, ",")+"]"), pjson.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var list []statement.Statement
		for _, o := range doc.Objects {
			list = append(list, o.Statements...)
		}
		order := rapid.SampledFrom(orders).Draw(t, "order")
		keys := strings.Split(strings.ReplaceAll(order, " desc", ""), ", ")
		shown := rapid.SampledFrom([]string{"maybe p, maybe q, id where all", "p, maybe q, id", "p, q, id"}).Draw(t, "shown")
		size := rapid.IntRange(1, 4).Draw(t, "size")
		plain := jsonqltest.New(list)
		for _, src := range []jsonql.Source{plain, jsonqltest.Indexed{Source: plain}, jsonqltest.Ordered{Indexed: jsonqltest.Indexed{Source: plain}}} {
			whole := rows(t, src, "["+shown+" order by "+order+"]")
			if got := pages(t, src, shown, order, keys, size, len(whole)); string(pjson.AppendJSON(nil, got)) != string(pjson.AppendJSON(nil, whole)) {
				t.Fatalf("%s by %s in pages of %d of %T gives\n%s\nas a whole\n%s", shown, order, size, src, pjson.AppendJSON(nil, got), pjson.AppendJSON(nil, whole))
			}
		}
	})
}

// pages reads an answer in parts, each behind the last row of the one before.
func pages(t *rapid.T, src jsonql.Source, shown, order string, keys []string, size, most int) []any {
	all := []any{}
	query := fmt.Sprintf("[%s order by %s limit %d]", shown, order, size)
	var bind jsonql.Bindings
	for len(all) <= most { // a page too many fails, and does not go on for ever
		q, err := jsonql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		part, err := q.Run(t.Context(), src, bind, jsonql.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, part.Rows...); len(part.Rows) < size {
			return all
		}
		last := part.Rows[len(part.Rows)-1].([]any)
		bind = jsonql.Bindings{}
		var names []string
		for _, key := range keys {
			bind[key] = last[slices.Index([]string{"p", "q", "id"}, key)]
			names = append(names, ":"+key)
		}
		query = fmt.Sprintf("[%s order by %s after (%s) limit %d]", shown, order, strings.Join(names, ", "), size)
	}
	return all
}
