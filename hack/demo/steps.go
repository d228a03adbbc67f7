package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"vesperdb.io/vesper/hack/devcluster"
)

const (
	namespace = "vesper-demo"
	samples   = "config/samples"
	dataSet   = samples + "/data/world.json"
	// converge bounds the wait for the three nodes to answer the same.
	converge = time.Minute
)

// demo is the state of one run.
type demo struct {
	*script
	cluster *devcluster.Cluster
	nodes   []string // pods, ascending by branch id
}

func up(ctx context.Context, s *script, choice devcluster.Choice) error {
	d := &demo{script: s}
	steps := []struct {
		title string
		do    func(context.Context) error
	}{
		{"Starting a Kubernetes (the first time builds it from source: 10 to 15 minutes on 2 cores)", func(ctx context.Context) (err error) {
			d.cluster, err = devcluster.Up(ctx, choice)
			if err == nil {
				d.say("using %s, kubeconfig %s", d.cluster.Choice, d.cluster.Kubeconfig)
			}
			return err
		}},
		{"Building the images of the operator, the node and (without a registry) ActiveMQ, and loading them", func(ctx context.Context) error { return d.cluster.LoadImages(ctx) }},
		{"Installing the operator with Helm", func(ctx context.Context) error { return d.cluster.InstallOperator(ctx) }},
		{"Applying the samples: an ActiveMQ broker and a cluster of three nodes", d.applySamples},
		{"Waiting until the cluster is Ready: every node is connected, subscribed and caught up", d.waitReady},
		{"Loading " + dataSet + " into the first node", d.load},
		{"Editing an object on the second node and deleting one on the third", d.edit},
		{"Asking all three nodes the same questions until they agree", d.compare},
	}
	for _, step := range steps {
		if err := s.step(step.title, func() error { return step.do(ctx) }); err != nil {
			return err
		}
	}
	return d.tour(ctx)
}

func (d *demo) applySamples(ctx context.Context) error {
	if _, err := d.cluster.Kubectl(ctx, "create", "namespace", namespace); err != nil && !strings.Contains(err.Error(), "AlreadyExists") {
		return err
	}
	_, err := d.cluster.Kubectl(ctx, "apply", "-n", namespace, "-k", samples)
	return err
}

func (d *demo) waitReady(ctx context.Context) error {
	for _, what := range []string{"vesperbroker", "vespercluster"} {
		_, err := d.cluster.Kubectl(ctx, "wait", "-n", namespace, "--for=condition=Ready", what, "--all", "--timeout=5m")
		if err != nil {
			state, _ := d.cluster.Kubectl(ctx, "get", "vesper,pods,events", "-n", namespace)
			return fmt.Errorf("%w\n%s", err, state)
		}
	}
	var err error
	d.nodes, err = d.cluster.NamesOf(ctx, namespace, "pods", "app.kubernetes.io/name=vesper-node")
	if err == nil && len(d.nodes) < 3 {
		err = fmt.Errorf("the samples promise three nodes, found pods %v", d.nodes)
	}
	return err
}

func (d *demo) load(ctx context.Context) error {
	text, err := os.ReadFile(dataSet)
	if err != nil {
		return fmt.Errorf("reading the data set: %w", err)
	}
	var objects []map[string]any
	if err := json.Unmarshal(text, &objects); err != nil {
		return fmt.Errorf("reading %s: %w", dataSet, err)
	}
	// "replace" makes each object exactly what the file says, so that the demo can run again.
	request := map[string]any{"jsonrpc": "2.0", "id": 1, "method": "replace", "params": objects}
	if _, err := d.cluster.Node(ctx, namespace, d.nodes[0], http.MethodPost, "/datarequest", request); err != nil {
		return err
	}
	d.say("%d objects written on %s", len(objects), d.nodes[0])
	return d.until(ctx, "the data set on every node", func() (bool, error) {
		counts, err := d.ask(ctx, `{id where type = @type/country}`)
		return err == nil && len(counts[0]) > 100 && agree(counts), err
	})
}

func (d *demo) edit(ctx context.Context) error {
	change := map[string]any{"population": 398940, "note": "edited on " + d.nodes[1]}
	if _, err := d.cluster.Node(ctx, namespace, d.nodes[1], http.MethodPatch, "/v1/objects/"+url.PathEscape("country/IS"), change); err != nil {
		return err
	}
	d.say("PATCH country/IS on %s", d.nodes[1])
	if _, err := d.cluster.Node(ctx, namespace, d.nodes[2], http.MethodDelete, "/v1/objects/"+url.PathEscape("country/VA"), nil); err != nil {
		return err
	}
	d.say("DELETE country/VA on %s", d.nodes[2])
	return nil
}

