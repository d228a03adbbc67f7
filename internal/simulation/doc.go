// Package simulation runs whole clusters in one process under a virtual clock:
// real stores and real replication over a broker in memory, with a seed that
// decides what is written, what fails, what arrives when, and, built as
// `make simulate` does, also in which order the goroutines run. After (and
// while) a run it asserts the twelve guarantees of replication with books of
// its own: nothing of what it compares against comes from the code under test
// but the bytes of the changesets.
//
// # Parts
//
//   - plan.go: a seed becomes a [Plan]: a topology and a list of acts.
//   - world.go, acts.go: run a plan and tell its story.
//   - node.go: a node's processes and volumes; crashes happen in its fuses.
//   - broker.go, transport.go: the network and what goes wrong in it.
//   - ledger.go, witness.go: the books.
//   - guarantees.go: G1 to G12.
//   - shrink.go: a failing plan becomes a shorter one that fails in the same way.
package simulation
