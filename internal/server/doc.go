// Package server is a node's HTTP interface: the JSON-RPC that the original
// Vesper has, a REST interface under /v1, what Kubernetes asks for (/healthz,
// /readyz) and what Prometheus asks for (/metrics).
//
// # Rules of every answer
//
//   - Errors under /v1 are problem documents (RFC 9457) whose detail names the
//     thing and the remedy. JSON-RPC errors are JSON-RPC errors with HTTP 200.
//     Nothing ever answers with HTML.
//   - Every acknowledged write says its revision in the header Vesper-Revision,
//     and the changeset it became in Vesper-Changeset. It is on disk by then.
//   - One request is one transaction: all of it is written, or nothing.
package server
