package server

import (
	"strings"
	"testing"
	"time"
)

// TestHistoryThatIsNoLongerKeptIsGoneAndSaysWhereItBegins is about the three
// ways to ask for it.
func TestHistoryThatIsNoLongerKeptIsGoneAndSaysWhereItBegins(t *testing.T) {
	n := newNode(t)
	for _, v := range []string{"1", "2", "3"} {
		n.put("x", `{"v":`+v+`}`)
	}
	floor := n.store.Revision()
	n.put("x", `{"v":4}`)
	if _, err := n.store.Trim(t.Context(), floor, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	n.get("/v1/objects/x?at=0A00002").wantProblem(kindCompacted, "0A00003")
	n.get("/v1/changes?after=1").wantProblem(kindFeedGap, "from 3 on")
	if body := n.get("/v1/objects/x?at=0A00003").want(200).body; !strings.Contains(body, "3") {
		t.Errorf("at the floor it is %s", body)
	}
	n.get("/v1/changes?after=3").want(200)
}
