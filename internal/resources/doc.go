// Package resources builds the child objects of brokers and nodes: pure
// functions from what the object asks for to apply configurations.
package resources
