package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// Figures are what a run found out; its last line is this as JSON.
type Figures struct {
	Nodes      int `json:"nodes"`
	Clusters   int `json:"clusters"`
	Namespaces int `json:"namespaces"`
	Processors int `json:"processors"`
	// Load is what else the machine did at the end, as /proc/loadavg has it.
	Load     string   `json:"load"`
	Create   Create   `json:"create"`
	Rest     Phase    `json:"rest"`
	NotReady NotReady `json:"notReady"`
	Restart  Restart  `json:"restart"`
	Leader   Leader   `json:"leader"`
	Roll     Roll     `json:"roll"`
	Goals    []Goal   `json:"goals"`
	// Broken are the promises that were not kept.
	Broken []string `json:"broken"`
}

// Create is the making of all nodes, until nothing was written any more.
// ReadySeconds is the time until all were ready.
type Create struct {
	Phase
	ReadySeconds  float64 `json:"readySeconds"`
	WritesPerNode float64 `json:"writesPerNode"`
	EventsPerNode float64 `json:"eventsPerNode"`
	ReadsPerNode  float64 `json:"readsPerNode"`
}

// NotReady is a time in which some pods find no machine. ReadySeconds is how long
// all took to be ready again once they found one.
type NotReady struct {
	Phase
	Pods            int     `json:"pods"`
	WritesPerSecond float64 `json:"writesPerSecond"`
	ReadsPerSecond  float64 `json:"readsPerSecond"`
	ReadySeconds    float64 `json:"readySeconds"`
}

// Restart is what an operator does that is started over a healthy fleet.
// WorksSeconds is the time until it had made something new, AskedSeconds until it
// had asked all nodes how they are.
type Restart struct {
	Phase
	WorksSeconds float64 `json:"worksSeconds"`
	AskedSeconds float64 `json:"askedSeconds"`
}

// Leader is the change from one operator to another that waits, or, Again, to the
// same container started again after it was killed.
type Leader struct {
	TermSeconds  float64 `json:"termSeconds"`
	AgainSeconds float64 `json:"againSeconds"`
	KillSeconds  float64 `json:"killSeconds"`
	Term         Phase   `json:"term"`
	Again        Phase   `json:"again"`
	Kill         Phase   `json:"kill"`
}

// Roll is a change that restarts all nodes. AtOnce is the most restarts at the
// same time within a cluster.
type Roll struct {
	Phase
	ReadySeconds  float64 `json:"readySeconds"`
	Restarts      int     `json:"restarts"`
	AtOnce        int     `json:"atOnce"`
	WritesPerNode float64 `json:"writesPerNode"`
}

// Goal is a figure and what it should not exceed.
type Goal struct {
	Name   string  `json:"name"`
	Most   float64 `json:"most"`
	Figure float64 `json:"figure"`
	Met    bool    `json:"met"`
}

// conclude compares what was found out with the goals.
func (w *world) conclude() *Figures {
	f := &w.figures
	f.Nodes, f.Clusters, f.Processors = w.options.nodes, len(w.options.sizes()), runtime.NumCPU()
	f.Namespaces = (f.Clusters + w.options.perNS - 1) / w.options.perNS
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		f.Load = strings.TrimSpace(string(load))
	}
	memory := 60.0 // MiB at 100 nodes
	if f.Nodes > 100 {
		memory += 90 * float64(f.Nodes-100) / 900 // 150 at 1000
	}
	for _, g := range []Goal{
		{Name: "writes for each node created", Most: 12, Figure: f.Create.WritesPerNode},
		{Name: "writes in creation that changed nothing", Figure: float64(f.Create.NoOps)},
		{Name: "writes at rest", Figure: float64(f.Rest.Writes)},
		{Name: "writes while nodes are not ready", Figure: float64(f.NotReady.Writes)},
		{Name: "writes of a restart over a healthy fleet", Figure: float64(f.Restart.Writes)},
		{Name: "memory at rest, MiB", Most: memory, Figure: f.Rest.RSS},
		{Name: "change of a leader that ends, s", Most: 5, Figure: f.Leader.TermSeconds},
		{Name: "restart of a leader that is killed, in its pod, s", Most: 5, Figure: f.Leader.AgainSeconds},
		{Name: "change of a leader that is killed with its machine, s", Most: 5, Figure: f.Leader.KillSeconds},
		{Name: "restarts at once in a cluster", Most: 1, Figure: float64(f.Roll.AtOnce)},
	} {
		g.Met = g.Figure <= g.Most
		f.Goals = append(f.Goals, g)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.Broken = append([]string{}, w.broken...)
	return f
}

// print writes the tables and, as the last line, all figures.
func (f *Figures) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\n%d nodes in %d clusters in %d namespaces\n\n", f.Nodes, f.Clusters, f.Namespaces)
	fmt.Fprintln(table, "phase\tseconds\twrites\tof events\tno-ops\trefused\treads\twatches\tleader\tasked\trss MiB\tof it program\tpeak\tcpu s")
	for _, row := range []struct {
		name string
		Phase
	}{{"create", f.Create.Phase}, {"at rest", f.Rest}, {"not ready", f.NotReady.Phase}, {"restart", f.Restart.Phase},
		{"SIGTERM", f.Leader.Term}, {"SIGKILL, pod stays", f.Leader.Again}, {"SIGKILL", f.Leader.Kill}, {"roll", f.Roll.Phase}} {
		fmt.Fprintf(table, "%s\t%.1f\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.2f\n", row.name, row.Seconds, row.Writes, row.Events, row.NoOps, row.Refused,
			row.Reads, row.Watches, row.Leader, row.Asked, row.RSS, row.Program, row.Peak, row.CPU)
	}
	fmt.Fprintf(table, "\nall ready\tcreated %.1f s\tfrom pending %.1f s\trolled %.1f s\n", f.Create.ReadySeconds, f.NotReady.ReadySeconds, f.Roll.ReadySeconds)
	fmt.Fprintf(table, "restarted\tworks after %.1f s\tasked all after %.1f s\n\n", f.Restart.WorksSeconds, f.Restart.AskedSeconds)
	fmt.Fprintln(table, "request\tcreate, a node\troll, a node")
	for _, name := range f.requests() {
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\n", name, f.perNode(f.Create.Requests[name]), f.perNode(f.Roll.Requests[name]))
	}
	fmt.Fprintln(table, "\ngoal\tat most\tfigure\tmet")
	for _, g := range f.Goals {
		fmt.Fprintf(table, "%s\t%.1f\t%.2f\t%s\n", g.Name, g.Most, g.Figure, map[bool]string{true: "yes", false: "no"}[g.Met])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, broken := range f.Broken {
		fmt.Fprintln(out, "BROKEN:", broken)
	}
	line, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	_, err = fmt.Fprintf(out, "\n%s\n", line)
	return err
}

func (f *Figures) perNode(n int) float64 { return float64(n) / float64(f.Nodes) }

// requests are all verbs and resources of creation and roll, in their order.
func (f *Figures) requests() []string {
	all := maps.Clone(f.Create.Requests)
	maps.Copy(all, f.Roll.Requests)
	return slices.Sorted(maps.Keys(all))
}
