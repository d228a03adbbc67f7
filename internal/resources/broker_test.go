package resources

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/api/v1alpha1"
)

var updateBroker = flag.Bool("update-broker", false, "write the golden files of brokers")

func aBroker() Broker {
	size := resource.MustParse("1Gi")
	return Broker{
		Object: &v1alpha1.VesperBroker{
			ObjectMeta: metav1.ObjectMeta{Name: "mq", Namespace: "shop", UID: "u1"},
			Spec:       v1alpha1.VesperBrokerSpec{ActiveMQ: &v1alpha1.ActiveMQSpec{Storage: v1alpha1.Storage{Size: &size}, DeletionPolicy: v1alpha1.DeletionRetain}},
		},
		Image:      "apache/activemq-classic:6.1.7",
		VolumeSize: size,
	}
}

// everything sets each field of the spec to something else than its default.
func everything() Broker {
	b, replicas, class := aBroker(), int32(0), "fast"
	b.Object.Spec.ActiveMQ = &v1alpha1.ActiveMQSpec{
		ImagePullPolicy:  corev1.PullAlways,
		ImagePullSecrets: []v1alpha1.LocalReference{{Name: "pull"}},
		Replicas:         &replicas,
		Storage:          v1alpha1.Storage{StorageClassName: &class},
		DeletionPolicy:   v1alpha1.DeletionDelete,
		Resources:        &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}},
	}
	b.VolumeSize = resource.MustParse("256Mi")
	return b
}

func children(t *testing.T, b Broker, c Credentials) []runtime.ApplyConfiguration {
	t.Helper()
	config, err := BrokerConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	set, err := BrokerStatefulSet(b)
	if err != nil {
		t.Fatal(err)
	}
	return []runtime.ApplyConfiguration{
		BrokerSecret(b, c), config, BrokerClaim(b, b.VolumeSize, nil),
		BrokerHeadlessService(b), BrokerService(b), BrokerNetworkPolicy(b), set,
	}
}

// TestBrokerChildrenAreAsReviewed holds the children to testdata. A difference
// that is wanted is written with -update-broker; one in a pod template restarts
// every broker at the operator's next upgrade.
func TestBrokerChildrenAreAsReviewed(t *testing.T) {
	for name, b := range map[string]Broker{"broker_default": aBroker(), "broker_everything": everything()} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, child := range children(t, b, Credentials{Username: "vesper", Password: "secret"}) {
				text, err := yaml.Marshal(child)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "---\n%s", text)
			}
			path := filepath.Join("testdata", name+".golden.yaml")
			if *updateBroker {
				if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v: run with -update-broker", err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		})
	}
}

func TestNoPasswordIsOutsideOfTheSecret(t *testing.T) {
	const password = "hush"
	all := children(t, aBroker(), Credentials{Username: "vesper", Password: password})
	if secret := all[0].(*corev1ac.SecretApplyConfiguration); string(secret.Data["password"]) != password {
		t.Fatal("the password is not in the Secret: this test would find it nowhere")
	}
	for _, child := range all[1:] {
		text, err := json.Marshal(child)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), password) {
			t.Errorf("the password is in %s", text)
		}
	}
	c := Credentials{Username: "u", Password: password}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, password) {
			t.Errorf("%s of credentials shows the password: %s", format, text)
		}
	}
}

func TestTheStoreStaysBelowTheVolume(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(64*mebibyte, 1<<45).Draw(t, "size")
		v := valuesFor("mq", *resource.NewQuantity(size, resource.BinarySI))
		if used := v.StoreLimit + v.TempLimit; used >= size || size-used < v.JournalFile {
			t.Errorf("%d of store and %d of temporary files leave less than a journal file of %d in %d", v.StoreLimit, v.TempLimit, v.JournalFile, size)
		}
		if v.StoreLimit < 4*v.JournalFile {
			t.Errorf("a store of %d has room for fewer than 4 journal files of %d", v.StoreLimit, v.JournalFile)
		}
	})
}

func TestGeneratedCredentialsAreNewEachTimeAndUsable(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		c := BrokerCredentials(nil)
		if len(c.Password) != 32 || !usable(c.Password) || c.Username != brokerUser || seen[c.Password] {
			t.Fatalf("a generated password of %d characters, usable %v, seen before %v", len(c.Password), usable(c.Password), seen[c.Password])
		}
		if property(c.Password) != c.Password {
			t.Fatal("a generated password needs escaping")
		}
		seen[c.Password] = true
	}
}

func TestCredentialsThatExistAreKept(t *testing.T) {
	cases := map[string]struct {
		username, password string
		kept               bool
	}{
		"generated before":        {"vesper", "ABC", true},
		"chosen by a person":      {"me", `a\b=c:d#e!f"g'h<&>`, true},
		"no password":             {"vesper", "", false},
		"no user":                 {"", "ABC", false},
		"a line feed at the end":  {"vesper", "ABC\n", false},
		"a space":                 {"vesper", "A C", false},
		"not ASCII":               {"vesper", "pässword", false},
		"longer than a header is": {"vesper", strings.Repeat("x", 257), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := BrokerCredentials(map[string][]byte{"username": []byte(c.username), "password": []byte(c.password)})
			if kept := got == (Credentials{c.username, c.password}); kept != c.kept {
				t.Errorf("kept %v, want %v", kept, c.kept)
			}
		})
	}
}

