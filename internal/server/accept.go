package server

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// prefers reports whether a request would rather have one of some media types
// than JSON, which is what it gets when it does not say or says what there is not.
func prefers(r *http.Request, types ...string) bool {
	best, plain := rank{}, rank{}
	for i, part := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, given := params["q"]; given {
			if quality, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		for _, t := range types {
			best = best.or(media, t, quality, i)
		}
		plain = plain.or(media, typeJSON, quality, i)
	}
	switch {
	case best.quality != plain.quality:
		return best.quality > plain.quality
	case best.exact != plain.exact:
		return best.exact > plain.exact && best.quality > 0
	}
	return best.place < plain.place && best.quality > 0
}

// rank is how much a request wants a media type: the word of the most exact
// range that has it counts, and of equals the one that stands first.
type rank struct {
	exact   int
	quality float64
	place   int
}

func (r rank) or(media, t string, quality float64, place int) rank {
	kind, _, _ := strings.Cut(t, "/")
	exact := map[string]int{"*/*": 1, kind + "/*": 2, t: 3}[media]
	if exact > r.exact {
		return rank{exact, quality, place}
	}
	return r
}
