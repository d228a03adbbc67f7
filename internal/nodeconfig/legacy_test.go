package nodeconfig

import (
	"strings"
	"testing"
)

func TestAChannelOfTheOriginalIsANodesOnlyOneAndNothingLeavesItsLog(t *testing.T) {
	one := "replication_hosts: [mq:1]\nreplication_channel: C\nwire: vesper\n"
	tests := map[string]struct{ text, want string }{
		"alone":               {one, ""},
		"alone in a list":     {"links: [{name: a, hosts: [mq:1], channel: C, wire: vesper}]\n", ""},
		"beside another":      {"links: [{name: a, hosts: [mq:1], channel: C, wire: vesper}, {name: b, hosts: [mq:2], channel: C}]\n", "links[1].wire: vesper, beside other links"},
		"with a retention":    {one + "retention: 2h\nmembersFile: /m\n", "retention: given with wire vesper"},
		"retention elsewhere": {"replication_hosts: [mq:1]\nreplication_channel: C\nretention: 2h\nmembersFile: /m\n", ""},
		"a model":             {one + "model_uri: \"test:\"\n", ""},
		"a model with ;":      {one + "model_uri: a;b\n", "model_uri: "},
		"a model with blanks": {one + "model_uri: a b\n", "model_uri: "},
		"a model not ASCII":   {one + "model_uri: é\n", "model_uri: "},
		"a long model":        {one + "model_uri: " + strings.Repeat("x", 257) + "\n", "model_uri: "},
	}
	for name, tt := range tests {
		_, err := Parse("f", []byte(minimal+tt.text))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: the error is %v, and should say %q", name, err, tt.want)
		}
	}
}
