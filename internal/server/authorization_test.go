package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedLog is a log that requests go on writing to after they were answered.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// raw sends a PUT with lines of a header as they are, which no client of HTTP would.
func (n *node) raw(header string) (status int, challenge, media, body string) {
	n.t.Helper()
	conn, err := new(net.Dialer).DialContext(n.t.Context(), "tcp", strings.TrimPrefix(n.url, "http://"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(conn, "PUT /v1/objects/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n%s\r\n{\"x\":1}", header); err != nil {
		n.t.Fatal(err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		n.t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	if _, err := fmt.Sscanf(head, "HTTP/1.1 %d", &status); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	for line := range strings.SplitSeq(head, "\r\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Www-Authenticate":
			challenge = value
		case "Content-Type":
			media = value
		}
	}
	return status, challenge, media, body
}

// TestMalformedAuthorizationIsRefusedWithARemedyAndShowsNoToken: with the status,
// the challenge and the form that RFC 6750 and RFC 9457 ask for; nothing is
// written; and what was sent is shown neither in the answer nor in a log.
func TestMalformedAuthorizationIsRefusedWithARemedyAndShowsNoToken(t *testing.T) {
	const (
		secret     = "sEcReT" // in each header that is wrong
		remedy     = "send it once, as Authorization: Bearer TOKEN"
		badHeader  = `Bearer error="invalid_request"`
		badToken   = `Bearer error="invalid_token"`
		tokenIsOld = "the token is none of this node's: it may have been replaced, send the one that counts now"
		missing    = "this takes a token of role write: send the header Authorization: Bearer TOKEN"
	)
	log := &lockedLog{}
	n, audit := guarded(t)
	n.server.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	auth := func(value string) string { return "Authorization: " + value + "\r\n" }
	refused := 0
	for name, c := range map[string]struct{ header, challenge, says string }{
		"none":                    {"", "Bearer", missing},
		"empty":                   {auth(""), badHeader, remedy},
		"blanks":                  {auth("   "), badHeader, remedy},
		"the scheme alone":        {auth("Bearer"), badHeader, remedy},
		"a blank after it":        {auth("Bearer "), badHeader, remedy},
		"tabs after it":           {auth("Bearer \t\t"), badHeader, remedy},
		"the token alone":         {auth(writeToken + secret), badHeader, remedy},
		"Basic":                   {auth("Basic " + secret), badHeader, remedy},
		"Basic, the right token":  {auth("Basic " + writeToken), badHeader, remedy},
		"Digest":                  {auth(`Digest username="` + secret + `"`), badHeader, remedy},
		"Token":                   {auth("Token " + writeToken), badHeader, remedy},
		"a longer scheme":         {auth("Bearers " + writeToken), badHeader, remedy},
		"a colon":                 {auth("Bearer:" + writeToken), badHeader, remedy},
		"an equals sign":          {auth("Bearer=" + writeToken), badHeader, remedy},
		"a tab between":           {auth("Bearer\t" + writeToken), badHeader, remedy},
		"no blank between":        {auth("Bearer" + writeToken), badHeader, remedy},
		"the scheme twice":        {auth("Bearer Bearer " + writeToken), badHeader, remedy},
		"two tokens":              {auth("Bearer " + writeToken + " " + secret), badHeader, remedy},
		"two tokens, a comma":     {auth("Bearer " + writeToken + ", Bearer " + secret), badHeader, remedy},
		"two headers":             {auth("Bearer "+writeToken) + auth("Bearer "+secret), badHeader, remedy},
		"the same header twice":   {auth("Bearer "+writeToken) + auth("Bearer "+writeToken), badHeader, remedy},
		"an unknown token":        {auth("Bearer " + secret + "-0123456789"), badToken, tokenIsOld},
		"a short token":           {auth("Bearer x"), badToken, tokenIsOld},
		"more than the token":     {auth("Bearer " + writeToken + secret), badToken, tokenIsOld},
		"less than the token":     {auth("Bearer " + writeToken[:len(writeToken)-1]), badToken, tokenIsOld},
		"another case":            {auth("Bearer " + strings.ToUpper(writeToken)), badToken, tokenIsOld},
		"the token in quotes":     {auth(`Bearer "` + writeToken + `"`), badToken, tokenIsOld},
		"letters beyond ASCII":    {auth("Bearer " + secret + "-\u00e4\u00f6\u00fc-0123456789"), badToken, tokenIsOld},
		"bytes that are no UTF-8": {auth("Bearer " + secret + "-\xff\xfe-0123456789"), badToken, tokenIsOld},
		"a blank beyond ASCII":    {auth("Bearer " + secret + "\u00a00123456789"), badToken, tokenIsOld},
		"a very long token":       {auth("Bearer " + strings.Repeat(secret, 60<<10/len(secret))), badToken, tokenIsOld},
		"a very long scheme":      {auth(strings.Repeat(secret, 60<<10/len(secret)) + " x"), badHeader, remedy},
	} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			refused++
			status, challenge, media, body := n.raw(c.header)
			reply{t: t, status: status, header: map[string][]string{"Content-Type": {media}}, body: body}.wantProblem(kindUnauthorized, c.says)
			if challenge != c.challenge {
				t.Errorf("the challenge is %s, want %s", challenge, c.challenge)
			}
			if strings.Contains(body, secret) || strings.Contains(body, writeToken) {
				t.Errorf("the answer shows what was sent: %s", body)
			}
		})
	}
	n.t = t
	n.get("/v1/objects/a", bearer(readToken)).wantProblem(kindNotFound)
	held, err := os.ReadFile(audit)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), n.log.String(), string(held)} {
		for _, shown := range []string{secret, strings.ToUpper(secret), writeToken, writeToken[:len(writeToken)-1]} {
			if strings.Contains(text, shown) {
				t.Errorf("%q stands in a log: %.2000s", shown, text)
			}
		}
	}
	if got := entries(t, audit); len(got) != refused || got[0].Outcome != "refused" || got[0].Principal != "" {
		t.Errorf("the audit log holds %d lines of %d attempts: %+v", len(got), refused, got)
	}
	if !strings.Contains(n.log.String(), "cause=bad-header") || !strings.Contains(n.log.String(), "cause=unknown-token") || !strings.Contains(log.String(), "status=401") {
		t.Errorf("the log says nothing of them: %s%s", n.log, log)
	}
}

