package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// question is asked of each system in the words of its language. Parameters are
// :p1, :p2 there, ? or $1, $2.
type question struct {
	// key is its part of the names of rows, what says what it asks for.
	key, what string
	// vesper is jsonQL, "" for the object whose id is the parameter.
	vesper           string
	sqlite, postgres string
	// params are those of one call; a store has n objects.
	params func(r *rand.Rand, n int) []any
	// against names the system of the goal, "" for none; atMost is the goal of the
	// time by that of the system.
	against string
	atMost  float64
}

const (
	againstSQLite   = "SQLite"
	againstPostgres = "PostgreSQL"
)

// Of all objects one in ordersEach is a customer, in one of cities cities; the
// others are orders. perBatch orders share a batch.
const (
	ordersEach = 10
	cities     = 1000
	products   = 50
	perBatch   = 10
	prices     = 1_000_000
)

// id is a parameter that names an object.
type id string

func nothing(*rand.Rand, int) []any { return nil }

// questions in the order of the table.
var questions = []question{
	{key: "point", what: "point read of an object by its id",
		sqlite:   "SELECT body FROM objects WHERE id = ?",
		postgres: "SELECT body FROM objects WHERE id = $1",
		params:   anOrder, against: againstSQLite, atMost: 1},
	{key: "query", what: "point read by a query",
		vesper:   "{* where id = :p1}",
		sqlite:   "SELECT body FROM objects WHERE id = ?",
		postgres: "SELECT body FROM objects WHERE id = $1",
		params:   anOrder, against: againstSQLite, atMost: 1},
	{key: "filter", what: "indexed filter: 10 orders of a batch",
		vesper:   "[id, price where batch = :p1]",
		sqlite:   "SELECT id, json_extract(body, '$.price') FROM objects WHERE json_extract(body, '$.batch') = ?",
		postgres: "SELECT id, body->>'price' FROM objects WHERE body @> jsonb_build_object('batch', $1::int)",
		params:   func(r *rand.Rand, n int) []any { return []any{orderNumber(r, n) / perBatch} },
		against:  againstSQLite, atMost: 1},
	{key: "range", what: "range of an indexed number: one order in a thousand",
		vesper:   "[id, price where price >= :p1 and price < :p2]",
		sqlite:   "SELECT id, json_extract(body, '$.price') FROM objects WHERE json_extract(body, '$.price') >= ? AND json_extract(body, '$.price') < ?",
		postgres: "SELECT id, body->>'price' FROM objects WHERE (body->>'price')::int >= $1::int AND (body->>'price')::int < $2::int",
		params: func(r *rand.Rand, _ int) []any {
			from := r.IntN(prices - prices/1000)
			return []any{from, from + prices/1000}
		}},
	{key: "join", what: "two-way join: the orders of a city with their customers' names",
		vesper:   "[id, ?c.name where customer = ?c and ?c.city = :p1]",
		sqlite:   "SELECT o.id, json_extract(c.body, '$.name') FROM objects c JOIN objects o ON json_extract(o.body, '$.customer') = c.id WHERE json_extract(c.body, '$.city') = ?",
		postgres: "SELECT o.id, c.body->>'name' FROM objects c JOIN objects o ON o.body->>'customer' = c.id WHERE c.body->>'city' = $1",
		params:   func(r *rand.Rand, _ int) []any { return []any{fmt.Sprintf("city %d", r.IntN(cities))} },
		against:  againstPostgres, atMost: 2},
	{key: "joinall", what: "two-way join of all, grouped: orders by their customers' level",
		vesper:   "[?c.level, count(id) where customer = ?c group by ?c.level]",
		sqlite:   "SELECT json_extract(c.body, '$.level'), count(*) FROM objects c JOIN objects o ON json_extract(o.body, '$.customer') = c.id GROUP BY 1",
		postgres: "SELECT c.body->>'level', count(*) FROM objects c JOIN objects o ON o.body->>'customer' = c.id GROUP BY 1",
		params:   nothing, against: againstPostgres, atMost: 2},
	{key: "group", what: "group by: how many orders of each of 50 products",
		vesper:   "[product, count(*) group by product]",
		sqlite:   "SELECT json_extract(body, '$.product'), count(*) FROM objects WHERE json_extract(body, '$.product') IS NOT NULL GROUP BY 1",
		postgres: "SELECT body->>'product', count(*) FROM objects WHERE body->>'product' IS NOT NULL GROUP BY 1",
		params:   nothing, against: againstPostgres, atMost: 2},
	{key: "order", what: "order with limit: the 10 dearest orders",
		vesper:   "[id, price where price order by price desc, id limit 10]",
		sqlite:   "SELECT id, json_extract(body, '$.price') FROM objects WHERE json_extract(body, '$.price') IS NOT NULL ORDER BY json_extract(body, '$.price') DESC, id LIMIT 10",
		postgres: "SELECT id, body->>'price' FROM objects WHERE (body->>'price')::int IS NOT NULL ORDER BY (body->>'price')::int DESC, id LIMIT 10",
		params:   nothing},
	{key: "scan", what: "full scan: how many orders meet a condition on two properties, that no index answers",
		vesper:   "[count(*) where price % 97 = number % 97]",
		sqlite:   "SELECT count(*) FROM objects WHERE json_extract(body, '$.price') % 97 = json_extract(body, '$.number') % 97",
		postgres: "SELECT count(*) FROM objects WHERE (body->>'price')::int % 97 = (body->>'number')::int % 97",
		params:   nothing},
	{key: "count", what: "how many objects there are",
		vesper: "[count(*)]", sqlite: "SELECT count(*) FROM objects", postgres: "SELECT count(*) FROM objects",
		params: nothing},
}

