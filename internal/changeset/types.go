package changeset

import (
	"strings"

	"vesperdb.io/vesper/internal/statement"
)

// Datatype URIs are long and the same few come again and again, so the common
// ones are written short. A colon starts a short form, and a type that starts
// with a colon itself is written with one more.
const shortMark = ":"

func shortType(t string) string {
	switch t {
	case statement.TypeRef, statement.TypeLiteral:
		return t
	case statement.XSDInteger:
		return ":i"
	case statement.XSDDouble:
		return ":d"
	case statement.XSDBoolean:
		return ":b"
	case statement.TypeNull:
		return ":n"
	}
	if strings.HasPrefix(t, shortMark) {
		return shortMark + t
	}
	return t
}

func longType(t string) string {
	switch t {
	case statement.TypeRef:
		return statement.TypeRef
	case statement.TypeLiteral:
		return statement.TypeLiteral
	case ":i":
		return statement.XSDInteger
	case ":d":
		return statement.XSDDouble
	case ":b":
		return statement.XSDBoolean
	case ":n":
		return statement.TypeNull
	}
	return strings.TrimPrefix(t, shortMark)
}