// TestATokenIsTakenHoweverItsSchemeIsWritten, since the names of schemes have no
// case, and with the blanks around it that HTTP allows.
func TestATokenIsTakenHoweverItsSchemeIsWritten(t *testing.T) {
	n, _ := guarded(t)
	for _, header := range []string{"Bearer ", "bearer ", "BEARER ", "bEaReR ", "  Bearer ", "Bearer    ", "Bearer \t"} {
		for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION"} {
			if status, _, _, body := n.raw(name + ":" + header + writeToken + " \t\r\n"); status != 200 && status != 201 {
				t.Errorf("%s:%q gets %d %s", name, header, status, body)
			}
		}
	}
}

// TestAnAuthorizationThatIsNoHTTPIsRefusedBeforeAnybodyReadsIt: control
// characters and folded lines do not get as far as a problem document.
func TestAnAuthorizationThatIsNoHTTPIsRefusedBeforeAnybodyReadsIt(t *testing.T) {
	n, audit := guarded(t)
	for name, header := range map[string]string{
		"NUL":                 "Authorization: Bearer " + writeToken + "\x00\r\n",
		"an escape":           "Authorization: Bearer " + writeToken + "\x1b[2J\r\n",
		"DEL":                 "Authorization: Bearer " + writeToken + "\x7f\r\n",
		"a blank in the name": "Authorization : Bearer " + writeToken + "\r\n",
		"no colon":            "Authorization Bearer " + writeToken + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			status, _, media, body := n.raw(header)
			if status != 400 || !strings.HasPrefix(media, "text/plain") || strings.Contains(body, writeToken) {
				t.Errorf("got %d %s: %s", status, media, body)
			}
		})
	}
	n.t = t
	n.get("/v1/objects/a", bearer(readToken)).wantProblem(kindNotFound)
	if got := entries(t, audit); len(got) != 0 || strings.Contains(n.log.String(), writeToken) {
		t.Errorf("the audit log holds %+v, and the log %s", got, n.log)
	}
}

// TestEveryRouteRefusesAnUnknownToken but those that are open to all, also those
// whose own errors have another form.
func TestEveryRouteRefusesAnUnknownToken(t *testing.T) {
	n, _ := guarded(t)
	for _, c := range apiCalls("") {
		switch c.template {
		case "/healthz", "/readyz", "/v1/openapi.json":
			continue
		}
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			n.t = t
			n.do(c.method, c.path, c.body, append(c.headers, bearer("no-such-token-0123456789"))...).
				wantProblem(kindUnauthorized, "none of this node's").wantHeader("WWW-Authenticate", `Bearer error="invalid_token"`)
		})
	}
	n.t = t
	if got := n.store.Revision().String(); got != "0" && got != "" {
		t.Errorf("something was written: %s", got)
	}
}
