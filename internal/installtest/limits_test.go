package installtest

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestTheOperatorsMemoryIsLimitedByWhatWasMeasured: docs/performance.md has the memory of the operator
// over fleets of several sizes. What is asked for must hold a hundred nodes, and what it may take
// at most the largest fleet there, with a half of that to spare.
func TestTheOperatorsMemoryIsLimitedByWhatWasMeasured(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| memory at rest, MiB \|[^|]*\|(.*)$`).FindSubmatch(text)
	if row == nil {
		t.Fatal("docs/performance.md has no row of the operator's memory at rest")
	}
	var measured []float64
	for _, figure := range regexp.MustCompile(`\d+(\.\d+)?`).FindAllString(string(row[1]), -1) {
		mib, err := strconv.ParseFloat(figure, 64)
		if err != nil {
			t.Fatal(err)
		}
		measured = append(measured, mib)
	}
	if len(measured) < 3 {
		t.Fatalf("the row has the figures %v, want those of 10, 100 and 1000 nodes", measured)
	}
	for from, objects := range map[string][]*unstructured.Unstructured{"config/install.yaml": readPlain(t), "the chart": renderChart(t)} {
		resources := at(t, named(t, objects, "Deployment", "vesper-operator").Object, "spec", "template", "spec", "containers").([]any)[0].(map[string]any)["resources"]
		for what, least := range map[string]float64{"requests": measured[1], "limits": 1.5 * measured[len(measured)-1]} {
			given := resource.MustParse(at(t, resources.(map[string]any), what, "memory").(string))
			if mib := float64(given.Value()) / (1 << 20); mib < least {
				t.Errorf("%s: %s.memory is %s, and %.0f MiB are needed by the figures %v", from, what, given.String(), least, measured)
			}
		}
	}
}