// The indexes that a sensible user would make for these questions. Vesper has
// one of every value by itself, and of the declared properties one in order.
var (
	vesperOrdered = []string{"price"}
	sqliteIndexes = []string{
		"CREATE INDEX by_batch ON objects (json_extract(body, '$.batch'))",
		"CREATE INDEX by_price ON objects (json_extract(body, '$.price'))",
		"CREATE INDEX by_customer ON objects (json_extract(body, '$.customer'))",
		"CREATE INDEX by_city ON objects (json_extract(body, '$.city'))",
		"CREATE INDEX by_product ON objects (json_extract(body, '$.product'))",
		"ANALYZE",
	}
	postgresIndexes = []string{
		"CREATE INDEX ON objects USING gin (body jsonb_path_ops)",
		"CREATE INDEX ON objects (((body->>'price')::int))",
		"CREATE INDEX ON objects ((body->>'customer'))",
		"CREATE INDEX ON objects ((body->>'city'))",
		"CREATE INDEX ON objects ((body->>'product'))",
		"VACUUM ANALYZE objects",
	}
)

func orderNumber(r *rand.Rand, n int) int {
	for {
		if i := r.IntN(n); i%ordersEach != 0 {
			return i
		}
	}
}

func anOrder(r *rand.Rand, n int) []any { return []any{id(orderID(orderNumber(r, n)))} }

func orderID(i int) string    { return fmt.Sprintf("o%08d", i) }
func customerID(i int) string { return fmt.Sprintf("c%08d", i) }

// calls returns the parameters of many calls, the same ones for each system.
func (q question) calls(n int) [][]any {
	r := rand.New(rand.NewPCG(uint64(n), uint64(len(q.key))))
	out := make([][]any, 256)
	for i := range out {
		if out[i] = q.params(r, n); out[i] == nil {
			return out[:1]
		}
	}
	return out
}

// orders calls visit with n objects, customers and orders, the same at each
// call. References have a prefix.
func orders(n int, prefix string, visit func(id, body string) error) error {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		name := customerID(i)
		var body string
		if i%ordersEach == 0 {
			body = fmt.Sprintf(`{"id":"%s","name":"%s %s","city":"city %d","level":%d,"since":%d}`,
				name, word(r), word(r), r.IntN(cities), r.IntN(5), 1990+r.IntN(35))
		} else {
			name = orderID(i)
			customer := r.IntN((n+ordersEach-1)/ordersEach) * ordersEach
			body = fmt.Sprintf(`{"id":"%s","customer":"%s%s","product":"product %d","price":%d,"number":%d,"batch":%d,"paid":%t,"note":"%s %s %s"}`,
				name, prefix, customerID(customer), r.IntN(products), r.IntN(prices), i, i/perBatch, r.IntN(2) == 0, word(r), word(r), word(r))
		}
		if err := visit(name, body); err != nil {
			return err
		}
	}
	return nil
}

// canonical writes the rows of an answer in one way, whichever system they are
// from: as sorted texts, in which numbers and strings are alike.
func canonical(rows []any) []string {
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		out = append(out, cell(row))
	}
	slices.Sort(out)
	return out
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		if strings.HasPrefix(v, "{") {
			var object any
			if json.Unmarshal([]byte(v), &object) == nil {
				return cell(object)
			}
		}
		return strings.TrimPrefix(v, "@")
	case []any:
		cells := make([]string, len(v))
		for i := range v {
			cells[i] = cell(v[i])
		}
		return strings.Join(cells, " | ")
	case map[string]any:
		cells := make([]string, 0, len(v))
		for key, one := range v {
			cells = append(cells, key+" "+cell(one))
		}
		slices.Sort(cells)
		return strings.Join(cells, " | ")
	case float64:
		return fmt.Sprintf("%.15g", v)
	default:
		return fmt.Sprint(v)
	}
}
