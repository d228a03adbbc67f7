package controllers

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
)

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatalf("parsing %s: %v", text, err)
	}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: "vesperdb.io", Version: "v1alpha1", Kind: u.GetKind()})
	return u
}

// tree is a cluster of groups.
func tree(groups string) string {
	return `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: ` + groups + `}}`
}

// link is a node with links.
func link(links string) string {
	return `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, links: ` + links + `}}`
}

// TestHierarchiesThatCanBeAreAccepted: in any order of the groups, as in the samples.
func TestHierarchiesThatCanBeAreAccepted(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	sample, err := os.ReadFile(filepath.Join("..", "config", "samples", "hierarchy", "cluster.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(sample),
		tree(`[{name: c, parent: b, channel: C}, {name: b, parent: a, channel: B, replicas: 2, relays: 2}, {name: a}]`),
		tree(`[{name: a}, {name: b, parent: a, brokerRef: {name: e}, replicas: 0, relays: 2, intermittent: true}]`),
		link(`[{name: up, brokerRef: {name: c}}, {name: side, brokerRef: {name: b}, channel: SIDE}]`),
	} {
		if err := c.Create(t.Context(), parse(t, text), client.DryRunAll); err != nil {
			t.Errorf("refused: %v\n%s", err, text)
		}
	}
	many := make([]string, 64)
	for i := range many {
		many[i] = fmt.Sprintf("{name: group-number-%02d, parent: group-number-%02d, channel: A-CHANNEL-OF-ITS-OWN-%d}", i, i-1, i)
	}
	many[0] = "{name: group-number-00}"
	if err := c.Create(t.Context(), parse(t, tree("["+strings.Join(many, ", ")+"]")), client.DryRunAll); err != nil {
		t.Errorf("a chain of 64 groups is refused: %v", err)
	}
}

// TestBadSpecsAreRefusedWithTheRemedy is the table of what a tired person would
// type and what the API server answers.
func TestBadSpecsAreRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, test := range []struct{ name, object, message string }{
		{"broker of no kind", `{kind: VesperBroker, metadata: {name: b}, spec: {}}`,
			"give exactly one of activemq (a broker that the operator runs) and external (one that exists)"},
		{"broker of both kinds", `{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {}, external: {hosts: ["a:1"]}}}`,
			"give exactly one of activemq"},
		{"external broker without hosts", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: []}}}`, "should have at least 1 items"},
		{"host without a port", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: [mq.example.org]}}}`,
			"each host must be host:port with a port from 1 to 65535, such as mq.example.org:61613"},
		{"host with a port too high", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: ["mq:70000"]}}}`, "each host must be host:port"},
		{"host with a scheme", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: ["stomp://mq:61613"]}}}`, "each host must be host:port"},
		{"unknown flavor", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: ["mq:1"], flavor: kafka}}}`, "supported values"},
		{"virtual host that ends with a blank", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: ["mq:1"], virtualHost: "shop "}}}`, "spec.external.virtualHost"},
		{"virtual host of nothing", `{kind: VesperBroker, metadata: {name: b}, spec: {external: {hosts: ["mq:1"], virtualHost: ""}}}`, "spec.external.virtualHost"},
		{"two brokers", `{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {replicas: 2}}}`, "should be less than or equal to 1"},
		{"no storage", `{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {storage: {size: "0"}}}}`, "storage size must be a positive quantity such as 10Gi"},
		{"storage that is no quantity", `{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {storage: {size: 10 GB}}}}`, "spec.activemq.storage.size"},
		{"image of a broker with a blank", `{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {image: "activemq: 6"}}}`,
			"image must not contain blanks: write it as apache/activemq-classic:6.1.7"},
		{"broker name too long", `{kind: VesperBroker, metadata: {name: ` + strings.Repeat("b", 41) + `}, spec: {activemq: {}}}`, "at most 40 characters"},

		{"cluster without groups", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: []}}`, "should have at least 1 items"},
		{"cluster without a broker", `{kind: VesperCluster, metadata: {name: c}, spec: {groups: [{name: g}]}}`, "spec.brokerRef"},
		{"group twice", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: [{name: g}, {name: g}]}}`, "Duplicate value"},
		{"image with a blank", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, image: "vesper/node: dev", groups: [{name: g}]}}`,
			"image must not contain blanks: write it as vesper/node:v1.2.3"},
		{"image with a line break", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, image: "vesper/node:dev\n", groups: [{name: g}]}}`,
			"image must not contain blanks"},
		{"negative replicas", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: [{name: g, replicas: -1}]}}`, "greater than or equal to 0"},
		{"channel with a slash", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, channel: a/b, groups: [{name: g}]}}`, "spec.channel"},
		{"lower-case branch id", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, branchIDs: {from: 0a}, groups: [{name: g}]}}`, "spec.branchIDs.from"},
		{"branch id that ends with a digit", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, branchIDs: {from: A0}, groups: [{name: g}]}}`, "spec.branchIDs.from"},
		{"branch id too wide", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, branchIDs: {from: 00A}, groups: [{name: g}]}}`,
			"branchIDs.from must have branchIDs.width characters"},
		{"range upside down", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, branchIDs: {from: 1A, to: 0Z}, groups: [{name: g}]}}`,
			"branchIDs.from must not be higher than branchIDs.to"},
		{"width of one", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, branchIDs: {width: 1}, groups: [{name: g}]}}`, "greater than or equal to 2"},
		{"trunk too wide", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, trunkID: 00A, groups: [{name: g}]}}`, "trunkID must have branchIDs.width characters"},
		{"trunk above the range", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, trunkID: 1B, branchIDs: {from: 1A}, groups: [{name: g}]}}`,
			"trunkID must not be higher than branchIDs.from: the trunk is the lowest id of the system"},
		{"trunk not the lowest", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, trunkID: 0B, groups: [{name: g}]}}`,
			"trunkID must be the lowest id (0A) unless branchIDs.from is given"},
		{"cluster name too long", `{kind: VesperCluster, metadata: {name: ` + strings.Repeat("c", 29) + `}, spec: {brokerRef: {name: b}, groups: [{name: g}]}}`, "at most 28 characters"},
		{"cluster name with a dot", `{kind: VesperCluster, metadata: {name: a.b}, spec: {brokerRef: {name: b}, groups: [{name: g}]}}`, "at most 28 characters of a-z, 0-9 and -"},
		{"unknown deletion policy", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: [{name: g}], deletionPolicy: Recycle}}`, "supported values"},

		{"unknown wire", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, wire: json, groups: [{name: g}]}}`, "supported values"},
		{"unknown conflict policy", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, conflictPolicy: newest, groups: [{name: g}]}}`, "supported values"},
		{"retention in days", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, retention: 30d, groups: [{name: g}]}}`, "spec.retention"},
		{"retention of nothing", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, retention: 0h, groups: [{name: g}]}}`, "spec.retention"},
		{"retention beside originals", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, wire: vesper, retention: 24h, groups: [{name: g}]}}`,
			"retention must be forever with wire vesper"},
		{"model URI without originals", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, modelURI: "http://example.org/", groups: [{name: g}]}}`,
			"modelURI needs wire vesper"},
		{"model URI with a semicolon", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, wire: vesper, modelURI: "http://a;b", groups: [{name: g}]}}`, "spec.modelURI"},
		{"model URI with a blank", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, wire: vesper, modelURI: "http://a b", groups: [{name: g}]}}`, "spec.modelURI"},
		{"node's model URI without originals", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, modelURI: "http://example.org/"}}`, "modelURI needs wire vesper"},
		{"node's retention beside originals", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, wire: vesper, retention: 24h, membersRef: {name: m}}}`,
			"retention must be forever with wire vesper"},
		{"node's retention without members", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, retention: 24h}}`, "retention needs membersRef"},

		{"unknown parent", tree(`[{name: core}, {name: edge, parent: cor, brokerRef: {name: e}}]`), "parent must be the name of another group of this cluster: correct it, or add that group"},
		{"its own parent", tree(`[{name: core, parent: core}]`), "a group cannot be its own parent: name another group, or leave out parent"},
		{"two groups that hang from each other", tree(`[{name: a, parent: b, channel: A}, {name: b, parent: a, channel: B}]`), "two groups are each other's parent: leave out the parent"},
		{"child on its parent's channel", tree(`[{name: core}, {name: edge, parent: core}]`), "a group with a parent needs a brokerRef or a channel of its own"},
		{"child on its parent's channel, spelt out", tree(`[{name: core}, {name: edge, parent: core, channel: VESPER_DATA, brokerRef: {name: b}}]`), "a group with a parent needs a brokerRef or a channel of its own"},
		{"relays without a parent", tree(`[{name: core, replicas: 2, relays: 1}]`), "relays needs parent: name the group whose channel they join"},
		{"more relays than nodes", tree(`[{name: core}, {name: edge, parent: core, channel: E, replicas: 1, relays: 2}]`), "relays must not be more than replicas"},
		{"no relays below a parent", tree(`[{name: core}, {name: edge, parent: core, channel: E, relays: 0}]`), "greater than or equal to 1"},
		{"broker of a group without a name", tree(`[{name: core, brokerRef: {}}]`), "brokerRef.name"},
		{"group's channel with a slash", tree(`[{name: core, channel: a/b}]`), "spec.groups[0].channel"},
		{"channel of beacons", tree(`[{name: core, channel: X.beacon}]`), "a channel must not be called NAME.beacon"},
		{"hierarchy of originals", `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, wire: vesper, groups: [{name: core}, {name: edge, parent: core, channel: E}]}}`, "parent needs wire packed"},
		{"node's link to its own channel", link(`[{name: up, brokerRef: {name: b}}]`), "a link must lead to another channel or broker"},
		{"node's two links to one channel", link(`[{name: up, brokerRef: {name: c}}, {name: too, brokerRef: {name: c}}]`), "two links lead to the same channel of the same broker"},
		{"node's link called main", link(`[{name: main, brokerRef: {name: c}}]`), "a link cannot be called main"},
		{"node's link without a broker", link(`[{name: up}]`), "brokerRef"},

		{"node without a branch id", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}}}`, "spec.branchID"},
		{"node's branch id of one character", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: A}}`, "spec.branchID"},
		{"node's trunk above its branch", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, trunkID: 0B}}`, "trunkID must not be higher than branchID"},
		{"node's trunk of another width", `{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0A, trunkID: 00A}}`, "as many characters as branchID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantRefused(t, c.Create(t.Context(), parse(t, test.object), client.DryRunAll), test.message)
		})
	}
}

// TestWhatMustNotChangeCannotChange edits healthy objects in ways that would
// break promises, and wants each edit refused with the remedy.
func TestWhatMustNotChangeCannotChange(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for _, text := range []string{
		`{kind: VesperBroker, metadata: {name: b}, spec: {activemq: {}}}`,
		`{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: [{name: g}]}}`,
		`{kind: VesperCluster, metadata: {name: ct}, spec: {brokerRef: {name: b}, trunkID: 0A, groups: [{name: g}]}}`,
		`{kind: VesperNode, metadata: {name: vn}, spec: {brokerRef: {name: b}, branchID: 0C, trunkID: 0A}}`,
		`{kind: VesperCluster, metadata: {name: cv}, spec: {brokerRef: {name: b}, wire: vesper, modelURI: "http://example.org/", groups: [{name: g}]}}`,
	} {
		if err := c.Create(t.Context(), parse(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ name, object, patch, message string }{
		{"managed to external", `{kind: VesperBroker, metadata: {name: b}}`, `{"spec":{"activemq":null,"external":{"hosts":["a:1"]}}}`,
			"a broker cannot change between activemq and external"},
		{"channel", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"channel":"OTHER"}}`, "channel cannot change"},
		{"group's channel", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"groups":[{"name":"g","channel":"OTHER"}]}}`, "the channel of a group cannot change"},
		{"trunk removed", `{kind: VesperCluster, metadata: {name: ct}}`, `{"spec":{"trunkID":null}}`, "trunkID cannot be added or removed later"},
		{"trunk added", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"trunkID":"0A"}}`, "trunkID cannot be added or removed later"},
		{"trunk changed", `{kind: VesperCluster, metadata: {name: ct}}`, `{"spec":{"trunkID":"0B","branchIDs":{"from":"0C"}}}`, "trunkID cannot change"},
		{"width", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"branchIDs":{"width":3}}}`, "branchIDs.width cannot change"},
		{"wire", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"wire":"vesper"}}`, "wire cannot change"},
		{"conflict policy", `{kind: VesperCluster, metadata: {name: c}}`, `{"spec":{"conflictPolicy":"earliest"}}`, "conflictPolicy cannot change"},
		{"model URI", `{kind: VesperCluster, metadata: {name: cv}}`, `{"spec":{"modelURI":"http://example.com/"}}`, "modelURI cannot change"},
		{"model URI removed", `{kind: VesperCluster, metadata: {name: cv}}`, `{"spec":{"modelURI":null}}`, "modelURI cannot be added or removed later"},
		{"node's wire", `{kind: VesperNode, metadata: {name: vn}}`, `{"spec":{"wire":"vesper"}}`, "wire cannot be added or removed later"},
		{"branch id", `{kind: VesperNode, metadata: {name: vn}}`, `{"spec":{"branchID":"0D"}}`, "branchID cannot change: make a new VesperNode"},
		{"node's channel", `{kind: VesperNode, metadata: {name: vn}}`, `{"spec":{"channel":"OTHER"}}`, "channel cannot change"},
		{"node's trunk", `{kind: VesperNode, metadata: {name: vn}}`, `{"spec":{"trunkID":"0B"}}`, "trunkID cannot change"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := c.Patch(t.Context(), parse(t, test.object), client.RawPatch("application/merge-patch+json", []byte(test.patch)))
			wantRefused(t, err, test.message)
		})
	}
}

