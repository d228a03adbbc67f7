// Package replication carries changesets between stores. It sends what the
// store's feed holds beyond a durable cursor, applies what peers send and
// acknowledges it only once it is durable, tells peers by beacons what this
// node has, and fetches from them what it lacks. The broker makes this fast;
// that nothing is lost and all stores converge depends on the store, the
// cursor and the beacons alone.
//
// # Parts
//
// A [Replicator] has one or more links. Each link runs, over one [Transport]:
// a sender (cursor, packing, a window of confirmations), a receiver (decode,
// apply, acknowledge), a beaconer, an answerer of peers' requests, and a
// repairer, which decides from beacons what is missing, whom to ask, and
// whether the link is caught up. The decisions live in plain structs without
// goroutines or clocks (gaps, discovery, peers, safety): time is an argument.
//
// # Branch safety
//
// Writes are refused through [Store.RefuseWrites] while
//   - the store is new and the discovery window has not ended: peers may know
//     changesets of this branch that a lost volume held;
//   - peers hold changesets of this branch that the store lacks, or have held
//     them at any time since the volume was replaced. What they hold is fetched,
//     but the lost volume may have written more than anyone received, so writing
//     on could issue a dot a second time. Either the node gets a new branch id,
//     or someone who knows that nothing else was written calls
//     [Replicator.AcceptBranch];
//   - another process that is alive uses the same branch id, or the broker goes
//     on saying that one is connected;
//   - the node has just started and has not listened to its peers for the
//     discovery window: its store may be an old backup. A broker that cannot be
//     reached is waited for no longer than the start patience.
package replication
