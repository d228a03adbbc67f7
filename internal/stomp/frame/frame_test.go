package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func encode(t testing.TB, f *Frame, v Version) []byte {
	t.Helper()
	b, err := Append(nil, f, v, Limits{})
	if err != nil {
		t.Fatalf("encoding %v in %s: %v", f, v, err)
	}
	return b
}

func decoder(r io.Reader, v Version) *Decoder {
	d := NewDecoder(r, Limits{})
	d.SetVersion(v)
	return d
}

func decode(t testing.TB, text string, v Version) *Frame {
	t.Helper()
	f, err := decoder(strings.NewReader(text), v).Decode()
	if err != nil {
		t.Fatalf("decoding %q in %s: %v", text, v, err)
	}
	return f
}

// TestEscapesFollowTheVersion is the specification's table of what each version can say.
func TestEscapesFollowTheVersion(t *testing.T) {
	for _, c := range []struct {
		v           Version
		key, value  string
		line        string // "" when it cannot be said
		command     string
		decodesBack bool
	}{
		{V12, "k", "a:b\\c\nd\re", `k:a\cb\\c\nd\re`, Send, true},
		{V12, "k:1", "v", `k\c1:v`, Send, true},
		{V12, "k", "", `k:`, Send, true},
		{V12, "k", "  kept  ", `k:  kept  `, Send, true},
		{V12, "k", "é€", `k:é€`, Send, true},
		{V12, "k", "a\x00b", "", Send, false},
		{V11, "k", "a:b\\c\nd", `k:a\cb\\c\nd`, Send, true},
		{V11, "k", "a\rb", "", Send, false},
		{V10, "k", `a\b:c`, `k:a\b:c`, Send, true},
		{V10, "k:1", "v", "", Send, false},
		{V10, "k", "a\nb", "", Send, false},
		{V10, "k", "a\rb", "", Send, false},
		{V12, "login", `a:b\n`, `login:a:b\n`, Connect, true},
		{V12, "session", `a:b\c`, `session:a:b\c`, Connected, true},
		{V12, "passcode", "a\nb", "", Connect, false},
		{V12, "login", `a:b\`, `login:a\cb\\`, Stomp, true},
	} {
		t.Run(fmt.Sprintf("%s %s %q=%q", c.v, c.command, c.key, c.value), func(t *testing.T) {
			f := New(c.command, c.key, c.value)
			b, err := Append([]byte("before"), f, c.v, Limits{})
			if c.line == "" {
				var syntax *SyntaxError
				if !errors.As(err, &syntax) || string(b) != "before" {
					t.Fatalf("got %q and %v, want a syntax error and nothing appended", b, err)
				}
				return
			}
			if err != nil || !strings.Contains(string(b), "\n"+c.line+"\n") {
				t.Fatalf("got %q, %v, want the line %q", b, err, c.line)
			}
			if got := decode(t, string(b[len("before"):]), c.v).Header.Get(c.key); got != c.value {
				t.Errorf("decoded %q, want %q", got, c.value)
			}
		})
	}
}

func TestDecoderRefusesWhatIsNoFrame(t *testing.T) {
	for name, c := range map[string]struct {
		v    Version
		text string
	}{
		"unknown escape":                {V12, "SEND\nk:a\\tb\n\n\x00"},
		"unknown escape of 1.2 in 1.1":  {V11, "SEND\nk:a\\rb\n\n\x00"},
		"escape cut off":                {V12, "SEND\nk:a\\\n\n\x00"},
		"header without colon":          {V12, "SEND\nkey\n\n\x00"},
		"NUL in a header":               {V12, "SEND\nk:a\x00b\n\n\x00"},
		"lower case command":            {V12, "send\n\n\x00"},
		"length that is no number":      {V12, "SEND\ncontent-length:1a\n\na\x00"},
		"negative length":               {V12, "SEND\ncontent-length:-1\n\na\x00"},
		"empty length":                  {V12, "SEND\ncontent-length:\n\na\x00"},
		"length shorter than the body":  {V12, "SEND\ncontent-length:1\n\nab\x00"},
		"bytes after NUL that are text": {V12, "\x00SEND\n\n\x00"},
	} {
		_, err := decoder(strings.NewReader(c.text), c.v).Decode()
		if _, ok := errors.AsType[*SyntaxError](err); !ok {
			t.Errorf("%s: got %v, want a syntax error", name, err)
		}
	}
}

func TestStreamEndsAreTold(t *testing.T) {
	whole := "SEND\ndestination:/topic/a\ncontent-length:3\n\nabc\x00"
	for cut := range len(whole) {
		_, err := decoder(strings.NewReader(whole[:cut]), V12).Decode()
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("stream cut after %d octets: got %v, want %v", cut, err, want)
		}
	}
	if _, err := decoder(strings.NewReader("\n\r\n\n"), V12).Decode(); !errors.Is(err, io.EOF) {
		t.Errorf("a stream of heart-beats ended with %v, want io.EOF", err)
	}
}

func TestDecoderReadsCRLFHeartBeatsAndFramesInARow(t *testing.T) {
	text := "\r\n\nMESSAGE\r\nk:v\r\nk:second\r\n\r\nbody\x00\n\r\nRECEIPT\nreceipt-id:1\n\n\x00\n\n"
	d := decoder(strings.NewReader(text), V12)
	want := []*Frame{
		{Command: Message, Header: Header{{"k", "v"}, {"k", "second"}}, Body: []byte("body")},
		{Command: Receipt, Header: Header{{"receipt-id", "1"}}},
	}
	for _, w := range want {
		f, err := d.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w, f); diff != "" {
			t.Errorf("frame differs (-want +got):\n%s", diff)
		}
	}
	if _, err := d.Decode(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want io.EOF", err)
	}
	if got := want[0].Header.Get("k"); got != "v" {
		t.Errorf("of a repeated header %q counts, want the first", got)
	}
}

// samples are frames with what tends to break decoders.
func samples() []*Frame {
	big := bytes.Repeat([]byte{0, '\n', 'a', '\r'}, 50<<10)
	return []*Frame{
		New(Connect, "login", `a:b\c`, "host", "x"),
		New(Receipt, "receipt-id", "1"),
		{Command: Send, Header: Header{{"destination", "/topic/a"}}},
		{Command: Message, Header: Header{{"k", ":\\\n"}, {"k", ""}}, Body: []byte("a\x00b\x00")},
		{Command: Message, Header: Header{{"k", strings.Repeat("x", 9000)}}, Body: big},
		{Command: Error, Header: Header{{"message", "m"}}, Body: []byte("\n\n\n")},
	}
}

// difference describes how got differs from want in more than content-length, or is "".
func difference(want, got *Frame) string {
	want, got = withoutLength(want), withoutLength(got)
	if want.Command == got.Command && slices.Equal(want.Header, got.Header) && bytes.Equal(want.Body, got.Body) {
		return ""
	}
	return fmt.Sprintf("got  %v %.200q\nwant %v %.200q", got, got.Body, want, want.Body)
}

func withoutLength(f *Frame) *Frame {
	out := *f
	out.Header = f.Header.Clone()
	out.Header.Del(HeaderContentLength)
	if len(out.Body) == 0 {
		out.Body = nil
	}
	if len(out.Header) == 0 {
		out.Header = nil
	}
	return &out
}

func TestFramesSurviveASplitAtEveryByte(t *testing.T) {
	for _, f := range samples() {
		wire := encode(t, f, V12)
		step := max(1, len(wire)/500) // every byte of all but the large one
		for cut := 0; cut < len(wire); cut += step {
			r := io.MultiReader(bytes.NewReader(wire[:cut]), bytes.NewReader(wire[cut:]))
			got, err := decoder(r, V12).Decode()
			if err != nil {
				t.Fatalf("%v split at %d: %v", f, cut, err)
			}
			if diff := difference(f, got); diff != "" {
				t.Fatalf("%v split at %d differs:\n%s", f, cut, diff)
			}
		}
		got, err := decoder(iotest.OneByteReader(bytes.NewReader(wire)), V12).Decode()
		if err != nil || difference(f, got) != "" {
			t.Errorf("%v byte by byte: got %v, %v", f, got, err)
		}
	}
}

func TestLimitsHoldAndTheLastAllowedPasses(t *testing.T) {
	limits := Limits{Body: 10, HeaderLine: 20, Headers: 3}
	for name, c := range map[string]struct {
		text string
		what string // "" when it must pass
	}{
		"body at the limit, announced":   {"SEND\ncontent-length:10\n\n0123456789\x00", ""},
		"body over, announced":           {"SEND\ncontent-length:11\n\n01234567890\x00", "body"},
		"body over by a huge number":     {"SEND\ncontent-length:99999\n\n", "body"},
		"body at the limit, unannounced": {"SEND\n\n0123456789\x00", ""},
		"body over, unannounced":         {"SEND\n\n01234567890\x00", "body"},
		"body over without an end":       {"SEND\n\n" + strings.Repeat("0", 5000), "body"},
		"line at the limit":              {"SEND\nk:" + strings.Repeat("v", 18) + "\n\n\x00", ""},
		"line at the limit with CR":      {"SEND\nk:" + strings.Repeat("v", 18) + "\r\n\n\x00", ""},
		"line over":                      {"SEND\nk:" + strings.Repeat("v", 19) + "\n\n\x00", "header line"},
		"line over the buffer":           {"SEND\nk:" + strings.Repeat("v", 5000) + "\n\n\x00", "header line"},
		"command over":                   {strings.Repeat("A", 5000), "header line"},
		"headers at the limit":           {"SEND\na:\nb:\nc:\n\n\x00", ""},
		"headers over":                   {"SEND\na:\nb:\nc:\nd:\n\n\x00", "header lines"},
	} {
		_, err := NewDecoder(strings.NewReader(c.text), limits).Decode()
		var limit *LimitError
		switch {
		case c.what == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.what != "" && (!errors.As(err, &limit) || limit.What != c.what):
			t.Errorf("%s: got %v, want a limit error about %s", name, err, c.what)
		}
	}
}

func TestEncoderRefusesWhatAPeerWouldRefuse(t *testing.T) {
	limits := Limits{Body: 4, HeaderLine: 10, Headers: 3}
	for name, f := range map[string]*Frame{
		"body":    {Command: Send, Body: []byte("12345")},
		"line":    New(Send, "k", "123456789"),
		"headers": New(Send, "a", "", "b", "", "c", ""),
	} {
		var limit *LimitError
		if _, err := Append(nil, f, V12, limits); !errors.As(err, &limit) {
			t.Errorf("%s over the limit: got %v", name, err)
		}
	}
	for name, f := range map[string]*Frame{
		"body on a frame without one": {Command: Receipt, Body: []byte("x")},
		"no command":                  {},
		"command with a line end":     {Command: "SE\nND"},
	} {
		var syntax *SyntaxError
		if _, err := Append(nil, f, V12, limits); !errors.As(err, &syntax) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestAnnouncedBodyReservesNothing: a peer that announces much and sends nothing costs little.
func TestAnnouncedBodyReservesNothing(t *testing.T) {
	d := decoder(strings.NewReader("SEND\ncontent-length:16777216\n\nabc"), V12)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := d.Decode()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d octets were allocated for 3 that came", n)
	}
}

func TestContentLengthIsTheEncodersOwn(t *testing.T) {
	f := New(Send, HeaderContentLength, "99")
	f.Body = []byte("ab")
	if wire := string(encode(t, f, V10)); wire != "SEND\ncontent-length:2\n\nab\x00\n" {
		t.Errorf("got %q", wire)
	}
	if wire := string(encode(t, New(Send), V10)); wire != "SEND\ncontent-length:0\n\n\x00\n" {
		t.Errorf("a SEND without a body: got %q", wire)
	}
	if wire := string(encode(t, New(Receipt, HeaderContentLength, "0"), V10)); wire != "RECEIPT\n\n\x00\n" {
		t.Errorf("got %q", wire)
	}
}

func TestHeaderSetReplacesAllAndKeepsThePlace(t *testing.T) {
	h := Header{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}}
	h.Set("a", "5")
	h.Set("d", "6")
	if diff := cmp.Diff(Header{{"a", "5"}, {"b", "2"}, {"c", "4"}, {"d", "6"}}, h); diff != "" {
		t.Errorf("after Set (-want +got):\n%s", diff)
	}
	h.Del("b")
	if _, ok := h.Lookup("b"); ok || len(h) != 3 {
		t.Errorf("after Del: %v", h)
	}
}

func TestStringHidesSecretsAndBodies(t *testing.T) {
	f := New(Connect, "login", "ada", "passcode", "s3cret", "host", "h")
	f.Body = []byte("private")
	text := f.String()
	for _, secret := range []string{"ada", "s3cret", "private"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows %s", text, secret)
		}
	}
	if !strings.Contains(text, `host="h"`) {
		t.Errorf("%s does not show the host", text)
	}
}

func TestParseVersionTakesThreeSpellings(t *testing.T) {
	for _, s := range []string{"1.0", "1.1", "1.2"} {
		if v, err := ParseVersion(s); err != nil || string(v) != s {
			t.Errorf("%s: %v, %v", s, v, err)
		}
	}
	for _, s := range []string{"", "1", "1.3", "2.0", " 1.2"} {
		if v, err := ParseVersion(s); err == nil {
			t.Errorf("%q was taken for %s", s, v)
		}
	}
}

// TestRoundTrip: what can be encoded decodes to itself, in each version.
func TestRoundTrip(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("ab:\\\n\r\x00 tnrcé\x7f")))
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom([]Version{V10, V11, V12}).Draw(t, "version")
		f := &Frame{Command: rapid.SampledFrom([]string{Send, Message, Error, Receipt, Ack, Connect, Connected, Stomp}).Draw(t, "command")}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			f.Header.Add(text.Draw(t, "key"), text.Draw(t, "value"))
		}
		f.Header.Del(HeaderContentLength)
		if carriesBody(f.Command) {
			f.Body = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		}
		wire, err := Append(nil, f, v, Limits{})
		if _, ok := errors.AsType[*SyntaxError](err); ok {
			t.Skip("the version cannot say it")
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := decoder(bytes.NewReader(wire), v).Decode()
		if err != nil {
			t.Fatalf("decoding %q: %v", wire, err)
		}
		if diff := difference(f, got); diff != "" {
			t.Fatalf("round trip of %q differs (-want +got):\n%s", wire, diff)
		}
	})
}

// FuzzDecode: no input may crash the decoder or make it keep more than the input holds, and what
// it accepts must survive being written and read again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\r\nSEND\r\ncontent-length:3\r\na:b\\c\r\n\r\na\x00b\x00"), uint8(2))
	f.Add([]byte("CONNECTED\nsession:a:b\\\n\n\x00"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, pick uint8) {
		v := []Version{V10, V11, V12}[pick%3]
		d := decoder(bytes.NewReader(data), v)
		for {
			got, err := d.Decode()
			if err != nil {
				return
			}
			if len(got.Body) > len(data) {
				t.Fatalf("a body of %d octets came out of %d", len(got.Body), len(data))
			}
			wire, err := Append(nil, got, v, Limits{})
			if err != nil {
				continue // such as a body on a frame that has none
			}
			again, err := decoder(bytes.NewReader(wire), v).Decode()
			if err != nil {
				t.Fatalf("%q was written as %q and not understood: %v", data, wire, err)
			}
			if diff := difference(got, again); diff != "" {
				t.Fatalf("round trip differs (-want +got):\n%s", diff)
			}
		}
	})
}
