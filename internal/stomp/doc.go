// Package stomp is a client for STOMP 1.0, 1.1 and 1.2.
//
// Conn is one connection: a reader, a writer and a heart-beat that never wait for one another
// or for user code. Session supervises connections over a list of hosts: it connects again with
// back-off, subscribes again, and tells an observer what state it is in.
//
// What a caller may rely on:
//   - Every wait ends when its context ends or when the connection dies, whichever is first.
//   - A message handed to a handler is acknowledged only by Message.Ack. A message that was not
//     acknowledged when the connection ended comes again, so a consumer must recognize repeats.
//   - A send whose receipt did not come may or may not have reached the broker: send it again.
//   - Memory is bounded: frames by Options.Limits, messages received by a subscription's
//     prefetch, unanswered sends by Options.Window, frames on their way to the socket by the
//     writer's queue.
//
// A broker that runs out of space stops reading a producer's connection, and with it the
// acknowledgements that would free space. So a program that both sends and receives should use
// one Session for each direction.
package stomp
