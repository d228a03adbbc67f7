package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// clientsFor is how long the clients of TestSixteenClientsAreLinearizable run:
// two seconds, or as many as VESPER_CLIENT_SECONDS says.
func clientsFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("VESPER_CLIENT_SECONDS")
	if text == "" {
		return 2 * time.Second
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("VESPER_CLIENT_SECONDS is %q, which is no number of seconds", text)
	}
	return time.Duration(n) * time.Second
}

// registerInput is what a client did to one register.
type registerInput struct {
	key   string
	write bool
	value int
	// tag is the ETag demanded; empty for a write without condition.
	tag string
}

// registerOutput is what it was told.
type registerOutput struct {
	value int
	tag   string
	// refused reports that the condition did not hold.
	refused bool
}

// registerState is what a register holds.
type registerState struct {
	value int
	tag   string
}

// registers is the specification: a conditional write is made if and only if the
// register is at the tag, and a read sees the last write.
var registers = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(registerInput).key
			byKey[key] = append(byKey[key], op)
		}
		var out [][]porcupine.Operation
		for _, list := range byKey {
			out = append(out, list)
		}
		return out
	},
	Init: func() any { return registerState{value: -1} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registerState), input.(registerInput), output.(registerOutput)
		switch {
		case !in.write:
			return s.value == out.value && s.tag == out.tag, s
		case out.refused:
			return in.tag != "" && in.tag != s.tag, s
		case in.tag != "" && in.tag != s.tag:
			return false, s
		}
		return true, registerState{in.value, out.tag}
	},
	Equal: func(a, b any) bool { return a.(registerState) == b.(registerState) },
}

// client is one of those that read and write at once.
type client struct {
	n    *node
	id   int
	next int
	seen map[string]string
	ops  []porcupine.Operation
}

func (c *client) step(began time.Time) {
	key := "r" + strconv.Itoa(rand.IntN(8))
	in := registerInput{key: key}
	start := time.Since(began).Nanoseconds()
	var out registerOutput
	switch rand.IntN(3) {
	case 0:
		r := c.n.get("/v1/objects/" + key).want(200)
		var o struct{ V int }
		if err := json.Unmarshal([]byte(r.body), &o); err != nil {
			c.n.t.Error(err)
		}
		out = registerOutput{value: o.V, tag: r.header.Get("ETag")}
		c.seen[key] = out.tag
	case 1:
		in.tag = c.seen[key]
		fallthrough
	default:
		c.next++
		in.write, in.value = true, c.next*100+c.id
		out = c.write(in)
	}
	c.ops = append(c.ops, porcupine.Operation{ClientId: c.id, Input: in, Call: start, Output: out, Return: time.Since(began).Nanoseconds()})
}

// write writes by PUT or by a transaction of one operation, which must be alike.
func (c *client) write(in registerInput) registerOutput {
	if c.next%2 == 0 && in.tag != "" {
		body := fmt.Sprintf(`{"operations":[{"op":"put","id":%q,"object":{"v":%d},"ifMatch":%q}]}`, in.key, in.value, strings.Trim(in.tag, `"`))
		r := transact(c.n, body)
		return c.written(r, in.key, `"`+r.header.Get("Vesper-Changeset")+`"`)
	}
	var headers []string
	if in.tag != "" {
		headers = []string{"If-Match: " + in.tag}
	}
	r := c.n.do("PUT", "/v1/objects/"+in.key, fmt.Sprintf(`{"v":%d}`, in.value), headers...)
	return c.written(r, in.key, r.header.Get("ETag"))
}

func (c *client) written(r reply, key, tag string) registerOutput {
	switch r.status {
	case http.StatusOK, http.StatusCreated:
		c.seen[key] = tag
		return registerOutput{tag: tag}
	case http.StatusPreconditionFailed:
		return registerOutput{refused: true}
	}
	c.n.t.Errorf("a write was answered with %d %s", r.status, r.body)
	return registerOutput{}
}

// TestSixteenClientsAreLinearizable lets 16 clients read and write eight objects,
// with conditions and without, by PUT and by transactions, and asks a checker
// whether one order explains all that they were told.
func TestSixteenClientsAreLinearizable(t *testing.T) {
	n := newNode(t)
	for i := range 8 {
		n.put("r"+strconv.Itoa(i), `{"v":-1}`)
	}
	tags := map[string]string{}
	var first []porcupine.Operation
	for i := range 8 {
		key := "r" + strconv.Itoa(i)
		tags[key] = n.get("/v1/objects/" + key).header.Get("ETag")
		first = append(first, porcupine.Operation{Input: registerInput{key: key, write: true, value: -1}, Output: registerOutput{tag: tags[key]}, Call: -2, Return: -1})
	}
	began, length := time.Now(), clientsFor(t)
	clients := make([]*client, 16)
	var running sync.WaitGroup
	for i := range clients {
		c := &client{n: n, id: i, seen: map[string]string{}}
		clients[i] = c
		running.Go(func() {
			for time.Since(began) < length && !t.Failed() {
				c.step(began)
			}
		})
	}
	running.Wait()
	history, refused := first, 0
	for _, c := range clients {
		for _, op := range c.ops {
			if op.Output.(registerOutput).refused {
				refused++
			}
		}
		history = append(history, c.ops...)
	}
	if refused == 0 || len(history) < 100 {
		t.Fatalf("%d operations, %d of them refused: nobody ever met", len(history), refused)
	}
	if got := porcupine.CheckOperationsTimeout(registers, history, 2*time.Minute); got != porcupine.Ok {
		t.Errorf("%d operations: no order explains them (%s)", len(history), got)
	}
	t.Logf("%d operations, %d refused", len(history), refused)
}

// TestTheCheckerNoticesALostUpdate: two conditional writes on one tag that both
// succeed have no order.
func TestTheCheckerNoticesALostUpdate(t *testing.T) {
	write := func(client, value int, demands, gets string) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Call: int64(value), Return: int64(value) + 5,
			Input: registerInput{key: "r", write: true, value: value, tag: demands}, Output: registerOutput{tag: gets}}
	}
	lost := []porcupine.Operation{write(0, 1, "", "a"), write(1, 10, "a", "b"), write(2, 11, "a", "c")}
	if porcupine.CheckOperations(registers, lost) {
		t.Error("a lost update passed")
	}
}
