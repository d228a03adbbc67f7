package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var syllables = strings.Fields("ka lo mi ne ra su to vi be da fu gi ho je ku la me no pi re sa ti un ve wo xa yo zu bra cle dri flo gre")

// word returns two to four syllables: text that compresses about as well as people's.
func word(r *rand.Rand) string {
	var b strings.Builder
	for range 2 + r.IntN(3) {
		b.WriteString(syllables[r.IntN(len(syllables))])
	}
	return b.String()
}

// documents returns n JSON objects of exactly size bytes (at least 200) with the
// kinds of values that objects have, the same ones at each call.
func documents(n, size int) [][]byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	out := make([][]byte, n)
	for i := range out {
		head := fmt.Sprintf(`{"name":"%s %s","year":%d,"price":%d.25,"active":%t,"owner":"@%s","tags":["%s","%s"],"address":{"city":"%s","zip":"%05d"},"text":"`,
			word(r), word(r), 1900+r.IntN(200), r.IntN(1000), r.IntN(2) == 0, word(r), word(r), "x"+word(r), word(r), r.IntN(100000))
		var b strings.Builder
		b.WriteString(head)
		for b.Len() < size {
			b.WriteString(word(r) + " ")
		}
		out[i] = []byte(b.String()[:max(size-2, len(head))] + `"}`)
	}
	return out
}
