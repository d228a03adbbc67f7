package frame

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

const good = "MESSAGE\nsubscription:1\n\nnext\x00"

func TestReadingPastABadFrameKeepsItsGoodPartsAndTheNextFrame(t *testing.T) {
	limits := Limits{Body: 10, HeaderLine: 20, Headers: 3}
	for name, c := range map[string]struct {
		text    string
		problem string
		headers int
	}{
		"body over, announced":        {"MESSAGE\nack:1\ncontent-length:11\n\n0123456789\x00\x00", "body", 2},
		"body far over, announced":    {"MESSAGE\nack:1\ncontent-length:160\n\n" + strings.Repeat("0", 160) + "\x00", "body", 2},
		"body over, unannounced":      {"MESSAGE\nack:1\n\n" + strings.Repeat("0", 9999) + "\x00", "body", 1},
		"line over":                   {"MESSAGE\nk:" + strings.Repeat("v", 19) + "\nack:1\n\n\x00", "header line", 1},
		"line over the buffer":        {"MESSAGE\nk:" + strings.Repeat("v", 50000) + "\nack:1\n\n\x00", "header line", 1},
		"headers over":                {"MESSAGE\nack:1\nb:\nc:\nd:\ne:\n\nabc\x00", "header lines", 3},
		"headers over, then a length": {"MESSAGE\nack:1\nb:\nc:\nd:\ncontent-length:3\n\n\x00b\x00\x00", "header lines", 4},
		"line without a colon":        {"MESSAGE\nack:1\nnonsense\n\n\x00", "colon", 1},
		"NUL in a line":               {"MESSAGE\nack:1\na:\x00b\n\n\x00", "NUL", 1},
		"unknown escape":              {"MESSAGE\nack:1\na:\\t\n\n\x00", "escape", 1},
	} {
		d := NewDecoder(strings.NewReader(c.text+good), limits)
		d.ReadPast()
		f, err := d.Decode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Problem == nil || !strings.Contains(f.Problem.Error(), c.problem) {
			t.Errorf("%s: problem %v, want one of %s", name, f.Problem, c.problem)
		}
		if f.Header.Get("ack") != "1" || len(f.Header) != c.headers || strings.HasPrefix(c.problem, "body") && f.Body != nil {
			t.Errorf("%s: kept %v", name, f)
		}
		next, err := d.Decode()
		if err != nil || string(next.Body) != "next" || next.Problem != nil {
			t.Errorf("%s: the next frame is %v, %v", name, next, err)
		}
	}
}

func TestReadingPastEndsWhereTheEndOfAFrameIsNotKnown(t *testing.T) {
	limits := Limits{Body: 10, HeaderLine: 20, Headers: 3}
	for name, text := range map[string]string{
		"body without end in sight": "MESSAGE\ncontent-length:161\n\n",
		"length that is no number":  "MESSAGE\ncontent-length:x\n\n",
		"length that lies":          "MESSAGE\ncontent-length:1\n\nabc\x00",
		"no command":                "message\n\n\x00",
		"cut in a long body":        "MESSAGE\ncontent-length:100\n\nabc",
		"cut in a long line":        "MESSAGE\nk:" + strings.Repeat("v", 50000),
	} {
		d := NewDecoder(strings.NewReader(text), limits)
		d.ReadPast()
		if f, err := d.Decode(); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, %v", name, f, err)
		}
	}
}

func TestTextHasNoLengthAndNoNUL(t *testing.T) {
	f := New(Send, "destination", "/topic/a")
	f.Body, f.Text = []byte("{}"), true
	if wire := string(encode(t, f, V12)); wire != "SEND\ndestination:/topic/a\n\n{}\x00\n" {
		t.Errorf("got %q", wire)
	}
	f.Body = []byte("a\x00b")
	var syntax *SyntaxError
	if _, err := Append(nil, f, V12, Limits{}); !errors.As(err, &syntax) {
		t.Errorf("a text with NUL: %v", err)
	}
}

// FuzzReadPast: reading past bad frames keeps no more than the limits allow, and ends.
func FuzzReadPast(f *testing.F) {
	f.Add([]byte("MESSAGE\ncontent-length:20\n\n01234567890123456789\x00" + good))
	f.Add([]byte("MESSAGE\n" + strings.Repeat("a:b\n", 9) + "bad\n\n\x00" + good))
	limits := Limits{Body: 16, HeaderLine: 32, Headers: 4}
	f.Fuzz(func(t *testing.T, data []byte) {
		strict, d := NewDecoder(bytes.NewReader(data), limits), NewDecoder(bytes.NewReader(data), limits)
		d.ReadPast()
		for sound := true; ; {
			got, err := d.Decode()
			if sound {
				want, refused := strict.Decode()
				if sound = refused == nil; sound && (err != nil || got.Problem != nil || difference(want, got) != "") {
					t.Fatalf("%v without fault was read as %v, %v", want, got, err)
				}
			}
			if err != nil {
				return
			}
			if len(got.Body) > limits.Body || len(got.Header) > limits.Headers+1 {
				t.Fatalf("kept %v", got)
			}
		}
	})
}