func (d *demo) compare(ctx context.Context) error {
	questions := []string{
		`{id, name, population, note where id = 'country/IS'}`,
		`{id where id = 'country/VA'}`,
		`{name, population where continent = @continent/SA order by population desc limit 3}`,
		`{*}`,
	}
	for _, question := range questions {
		var answers [][]json.RawMessage
		err := d.until(ctx, question, func() (_ bool, err error) {
			answers, err = d.ask(ctx, question)
			return err == nil && agree(answers) && d.edited(question, answers[0]), err
		})
		if err != nil {
			return err
		}
		d.say("%s", question)
		d.say("  same on all %d nodes: %s", len(d.nodes), shorten(answers[0]))
	}
	return nil
}

// edited holds the answers about the changed objects to what was changed, so
// that three nodes that missed the change together do not pass.
func (d *demo) edited(question string, rows []json.RawMessage) bool {
	switch {
	case strings.Contains(question, "country/IS"):
		return len(rows) == 1 && strings.Contains(string(rows[0]), d.nodes[1])
	case strings.Contains(question, "country/VA"):
		return len(rows) == 0
	}
	return len(rows) > 0
}

// ask puts one query to every node.
func (d *demo) ask(ctx context.Context, query string) ([][]json.RawMessage, error) {
	answers := make([][]json.RawMessage, 0, len(d.nodes))
	for _, node := range d.nodes {
		rows, err := d.cluster.Query(ctx, namespace, node, query)
		if err != nil {
			return nil, err
		}
		answers = append(answers, rows)
	}
	return answers, nil
}

func agree(answers [][]json.RawMessage) bool {
	for _, rows := range answers[1:] {
		if !slices.EqualFunc(answers[0], rows, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
			return false
		}
	}
	return true
}

func (d *demo) until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, converge)
	defer cancel()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waiting %v for %s: %w", converge, what, ctx.Err()), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func shorten(rows []json.RawMessage) string {
	parts := make([]string, 0, len(rows))
	for _, row := range rows {
		parts = append(parts, string(row))
	}
	text := strings.Join(parts, " ")
	if len(text) > 150 {
		text = fmt.Sprintf("%d objects: %s…", len(rows), strings.ToValidUTF8(text[:120], ""))
	}
	if text == "" {
		text = "no object"
	}
	return text
}

func (d *demo) tour(ctx context.Context) error {
	for _, args := range [][]string{{"get", "vesper"}, {"get", "pods,pvc"}} {
		out, err := d.cluster.Kubectl(ctx, append(args, "-n", namespace)...)
		if err != nil {
			return err
		}
		d.show("kubectl "+strings.Join(args, " ")+" -n "+namespace, out)
	}
	fmt.Fprintf(d.out, `
(READY and REASON change at once; REVISION, OBJECTS and LAG, which always move, are written at most once a minute.)

It works: a write on any node is on all of them. How to go on:

  export KUBECONFIG=%[1]s PATH=%[4]s:$PATH

  # all of it, at any time; and why a node is or is not Ready
  kubectl get vesper -n %[2]s -o wide
  kubectl describe vn -n %[2]s

  # ask a node: one object, all that happened to it, and a query
  kubectl port-forward -n %[2]s pod/%[3]s 8000:8000 &
  curl -s localhost:8000/v1/objects/country/IS
  curl -s localhost:8000/v1/history/country/IS
  curl -s localhost:8000/datarequest -H 'Content-Type: application/json' \
    -d '{"jsonrpc":"2.0","id":1,"method":"query","params":"{name, capital where continent = @continent/EU}"}'

  # kill a node: it comes back with its branch id and its data; ask for a fourth: it learns everything
  kubectl delete pod -n %[2]s %[3]s
  kubectl patch vc shop -n %[2]s --type=json -p '[{"op":"replace","path":"/spec/groups/0/replicas","value":4}]'

  # remove everything
  make demo-down
`, d.cluster.Kubeconfig, namespace, d.nodes[0], d.cluster.ToolsDir())
	return nil
}

func down(ctx context.Context, s *script, choice devcluster.Choice) error {
	if choice != devcluster.Current {
		return s.step("Removing the Kubernetes and all that ran in it", func() error { return devcluster.Down(ctx, choice) })
	}
	return s.step("Removing the demo from the current cluster (the CRDs stay, as the chart promises)", func() error {
		cluster, err := devcluster.Up(ctx, choice)
		if err != nil {
			return err
		}
		if _, err := cluster.Kubectl(ctx, "delete", "namespace", namespace, "--ignore-not-found"); err != nil {
			return err
		}
		return cluster.UninstallOperator(ctx)
	})
}
