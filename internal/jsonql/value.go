package jsonql

import values "vesperdb.io/vesper/internal/jsonql/value"

// The names of package value, where value is the name of too many things.
type value = values.Value

var (
	null       = values.Null
	termValue  = values.Of
	boolValue  = values.Bool
	listValue  = values.ListOf
	termsValue = values.OfTerms
	compare    = values.Compare
	equal      = values.Equal
	toFloat    = values.Float
)
