package source

import "vesperdb.io/vesper/internal/statement"

// Transaction is the changeset that wrote a value.
type Transaction struct {
	// ID names the changeset: context:txn:<model URI>;<branch id and number>.
	ID string
	// Time is when it was written, in seconds since 1970.
	Time float64
	// Author and Comment are empty when it has none, and when they are not known
	// any more.
	Author, Comment string
}

// TransactionSource is what a Source may offer beside its methods: it knows
// which changeset wrote a value. To a source that offers it not, no value has a
// history.
type TransactionSource interface {
	// Transaction returns the changeset that wrote a value last, and whether
	// there is one: none for a value that is not there or not committed yet. Of
	// concurrent changesets that wrote the same value, and of the same value in
	// several scopes, it is the latest.
	Transaction(subject, predicate string, term statement.Term) (Transaction, bool, error)
}
