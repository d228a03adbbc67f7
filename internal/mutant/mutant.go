// Package mutant lets the code be broken on purpose, to show that the simulator
// notices. A program has mutants only when it is built with the tag mutants;
// in every other one On is constant and costs nothing.
package mutant

// Names are the ways in which the code can be broken; each stands at one place
// of internal/store or internal/replication.
var Names = []string{}
