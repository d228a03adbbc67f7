package e2e

import (
	"fmt"
	"strings"
)

// edit is what somebody does to a child of the cluster by hand, and where it shows.
type edit struct {
	kind, name string
	// path of what is changed, for jsonpath; the patch that changes it is a merge
	// patch, "" for a deletion.
	path, patch string
}

// edits are a few of what people do to the children of a cluster of these nodes:
// some to save the day, some with the wrong window open. None of it restarts more
// than one node.
func edits(nodes []string) []edit {
	a, b, c := nodes[0], nodes[1], nodes[2]
	return []edit{
		{"service", "shop", "{.spec.selector}", `{"spec":{"selector":{"vesperdb.io/cluster":"shoe"}}}`},
		{"service", a, "{.spec.ports[*].port}", `{"spec":{"ports":[{"name":"http","port":80,"targetPort":"http"}]}}`},
		{"service", b, "{.spec.selector}", ""},
		{"service", c + "-headless", "{.spec.publishNotReadyAddresses}", `{"spec":{"publishNotReadyAddresses":false}}`},
		{"configmap", b + "-config", "{.data}", `{"data":{"node.yaml":"branchId: 0Z"}}`},
		{"configmap", c + "-config", "{.data}", ""},
		{"networkpolicy", "shop", "{.spec}", `{"spec":{"podSelector":{"matchLabels":{"vesperdb.io/cluster":"shoe"}},"ingress":[],"egress":[]}}`},
		{"poddisruptionbudget", "shop", "{.spec}", ""},
		{"statefulset", a, "{.spec.replicas}", `{"spec":{"replicas":0}}`},
		{"statefulset", b, "{.metadata.labels}", `{"metadata":{"labels":{"vesperdb.io/cluster":"shoe"}}}`},
		{"vespernode", c, "{.spec.deletionPolicy}", `{"spec":{"deletionPolicy":"Delete"}}`},
		{"pvc", "data-" + c, "{.metadata.labels}", `{"metadata":{"labels":null}}`},
	}
}

// childrenAreEdited has everything that the operator makes changed or deleted by
// hand, all at once: it becomes what it was, and the nodes are who they were.
func (s *story) childrenAreEdited() {
	before := s.identities()
	was, uids := map[edit]string{}, map[edit]string{}
	read := func(e edit) string {
		return s.in("get", e.kind, e.name, "--ignore-not-found", "-o", "jsonpath="+e.path)
	}
	all := edits(s.nodes())
	for _, e := range all {
		was[e], uids[e] = read(e), s.uid(e.kind, e.name)
		if uids[e] == "" {
			s.t.Fatalf("there is no %s %s to edit", e.kind, e.name)
		}
	}
	for _, e := range all {
		if e.patch == "" {
			s.in("delete", e.kind, e.name, "--wait=false")
			continue
		}
		out := s.in("patch", e.kind, e.name, "--type=merge", "-p", e.patch)
		if strings.Contains(out, "no change") {
			s.t.Errorf("editing %s %s with %s changed nothing", e.kind, e.name, e.patch)
		}
	}
	for _, e := range all {
		s.eventually(fmt.Sprintf("%s %s to be what it was before %q", e.kind, e.name, e.patch), func() error {
			if uid := s.uid(e.kind, e.name); (uid == uids[e]) == (e.patch == "") {
				return fmt.Errorf("its UID was %s, is %q", uids[e], uid)
			}
			if now := read(e); now != was[e] {
				return fmt.Errorf("%s was %s, is %s", e.path, was[e], now)
			}
			return nil
		})
	}
	s.sameNodes(before)
}
