package bench

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// TestPGClientReadsRowsAndErrors plays a server: it answers the start with ready,
// the first statement with a row, the second with an error.
func TestPGClientReadsRowsAndErrors(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- playPG(l) }()
	p, err := dialPG(t.Context(), "tcp", l.Addr().String(), "u", "d")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if value, err := p.query("SELECT 1"); err != nil || value != "42" {
		t.Errorf("the row is %q (%v), want 42", value, err)
	}
	if _, err := p.execute("w", "a", "b"); err == nil {
		t.Error("the server's error was lost")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func playPG(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	message := func(kind byte, body string) []byte {
		m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
		return append(m, body...)
	}
	ready := message('Z', "I")
	row := append(message('D', "\x00\x01\x00\x00\x00\x0242"), ready...)
	failure := append(message('E', "SERROR\x00Mno such statement\x00\x00"), ready...)
	skip := func(prefix int) error {
		head := make([]byte, prefix+4)
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[prefix:]))-4)
		return err
	}
	for _, step := range []struct {
		prefix, messages int
		answer           []byte
	}{{0, 1, append(message('R', "\x00\x00\x00\x00"), ready...)}, {1, 1, row}, {1, 3, failure}} {
		for range step.messages {
			if err := skip(step.prefix); err != nil {
				return err
			}
		}
		if _, err := c.Write(step.answer); err != nil {
			return err
		}
	}
	return nil
}
