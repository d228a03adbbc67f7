package apply

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawValue draws a piece of an object as JSON has it, at most depth deep.
func drawValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		switch {
		case kind == 0 && depth > 0:
			return drawMap(depth-1).Draw(t, "map")
		case kind == 1 && depth > 0:
			return rapid.SliceOfN(rapid.Map(rapid.String(), func(s string) any { return s }), 0, 3).Draw(t, "texts")
		case kind == 2 && depth > 0:
			return drawNamed(depth-1).Draw(t, "named")
		case kind == 3:
			return rapid.Int64().Draw(t, "number")
		default:
			return rapid.String().Draw(t, "text")
		}
	})
}

func drawMap(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.StringMatching(`[a-d]`), drawValue(depth), 0, 4)
}

// drawNamed draws a list whose members are told apart by their name.
func drawNamed(depth int) *rapid.Generator[[]any] {
	return rapid.Custom(func(t *rapid.T) []any {
		list := []any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{2}`), 0, 3, rapid.ID[string]).Draw(t, "names") {
			member := drawMap(depth).Draw(t, "member")
			member["name"] = name
			list = append(list, member)
		}
		return list
	})
}

// grow returns value with what others may add: fields to objects, and members
// to lists whose members have names, in any order.
func grow(t *rapid.T, value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{"zz-by-others": "x"}
		for key, item := range value {
			out[key] = grow(t, item)
		}
		return out
	case []any:
		if mergeKey(value) == nil {
			return value
		}
		out := []any{map[string]any{"name": "by-others"}}
		for _, item := range value {
			out = append(out, grow(t, item))
		}
		return rapid.Permutation(out).Draw(t, "order")
	default:
		return value
	}
}

func TestWhatOthersAddNeverMakesADifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMap(3).Draw(t, "want")
		if !covers(want, want) {
			t.Fatal("an object does not cover itself")
		}
		if has := grow(t, want); !covers(has, want) {
			t.Fatalf("%v does not cover %v", has, want)
		}
	})
}

func TestAChangeOfAnyWantedTextIsADifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawMap(3).Draw(t, "want")
		has := maps.Clone(want)
		keys := slices.Sorted(maps.Keys(want))
		if len(keys) == 0 {
			t.Skip("nothing to change")
		}
		key := rapid.SampledFrom(keys).Draw(t, "key")
		has[key] = "changed by someone to what was never drawn"
		if empty, ok := want[key].(map[string]any); ok && len(empty) == 0 {
			t.Skip("an empty object asks for nothing")
		}
		if empty, ok := want[key].([]any); ok && len(empty) == 0 {
			t.Skip("an empty list asks for nothing")
		}
		if covers(has, want) {
			t.Fatalf("%v covers %v", has, want)
		}
	})
}