// TestDefaultsOfANewObject shows what an object is right after it was made,
// before any operator saw it: observedGeneration says that nobody has.
func TestDefaultsOfANewObject(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	cl := &v1alpha1.VesperCluster{}
	mustCreate(t, c, parse(t, `{kind: VesperCluster, metadata: {name: c}, spec: {brokerRef: {name: b}, groups: [{name: g}]}}`))
	mustGet(t, c, "c", cl)
	if cl.Status.ObservedGeneration != -1 {
		t.Errorf("observedGeneration is %d, want -1", cl.Status.ObservedGeneration)
	}
	if s := cl.Spec; s.Channel != "VESPER_DATA" || s.BranchIDs.Width != 2 || *s.Groups[0].Replicas != 1 ||
		s.Storage.Size.String() != "10Gi" ||
		s.Wire != v1alpha1.WirePacked || s.ConflictPolicy != v1alpha1.ConflictLatest || s.Retention != v1alpha1.RetainForever || s.DeletionPolicy != v1alpha1.DeletionRetain {
		t.Errorf("defaults are %+v", s)
	}
}

// TestEachCRDIsSmallEnoughForPlainApply: kubectl apply stores the object in an
// annotation of at most 262144 bytes.
func TestEachCRDIsSmallEnoughForPlainApply(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) != 3 {
		t.Fatalf("found CRDs %v, %v, want 3", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		size, err := json.Marshal(crd)
		if err != nil || len(size) >= 262144 {
			t.Errorf("%s has %d bytes of JSON (%v), want less than 262144", file, len(size), err)
		}
	}
}

func mustCreate(t *testing.T, c *cluster, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.Create(t.Context(), object); err != nil {
			t.Fatalf("making %T %s: %v", object, object.GetName(), err)
		}
	}
}

func mustGet(t *testing.T, c *cluster, name string, object client.Object) {
	t.Helper()
	if err := c.Get(t.Context(), client.ObjectKey{Name: name, Namespace: c.Namespace}, object); err != nil {
		t.Fatalf("reading %T %s: %v", object, name, err)
	}
}
