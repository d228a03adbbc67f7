// Package mutant lets the code be broken on purpose, to show that the simulator
// notices. A program has mutants only when it is built with the tag mutants;
// in every other one On is constant and costs nothing.
package mutant

// Names are the ways in which the code can be broken; each stands at one place
// of internal/store or internal/replication, or also where a second look would
// notice it.
var Names = []string{
	"accept-fork",               // another content under a known dot passes for a repetition
	"ack-before-commit",         // a writer is told that its write is done whether or not it is on disk
	"apply-without-base-check",  // a changeset is applied before what its author had seen
	"broker-ack-before-apply",   // the broker may forget what is not safe here yet
	"conflict-by-arrival-order", // of concurrent values the one that came last is read
	"cursor-early",              // what the broker has not confirmed passes for sent
	"deleted-returns",           // an object outlives its deletion
	"digest-off-by-one",         // the digest counts batches too
	"dot-reuse-after-restore",   // a node writes whatever its peers know of its branch
	"duplicate-applied-twice",   // the last changeset of a branch is applied as often as it comes
	"feed-skips-on-crash",       // a position of the feed is left out at a start
	"history-off-by-one",        // the last changeset is missing in the past
	"need-range-off-by-one",     // the first of what is missing is never asked for
	"pending-dropped",           // what has to wait is forgotten
	"pending-kept",              // what had to wait goes on waiting once it is applied
	"pending-unbounded",         // as much waits as comes
	"relay-drops-remote",        // a relay passes nothing on
	"snapshot-forgets-unsent",   // what a snapshot lacks is gone when it is installed
	"tail-dropped-early",        // what indexes hold back leaves the file before it is in its buckets
	"tail-not-read",             // what indexes hold back is not read from the file
	"trim-too-much",             // the log lets go of what members lack
	"window-ignored",            // any number of messages is under way
}
