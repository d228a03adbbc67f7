package broker

import (
	_ "embed"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata/peer.py
var pythonPeer string

// TestIndependentClientGetsOn runs a client that others wrote, Debian's python3-stomp, through
// durable subscriptions, acknowledgements, transactions and receipts of each protocol version.
func TestIndependentClientGetsOn(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(within(t), python, "-c", "import stomp").Run(); err != nil {
		t.Skipf("needs an independent STOMP client: apt-get install python3-stomp (%v)", err)
	}
	script := filepath.Join(t.TempDir(), "peer.py")
	if err := os.WriteFile(script, []byte(pythonPeer), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1.0", "1.1", "1.2"} {
		t.Run(v, func(t *testing.T) {
			b := start(t, Options{Users: map[string]string{"ada": "se:cret"}})
			host, port, err := net.SplitHostPort(b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(within(t), python, script, host, port, v).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if s := b.Stats(); s.Messages != 0 || s.Durables != 0 {
				t.Errorf("the client left %+v\n%s", s, out)
			}
		})
	}
}
