package pjson

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLongTextsStandBesideTheJSON(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"a text after the JSON": {
			"=multipart-json\n{\"id\":\"a\",\n\"p\":{\"multipartjsonref\":\"1\"}}\n= 1 END\nline\n= no header\n\"END\n\nEND\n",
			[]string{"a p line\n= no header\n\"END\n L"}},
		"several sections, texts before and between": {
			"=multipart-json\n= 1 --\none\n--\n[{\"id\":\"a\",\"p\":[{\"multipartjsonref\":\"1\"},{\"multipartjsonref\":\"2\"}]}]\n= 2 --\ntwo\n--\n{\"id\":\"b\",\"p\":1}\n",
			[]string{"a p one L [0]", "a p two L [1]", "b p 1 int"}},
		"an empty text, used twice":        {"=multipart-json\n= 1 --\n--\n{\"id\":\"a\",\"p\":{\"multipartjsonref\":\"1\"},\"q\":{\"multipartjsonref\":\"1\"}}", []string{"a p  L", "a q  L"}},
		"lines that end as Windows has it": {"=multipart-json\r\n= 1 --\r\none\r\n--\r\n{\"id\":\"a\",\"p\":{\"multipartjsonref\":\"1\"}}", []string{"a p one L"}},
		"a text that looks like a reference is one": {
			"=multipart-json\n= 1 --\n@b\n--\n{\"id\":\"a\",\"p\":{\"multipartjsonref\":\"1\"}}", []string{"a p b R"}},
		"the key means nothing elsewhere": {"{\"id\":\"a\",\"p\":{\"id\":\"b\",\"multipartjsonref\":\"1\"}}", []string{"a p b R", "b multipartjsonref 1 L"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := linesOf(statementsOf(t, tt.text))
			slices.Sort(got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBrokenPartsAreRefusedWithTheirPlace(t *testing.T) {
	refusals{
		{"a first line that goes on", "=multipart-json!\n{}", 1, 1, "the first line is"},
		{"no JSON", "=multipart-json\n= 1 END\nx\nEND\n", 5, 1, "there is no JSON section"},
		{"a header without end", "=multipart-json\n{}\n= 1\n", 3, 1, `the header of a text section is "= 1"`},
		{"a text that does not end", "=multipart-json\n{}\n= 1 END\nx\n", 3, 1, `no line "END" ends the text "1"`},
		{"a text given twice", "=multipart-json\n{\"p\":{\"multipartjsonref\":\"1\"}}\n= 1 E\nE\n= 1 E\nE\n", 5, 1, `the text "1" is given twice`},
		{"a text that is not there", "=multipart-json\n{\"p\":{\"multipartjsonref\":\"2\"}}\n", 2, 26, "there is no text section of this id"},
		{"a reference by number", "=multipart-json\n{\"p\":{\"multipartjsonref\":2}}\n", 2, 26, "there is no text section of this id"},
		{"a text that nothing needs", "=multipart-json\n{}\n= 1 E\nE\n", 3, 1, `nothing refers to the text "1"`},
		{"JSON that is broken", "=multipart-json\n= 1 E\nE\n{\"p\":\n", 5, 1, "unexpected end of text"},
		{"a text with a NUL", "=multipart-json\n= 1 E\n\x00\nE\n{\"p\":{\"multipartjsonref\":\"1\"}}\n", 5, 6, "NUL"},
		{"a text that is not UTF-8", "=multipart-json\n= 1 E\n\xff\nE\n{\"p\":{\"multipartjsonref\":\"1\"}}\n", 5, 6, "not valid UTF-8"},
	}.run(t, Options{})
}
