// Package bench measures what docs/performance.md promises: the ratios M1 to
// M11, against bare bbolt, a bare STOMP loop, cp and sha256sum on the same disk
// in the same run, the same work on PouchDB and PostgreSQL, and the same questions
// to SQLite and PostgreSQL. `make bench` runs it; the table goes to standard output, the figures to build/bench.json.
package bench
