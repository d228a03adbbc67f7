// Package plan answers queries: it chooses for each row set how to find its
// objects, by the counts of the indexes, in which order the sets are joined and
// how, and makes the rows while they are asked for, as far as their order
// allows. What it answers is what package reference answers.
package plan

import (
	"encoding/json"
	"time"
)

// Node is a step of the way in which a query is answered, with the steps that
// it takes its input from.
type Node struct {
	// Op names the step: "all objects", "value index", "join by id", "order", ...
	Op string `json:"op"`
	// Detail says what it works on, in the words of the query.
	Detail string `json:"detail,omitempty"`
	// Estimated is how many rows were expected; nil when nothing is known.
	Estimated *int `json:"estimated,omitempty"`
	// Actual is how many rows the step gave.
	Actual int `json:"actual"`
	// Elapsed is the time until the step's last row, that of its input included.
	Elapsed time.Duration `json:"-"`
	// Inputs are the steps that this one takes its rows from.
	Inputs []*Node `json:"inputs,omitempty"`
}

// MarshalJSON writes the plan with its time in seconds, as "elapsed".
func (n *Node) MarshalJSON() ([]byte, error) {
	type plain Node
	return json.Marshal(struct {
		*plain
		Elapsed float64 `json:"elapsed"`
	}{(*plain)(n), n.Elapsed.Seconds()})
}

func newNode(op, detail string, estimated float64, known bool, inputs ...*Node) *Node {
	n := &Node{Op: op, Detail: detail, Inputs: inputs}
	if known {
		rows := int(min(max(estimated, 0), 1<<53))
		n.Estimated = &rows
	}
	return n
}