func TestTheLoginModulesFilesEscapeWhatJavaReads(t *testing.T) {
	secret := BrokerSecret(aBroker(), Credentials{Username: "a=b", Password: `p\q:r#s!`})
	if got, want := string(secret.Data["users.properties"]), `a\=b=p\\q\:r\#s\!`+"\n"; got != want {
		t.Errorf("users.properties is %q, want %q", got, want)
	}
	if got, want := string(secret.Data["groups.properties"]), `nodes=a\=b`+"\n"; got != want {
		t.Errorf("groups.properties is %q, want %q", got, want)
	}
	if got := string(secret.Data["password"]); got != `p\q:r#s!` {
		t.Errorf("password is %q, want it as it is", got)
	}
}

func claimOf(size string, class *string, owner string) *corev1.PersistentVolumeClaim {
	claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: class}}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	if owner != "" {
		claim.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: owner, Operation: metav1.ManagedFieldsOperationApply,
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:storageClassName":{}}}`)}}
	}
	return claim
}

func TestTheStorageClassOfAClaimThatExistsIsNotTouched(t *testing.T) {
	fast, slow := "fast", "slow"
	cases := map[string]struct {
		spec     *string
		existing *corev1.PersistentVolumeClaim
		want     *string
	}{
		"new":                       {&fast, nil, &fast},
		"new without a class":       {nil, nil, nil},
		"class by default":          {nil, claimOf("1Gi", &slow, ""), nil},
		"class by default, now set": {&fast, claimOf("1Gi", &slow, ""), nil},
		"ours":                      {&fast, claimOf("1Gi", &fast, v1alpha1.ManagedBy), &fast},
		"ours, now another":         {&slow, claimOf("1Gi", &fast, v1alpha1.ManagedBy), &fast},
		"ours, now none":            {nil, claimOf("1Gi", &fast, v1alpha1.ManagedBy), &fast},
		"someone else's":            {&slow, claimOf("1Gi", &fast, "kubectl"), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, claimClass(v1alpha1.Storage{StorageClassName: c.spec}, c.existing)); diff != "" {
				t.Errorf("class (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheHeapIsAPartOfTheMemoryThatTheContainerMayUse(t *testing.T) {
	memory := func(text string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(text)}
	}
	cases := map[string]struct {
		resources corev1.ResourceRequirements
		want      []string
	}{
		"limit":        {corev1.ResourceRequirements{Limits: memory("1Gi")}, []string{"-XX:InitialRAMPercentage=25", "-XX:MaxRAMPercentage=60"}},
		"request only": {corev1.ResourceRequirements{Requests: memory("1000Mi")}, []string{"-Xmx600m"}},
		"neither":      {corev1.ResourceRequirements{}, []string{"-Xmx614m"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := heapFlags(c.resources); !slices.Equal(got, c.want) {
				t.Errorf("flags %v, want %v", got, c.want)
			}
		})
	}
}

func TestOnlyAChangeOfTheConfigurationChangesItsHash(t *testing.T) {
	hash := func(b Broker) string {
		set, err := BrokerStatefulSet(b)
		if err != nil {
			t.Fatal(err)
		}
		return set.Spec.Template.Annotations[v1alpha1.AnnotationConfigHash]
	}
	before, larger := hash(aBroker()), aBroker()
	if again := hash(aBroker()); again != before || before == "" {
		t.Errorf("the same configuration has the hashes %q and %q", before, again)
	}
	larger.VolumeSize = resource.MustParse("2Gi")
	if hash(larger) == before {
		t.Error("other limits of the store have the same hash: the broker would not read them")
	}
	if hashOf(map[string]string{"a": "bc"}) == hashOf(map[string]string{"ab": "c"}) {
		t.Error("the hash does not tell a file's name from its text")
	}
}

func TestNamesOfChildrenFitTheLongestBrokerName(t *testing.T) {
	long := strings.Repeat("x", 40) // the API refuses longer ones
	for _, name := range []string{BrokerName(long), BrokerPodName(long), BrokerSecretName(long), BrokerConfigName(long), BrokerClaimName(long), BrokerHeadlessName(long)} {
		// A StatefulSet adds 11 characters to its name in a label.
		if len(name) > 63-11 && name == BrokerName(long) || len(name) > 63 {
			t.Errorf("%s has %d characters", name, len(name))
		}
	}
}

func TestHostsAreTheServiceOrTheSpecs(t *testing.T) {
	if got := BrokerHosts(aBroker().Object); !slices.Equal(got, []string{"mq-broker.shop.svc:61613"}) {
		t.Errorf("hosts of a managed broker %v", got)
	}
	external := &v1alpha1.VesperBroker{Spec: v1alpha1.VesperBrokerSpec{External: &v1alpha1.ExternalBrokerSpec{Hosts: []string{"b:2", "a:1"}}}}
	if got := BrokerHosts(external); !slices.Equal(got, []string{"b:2", "a:1"}) {
		t.Errorf("hosts of an external broker %v, want the spec's in their order", got)
	}
}
