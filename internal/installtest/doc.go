// Package installtest holds the tests of the two ways to install the operator,
// charts/vesper-operator and config/default: that they install the same, and
// what the chart's values do. It has no code of its own.
package installtest
