package docs

import (
	"encoding/json"
	"strings"
	"testing"
)

// width is how long a line of JSON in the documents may be.
const width = 130

// layOut writes JSON for a reader: a value in one line if it fits, else its
// members in lines of their own, with the keys in the order they came in.
func layOut(raw json.RawMessage, indent int) string {
	open, items, end := members(raw)
	flat := make([]string, len(items))
	for i, it := range items {
		flat[i] = it.key + layOut(it.value, -1)
	}
	line := open + strings.Join(flat, ", ") + end
	if len(items) == 0 || indent < 0 || indent+len(line) <= width {
		return line
	}
	deeper := strings.Repeat(" ", indent+2)
	for i, it := range items {
		flat[i] = deeper + it.key + layOut(it.value, indent+2)
	}
	return open + "\n" + strings.Join(flat, ",\n") + "\n" + strings.Repeat(" ", indent) + end
}

// item is a member of an object, its key as `"key": `, or one of a list, without key.
type item struct {
	key   string
	value json.RawMessage
}

// members takes an object or list apart; of anything else, open is all of it.
func members(raw json.RawMessage) (open string, items []item, end string) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text[0] != '{' && text[0] != '[' {
		return text, nil, ""
	}
	d := json.NewDecoder(strings.NewReader(text))
	if _, err := d.Token(); err != nil {
		return text, nil, ""
	}
	for d.More() {
		var it item
		if text[0] == '{' {
			var key json.RawMessage
			token, err := d.Token()
			if err == nil {
				key, err = json.Marshal(token)
			}
			if err != nil {
				return text, nil, ""
			}
			it.key = string(key) + ": "
		}
		if d.Decode(&it.value) != nil {
			return text, nil, ""
		}
		items = append(items, it)
	}
	return text[:1], items, text[len(text)-1:]
}

func TestJSONIsLaidOutForReaders(t *testing.T) {
	long := strings.Repeat("x", 100)
	got := layOut(json.RawMessage(`{"b":1.0,"a":[],"l":[{"k":"`+long+`"},"<`+long+`>"]}`), 0)
	want := "{\n  \"b\": 1.0,\n  \"a\": [],\n  \"l\": [\n    {\"k\": \"" + long + "\"},\n    \"<" + long + ">\"\n  ]\n}"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := matchJSON(want, got); err != nil {
		t.Error(err)
	}
}
