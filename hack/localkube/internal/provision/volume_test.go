package provision

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

func TestWantedServesOnlyWaitingClaimsOfOurClassOnOurNode(t *testing.T) {
	now := metav1.Now()
	for name, c := range map[string]struct {
		change func(*corev1.PersistentVolumeClaim, *storagev1.StorageClass)
		want   bool
	}{
		"chosen for our node": {want: true},
		"immediate binding": {func(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) {
			class.VolumeBindingMode, claim.Annotations = ptr.To(storagev1.VolumeBindingImmediate), nil
		}, true},
		"no pod yet": {func(claim *corev1.PersistentVolumeClaim, _ *storagev1.StorageClass) { claim.Annotations = nil }, false},
		"another node": {func(claim *corev1.PersistentVolumeClaim, _ *storagev1.StorageClass) {
			claim.Annotations[selectedNode] = "b"
		}, false},
		"bound":      {func(claim *corev1.PersistentVolumeClaim, _ *storagev1.StorageClass) { claim.Spec.VolumeName = "v" }, false},
		"going away": {func(claim *corev1.PersistentVolumeClaim, _ *storagev1.StorageClass) { claim.DeletionTimestamp = &now }, false},
		"another's":  {func(_ *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) { class.Provisioner = "other" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			claim, class := testClaim(), testClass()
			if c.change != nil {
				c.change(claim, class)
			}
			if got, why := wanted(claim, class, "node-1"); got != c.want || got != (why == "") {
				t.Errorf("wanted = %v, %q", got, why)
			}
		})
	}
	if got, _ := wanted(testClaim(), nil, "node-1"); got {
		t.Error("a claim without a class is wanted")
	}
}

func TestRefusalNamesWhatCannotBeServed(t *testing.T) {
	for name, change := range map[string]func(*corev1.PersistentVolumeClaim){
		"selector":    func(c *corev1.PersistentVolumeClaim) { c.Spec.Selector = &metav1.LabelSelector{} },
		"block":       func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) },
		"data source": func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSource = &corev1.TypedLocalObjectReference{} },
		"clone":       func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSourceRef = &corev1.TypedObjectReference{} },
	} {
		claim := testClaim()
		change(claim)
		if refusal(claim) == "" {
			t.Errorf("%s is not refused", name)
		}
	}
	if why := refusal(testClaim()); why != "" {
		t.Errorf("a plain claim is refused: %s", why)
	}
}

func TestFateErasesOnlyVolumesNobodyClaims(t *testing.T) {
	now := metav1.Now()
	for name, c := range map[string]struct {
		change         func(*corev1.PersistentVolume)
		lives          bool
		erase, release bool
	}{
		"released":                     {change: func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased }, erase: true},
		"released, claim seen alive":   {change: func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeReleased }, lives: true},
		"bound":                        {change: func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }},
		"new":                          {change: func(*corev1.PersistentVolume) {}},
		"deleted under a living claim": {change: func(v *corev1.PersistentVolume) { v.DeletionTimestamp = &now }, lives: true},
		"deleted after its claim":      {change: func(v *corev1.PersistentVolume) { v.DeletionTimestamp = &now }, erase: true},
		"kept by its policy":           {change: func(v *corev1.PersistentVolume) { retain(v); v.Status.Phase = corev1.VolumeReleased }},
		"deleted but kept by policy":   {change: func(v *corev1.PersistentVolume) { retain(v); v.DeletionTimestamp = &now }, release: true},
		"another's":                    {change: func(v *corev1.PersistentVolume) { v.Annotations = nil; v.Status.Phase = corev1.VolumeReleased }},
		"ours by name but not local":   {change: func(v *corev1.PersistentVolume) { v.Spec.Local = nil; v.Status.Phase = corev1.VolumeReleased }},
	} {
		t.Run(name, func(t *testing.T) {
			volume := volumeFor(testClaim(), testClass(), "/root/pvc-1", "node-1")
			c.change(volume)
			if erase, release := fate(volume, c.lives); erase != c.erase || release != c.release {
				t.Errorf("fate = %v, %v; want %v, %v", erase, release, c.erase, c.release)
			}
		})
	}
}

func TestVolumeIsBoundToItsClaimAndNode(t *testing.T) {
	claim, class := testClaim(), testClass()
	v := volumeFor(claim, class, "/volumes/pvc-u1", "node-1")
	if v.Name != "pvc-u1" || v.Spec.Local.Path != "/volumes/pvc-u1" || v.Spec.ClaimRef.UID != claim.UID || v.Spec.StorageClassName != class.Name {
		t.Errorf("volume %+v", v)
	}
	if term := v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]; term.Key != corev1.LabelHostname || term.Values[0] != "node-1" {
		t.Errorf("affinity %+v", term)
	}
	if size := v.Spec.Capacity[corev1.ResourceStorage]; size.String() != "1Gi" {
		t.Errorf("capacity %s", size.String())
	}
	class.ReclaimPolicy = ptr.To(corev1.PersistentVolumeReclaimRetain)
	if v := volumeFor(claim, class, "/d", "n"); v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		t.Errorf("policy %s", v.Spec.PersistentVolumeReclaimPolicy)
	}
}

func TestDirectoriesOutsideOfTheRootAreLeftAlone(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	path, err := makeDirectory(root, "pvc-1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := makeDirectory(root, "pvc-1"); err != nil || again != path {
		t.Errorf("the second time: %q, %v", again, err)
	}
	if err := os.WriteFile(filepath.Join(path, "data"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{other, root, filepath.Join(root, ".."), filepath.Join(root, "a", "b"), "", "/"} {
		if err := removeDirectory(root, bad); err == nil {
			t.Errorf("removed %q", bad)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b"} {
		if _, err := makeDirectory(root, bad); err == nil {
			t.Errorf("made %q", bad)
		}
	}
	for range 2 {
		if err := removeDirectory(root, path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func retain(v *corev1.PersistentVolume) {
	v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
}

func testClaim() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{
			Name: "data", Namespace: "default", UID: types.UID("u1"), Annotations: map[string]string{selectedNode: "node-1"},
			CreationTimestamp: metav1.NewTime(time.Unix(0, 0)),
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: new("local"),
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func testClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: Name,
		VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
	}
}
