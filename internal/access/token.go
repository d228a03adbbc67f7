package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// The bounds of tokens.
const (
	// MinToken and MaxToken bound the characters of a token.
	MinToken = 16
	MaxToken = 512
	// MaxTokensPerFile is the most tokens of one principal.
	MaxTokensPerFile = 16
)

// digest stands in for a token: all are as long, and a dump of the node's memory
// shows no token.
type digest [sha256.Size]byte

// held are the tokens of one principal.
type held struct {
	principal Principal
	digests   []digest
}

// parseTokens reads one token a line. Blank lines, and lines that begin with #,
// are left out. The error never shows a token.
func parseTokens(text []byte) ([]digest, error) {
	var out []digest
	for i, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := checkToken(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		out = append(out, sha256.Sum256(line))
	}
	switch {
	case len(out) == 0:
		return nil, errors.New("it holds no token: write one a line")
	case len(out) > MaxTokensPerFile:
		return nil, fmt.Errorf("it holds %d tokens: at most %d", len(out), MaxTokensPerFile)
	}
	return out, nil
}

// checkToken checks what an Authorization header can carry and nobody guesses.
func checkToken(token []byte) error {
	if len(token) < MinToken || len(token) > MaxToken {
		return fmt.Errorf("a token has %d to %d characters, this has %d: make one with openssl rand -hex 32", MinToken, MaxToken, len(token))
	}
	for _, c := range token {
		if c <= ' ' || c > '~' {
			return errors.New("a token holds visible ASCII characters only")
		}
	}
	return nil
}

// match finds whose token it is. It compares with every token there is, and each
// in the same time, so that how long it takes tells nothing.
func match(all []held, token string) (Principal, bool) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i, h := range all {
		for _, d := range h.digests {
			found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(d[:], sum[:]), i, found)
		}
	}
	if found < 0 {
		return Principal{}, false
	}
	return all[found].principal, true
}

// distinct refuses a token that two principals have: whose writes would they be?
func distinct(all []held) error {
	owner := map[digest]string{}
	for _, h := range all {
		for _, d := range h.digests {
			if other, taken := owner[d]; taken && other != h.principal.Name {
				return fmt.Errorf("%s and %s have the same token: give each its own", other, h.principal.Name)
			}
			owner[d] = h.principal.Name
		}
	}
	return nil
}
