package value

import (
	"testing"

	"vesperdb.io/vesper/internal/statement"
)

func of(t *testing.T, v any) Value {
	t.Helper()
	if list, ok := v.([]any); ok {
		out := []Value{}
		for _, m := range list {
			out = append(out, of(t, m))
		}
		return ListOf(out)
	}
	term, err := statement.FromValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return Of(term)
}

func TestValuesOfAllKindsHaveOneOrder(t *testing.T) {
	ascending := []any{nil, -1, false, 0.5, true, 2, []any{}, []any{1}, []any{2}, "", "A", "a", statement.Ref("A"), statement.Ref("a")}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			switch {
			case i < j:
				want = -1
			case i > j:
				want = 1
			}
			if got := Compare(of(t, a), of(t, b)); got != want {
				t.Errorf("Compare(%v, %v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestEqualityIgnoresTheKindOfNumberAndLooksIntoLists(t *testing.T) {
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{1, 1.0, true}, {1, true, true}, {0, false, true}, {1, "1", false},
		{"x", statement.Ref("x"), false}, {nil, 0, false}, {nil, nil, true},
		{[]any{1, 2}, 2.0, true}, {3, []any{1, 2}, false}, {[]any{1, 2}, []any{2, 1}, true},
		{9007199254740993, 9007199254740992.0, false},
	} {
		if got := Equal(of(t, c.a), of(t, c.b)); got != c.want {
			t.Errorf("Equal(%v, %v) = %v", c.a, c.b, got)
		}
	}
}

func TestOnlyEmptyThingsAreFalse(t *testing.T) {
	for _, c := range []struct {
		v    any
		want bool
	}{{nil, false}, {false, false}, {0, false}, {0.0, false}, {"", false}, {[]any{}, false}, {"0", true}, {-1, true}, {[]any{0}, true}} {
		if got := of(t, c.v).Truth(); got != c.want {
			t.Errorf("Truth(%v) = %v", c.v, got)
		}
	}
}

func TestWhatIsNoNumberReadsAsZero(t *testing.T) {
	for _, c := range []struct {
		v    any
		want float64
	}{{"x", 0}, {3, 3}, {true, 1}, {nil, 0}, {statement.Ref("3"), 0}, {[]any{3}, 0}} {
		if got := Float(of(t, c.v)); got != c.want {
			t.Errorf("Float(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}
