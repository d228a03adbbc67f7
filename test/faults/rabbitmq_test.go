package faults

import (
	"os"
	"path/filepath"
	"testing"

	"vesperdb.io/vesper/internal/nodetest"
	"vesperdb.io/vesper/internal/rabbitmqtest"
)

// TestRabbitMQKilledUnderWritesLosesNothing: nodes as their files configure them, with nothing said of
// the broker's make, on a broker of another make that is killed and comes back; then one of them is
// away while the other writes.
func TestRabbitMQKilledUnderWritesLosesNothing(t *testing.T) {
	t.Parallel()
	broker := rabbitmqtest.Start(t)
	dir := t.TempDir()
	user, pass := filepath.Join(dir, "username"), filepath.Join(dir, "password")
	for path, text := range map[string]string{user: rabbitmqtest.Login + "\n", pass: rabbitmqtest.Passcode} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{t: t}
	for _, id := range []string{"0A", "0B"} {
		n := nodetest.New(t, nodetest.Options{
			ID: id, Hosts: []string{broker.Addr()}, Channel: "RABBIT", Broker: "usernameFile: " + user + ", passwordFile: " + pass,
		})
		n.Start()
		s.nodes = append(s.nodes, n)
	}
	nodetest.Converged(t, s.nodes...)
	for range 2 {
		s.write(50)
		if err := broker.Kill(); err != nil {
			t.Fatal(err)
		}
		s.write(50)
		if err := broker.Start(); err != nil {
			t.Fatal(err)
		}
	}
	s.mustBeWhole()
	s.nodes[1].Kill()
	for range 30 {
		s.writeOne(s.nodes[0])
	}
	s.nodes[1].Start()
	s.mustBeWhole()
}
