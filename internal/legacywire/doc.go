// Package legacywire translates between this project's changesets and the
// messages of the original Vesper: one JSON object for each changeset, ASCII
// only, whose data are statements in the scope of additions or removals. It
// does no I/O.
//
// # One changeset, one envelope
//
// All nodes of this project that hold a changeset must hold the same bytes of
// it, whether they wrote it, read it from the channel, or got it from one
// another: its hash is in the next one's, and two different hashes of one dot
// mean a forked branch. A message has no room for those bytes, so they are
// computed again by every reader, and [Convert] is a function of nothing but
//
//   - the message;
//   - the changeset before it in its branch: the hash, and what the author had
//     seen of other branches by then;
//   - the objects it changes, as its author saw them: the state at the revision
//     that is the changeset's causal past. That state is the same on every node
//     which has reached that revision, so a message waits until then.
//
// What a message says, and what becomes of it:
//
//	origin, own number in revision   the dot
//	revision, baseRevision rows      the base: what the author had seen, as far
//	                                 as it had not seen it before
//	timestamp                        the clock, in microseconds
//	createdBy, comment               author and comment
//	added and removed statements     the changes of the objects, see below
//	baserevision                     nothing more: it must be older than revision
//
// A node of this project that writes to such a channel commits only what comes
// back the same from its own message: Convert(Emit(c)) == c. [Codec.Shape]
// gives a transaction that form before it is committed. Its clock counts
// microseconds, its doubles have twelve digits, and its changes are told in the
// words that a reader of the message would choose. It puts its whole revision
// into the message's revision; the original takes over any.
//
// # Statements and changes
//
// A message says which statements came and which went. Convert applies them to
// the object as the author saw it and chooses for each property that differs:
//
//   - a list, a property that held conflicting values, one that lost and gained
//     values, had none before or has none after: it was assigned as a whole;
//   - else values were added, or removed, one by one;
//   - an object without any property left was deleted.
//
// The original keeps the order of a list in statements of its own, with the
// number of the place in the property's name. A value's positions are those
// numbers less one, as they are, with their gaps and doubles.
//
// # Revisions as the original uses them
//
// The original applies a message without ado (it fast-forwards) only if its
// baserevision is, byte for byte, the revision that it published or took over
// last. If it knows that revision and has another, it merges: it dies if the
// two sides touched one object, and else publishes an empty changeset of its
// own, which says what it merged only in its next one. If it does not know the
// revision, it keeps the message for ever. So Emit is told as baserevision the
// text of a revision that was published: that of the changeset which the author
// had applied last. Where the writes on a channel follow one another, that is
// the revision of all the others.
//
// An empty changeset is applied like any other, and changes nothing. Nothing is
// ever published in answer to one.
package legacywire
