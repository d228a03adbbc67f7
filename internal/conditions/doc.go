// Package conditions computes the status conditions of brokers, clusters and
// nodes: pure functions of what was read, with no client and no clock.
package conditions
