package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"vesperdb.io/vesper/internal/branch"
	"vesperdb.io/vesper/internal/replication"
)

// membersFile is the path of a file with the branch ids of all members, one a
// line. It is read whenever it is asked for, so that a changed file needs no
// restart.
type membersFile string

// membersOf returns who the members are; nil when no file says it.
func membersOf(path string) replication.Members {
	if path == "" {
		return nil
	}
	return membersFile(path)
}

// Members implements replication.Members. Empty lines and what follows a '#'
// count for nothing; a line that is no branch id is an error, since half a list
// would let go of what the other half lacks.
func (f membersFile) Members() (ids []branch.ID, err error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("reading the members: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		id, err := branch.ParseID(text)
		if err != nil {
			return nil, fmt.Errorf("reading the members: %s: line %d: %w", string(f), n, err)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the members: %s: %w", string(f), err)
	}
	return ids, nil
}
