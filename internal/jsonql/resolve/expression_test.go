package resolve

import (
	"errors"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// resolved ties the where clause of a query to its sets.
func resolved(t *testing.T, query string) (Expr, *Env, error) {
	t.Helper()
	s, root := declared(t, query)
	b := &builder{text: query, scope: s, env: &Env{}, ids: map[SetID]SetID{}}
	e, err := b.expr(root.Where, b.place(s.owners[root]))
	return e, b.env, err
}

func TestNamesAreTiedToTheirSets(t *testing.T) {
	e, env, err := resolved(t, "{ ?p id where tags = ?t.label and a.b < 3 }")
	if err != nil {
		t.Fatal(err)
	}
	var found []SetID
	var paths []string
	Walk(e, func(e Expr) bool {
		if p, ok := e.(*Prop); ok {
			found = append(found, p.Set)
			paths = append(paths, strings.Join(p.Path, "."))
		}
		return true
	})
	if got := strings.Join(paths, " "); got != "tags label a.b" {
		t.Errorf("properties %s", got)
	}
	if len(env.Sets) != 2 || found[0] != found[2] || found[0] == found[1] || env.Sets[found[1]].Label != "t" {
		t.Errorf("sets %v of %d", found, len(env.Sets))
	}
}

func TestAliasesAreOneSet(t *testing.T) {
	_, env, err := resolved(t, "{ ?a id where ?a = ?b and ?b.x = 1 }")
	if err != nil || len(env.Sets) != 1 {
		t.Errorf("%d sets, %v", len(env.Sets), err)
	}
}

func TestMaybeMakesAPropertyNullableAndNothingElse(t *testing.T) {
	_, env, err := resolved(t, "{ id where (maybe p) = null }")
	if err != nil || !env.Sets[0].Nullable["p"] {
		t.Errorf("%v, %v", env.Sets, err)
	}
	_, _, err = resolved(t, "{ id where 1 = maybe upper(p) }")
	if e, ok := errors.AsType[*syntax.Error](err); !ok || e.Line != 1 || e.Col != 16 {
		t.Errorf("maybe before a call: %v", err)
	}
}
