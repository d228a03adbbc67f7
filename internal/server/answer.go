package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"vesperdb.io/vesper/internal/jsonql"
)

const (
	// rowsBytes is how much of a result is held, and sent at once. An answer that
	// is no longer is sent when it is whole, and a fault of it is a problem.
	rowsBytes = 64 << 10
	// heldAnswer bounds what is held of an answer: a row, and the whole where all
	// of it is sent at once. Rows can be much longer than what they are made of.
	heldAnswer = 64 << 20
	// firstBytes is what is set aside for it at first: most answers are short.
	firstBytes = 1 << 10
	// trailerRows is how many rows were sent as lines, after the last of them: an
	// answer without it broke off.
	trailerRows = "Vesper-Rows"
)

// rows sends parts of an answer.
type rows struct {
	w        http.ResponseWriter
	patience time.Duration
}

// tooMuch is the fault of a query whose answer cannot be held.
func tooMuch(what string, limit int, remedy string) error {
	return &jsonql.EvaluationError{Message: fmt.Sprintf("%s has more than %d bytes: ask for fewer properties, a lower depth, or %s", what, limit, remedy)}
}

func (o rows) flush(part []byte) error {
	_ = http.NewResponseController(o.w).SetWriteDeadline(time.Now().Add(o.patience)) // a recorder in tests has none
	_, err := o.w.Write(part)
	return err
}

// last sends the part after which the connection is cut: what is held anywhere
// on its way would be lost with it.
func (o rows) last(part []byte) error {
	if err := o.flush(part); err != nil {
		return err
	}
	return http.NewResponseController(o.w).Flush()
}

// answerStream sends the rows of a query while they are made. It holds no more
// than one part of them.
type answerStream struct {
	rows
	clock *queryClock
	lines bool
	// held is the most bytes of one row.
	held int
	// limit is the most rows wanted, 0 for all; more reports that there were more.
	limit   int
	more    bool
	explain bool
	start   time.Time

	answer *jsonql.Answer
	part   []byte
	n      int
	// begun says that a part was sent, gone that the client does not take them.
	begun, gone bool
}

// make makes the rows. It returns the fault of the query or of the client.
func (o *answerStream) make(answer *jsonql.Answer) error {
	o.answer, o.part = answer, make([]byte, 0, firstBytes)
	if !o.lines {
		o.part = append(o.part, `{"results":[`...)
	}
	for row, err := range answer.Rows() {
		if err != nil {
			return err
		}
		if o.more = o.limit > 0 && o.n == o.limit; o.more {
			return nil
		}
		if err := o.add(row); err != nil {
			return err
		}
	}
	return nil
}

func (o *answerStream) add(row jsonql.Row) (err error) {
	if o.n++; o.n > 1 && !o.lines {
		o.part = append(o.part, ",\n"...)
	}
	var fits bool
	rest := len(o.part)
	if o.part, fits, err = row.AppendJSON(o.part, rest+o.held); err != nil || !fits {
		o.part = o.part[:rest:rest]
		return cmp.Or(err, tooMuch("a row", o.held, "a row for each value"))
	}
	if o.lines {
		o.part = append(o.part, '\n')
	}
	if len(o.part) <= rowsBytes {
		return nil
	}
	o.clock.pause()
	defer o.clock.resume()
	return o.send()
}

// send sends what is held.
func (o *answerStream) send() error {
	if !o.begun {
		o.begin()
	}
	err := o.flush(o.part)
	o.part, o.gone = o.part[:0], err != nil
	return err
}

func (o *answerStream) begin() {
	h := o.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept")
	h.Set("Content-Type", typeJSON)
	if o.lines {
		h.Set("Content-Type", typeNDJSON)
		h.Set("Trailer", trailerRows)
	}
	o.begun = true
}

// finish sends the rest of an answer all rows of which are made.
func (o *answerStream) finish() error {
	if !o.lines {
		o.part = append(o.part, o.tail()...)
	}
	err := o.send()
	if o.lines {
		o.w.Header().Set(trailerRows, strconv.Itoa(o.n))
	}
	return err
}

// breakOff returns the fault that ends the answer. If that has begun, it says
// why, and the connection will be cut.
func (o *answerStream) breakOff(err error) error {
	if !o.begun {
		return err
	}
	why := lineOf(err)
	if !o.lines {
		why = append([]byte("],"), why[1:]...)
	}
	o.part = append(o.part, why...)
	if err := o.last(o.part); err != nil {
		o.gone = true
	}
	return err
}

// tail is what follows the rows in a document.
func (o *answerStream) tail() string {
	tail := struct {
		Errors  []string     `json:"errors"`
		More    bool         `json:"more,omitempty"`
		Plan    *jsonql.Plan `json:"explain,omitempty"`
		Elapsed float64      `json:"elapsed"`
	}{Errors: append([]string{}, o.answer.Errors...), More: o.more, Elapsed: time.Since(o.start).Seconds()}
	if o.explain {
		tail.Plan = o.answer.Plan()
	}
	text, _ := json.Marshal(tail) // strings and numbers
	return "]," + string(text[1:]) + "\n"
}
