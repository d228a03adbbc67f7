package provision

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts a controller on a fake API server that holds objects, and stops it with the test.
func run(t *testing.T, objects ...runtime.Object) (*fake.Clientset, *record.FakeRecorder, string) {
	t.Helper()
	client, events, root := fake.NewClientset(objects...), record.NewFakeRecorder(100), t.TempDir()
	c := Controller{Client: client, Root: root, Node: "node-1", Events: events, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return client, events, root
}

func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func TestClaimGetsAVolumeAndItsDeletionRemovesTheData(t *testing.T) {
	client, _, root := run(t, testClass(), testClaim())
	ctx := t.Context()
	volumes := client.CoreV1().PersistentVolumes()
	var volume *corev1.PersistentVolume
	eventually(t, "a volume", func() (err error) {
		volume, err = volumes.Get(ctx, "pvc-u1", metav1.GetOptions{})
		return err
	})
	data := filepath.Join(root, "pvc-u1", "data")
	if err := os.WriteFile(data, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	// the control plane sees the claim go and releases the volume
	if err := client.CoreV1().PersistentVolumeClaims("default").Delete(ctx, "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	volume.Status.Phase = corev1.VolumeReleased
	if _, err := volumes.UpdateStatus(ctx, volume, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no volume", func() error {
		if _, err := volumes.Get(ctx, "pvc-u1", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errors.New("it is still there")
		}
		return nil
	})
	if _, err := os.Stat(filepath.Dir(data)); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestLateClassServesItsWaitingClaims(t *testing.T) {
	client, _, _ := run(t, testClaim())
	ctx := t.Context()
	if _, err := client.StorageV1().StorageClasses().Create(ctx, testClass(), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a volume", func() error {
		_, err := client.CoreV1().PersistentVolumes().Get(ctx, "pvc-u1", metav1.GetOptions{})
		return err
	})
}

func TestUnservableClaimIsToldWhy(t *testing.T) {
	claim := testClaim()
	claim.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock)
	client, events, _ := run(t, testClass(), claim)
	select {
	case e := <-events.Events:
		if !strings.Contains(e, "ProvisioningFailed") || !strings.Contains(e, "Block") {
			t.Errorf("event %q", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
	if list, err := client.CoreV1().PersistentVolumes().List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 0 {
		t.Errorf("volumes %v, %v", list.Items, err)
	}
}

func TestGrowingClaimIsGranted(t *testing.T) {
	claim := testClaim()
	volume := volumeFor(claim, testClass(), "/d", "node-1")
	claim.Spec.VolumeName = volume.Name
	claim.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, Capacity: volume.Spec.Capacity}
	volume.Status.Phase = corev1.VolumeBound
	client, _, _ := run(t, testClass(), claim, volume)
	ctx := t.Context()
	bigger := claim.DeepCopy()
	bigger.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("3Gi")}
	if _, err := client.CoreV1().PersistentVolumeClaims("default").Update(ctx, bigger, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "3Gi in claim and volume", func() error {
		c, err := client.CoreV1().PersistentVolumeClaims("default").Get(ctx, "data", metav1.GetOptions{})
		if err != nil {
			return err
		}
		v, err := client.CoreV1().PersistentVolumes().Get(ctx, volume.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		inClaim, inVolume := c.Status.Capacity[corev1.ResourceStorage], v.Spec.Capacity[corev1.ResourceStorage]
		if inClaim.String() != "3Gi" || inVolume.String() != "3Gi" {
			return errors.New(inClaim.String() + " and " + inVolume.String())
		}
		return nil
	})
}

func TestKeptVolumeIsReleasedButItsDataStays(t *testing.T) {
	claim := testClaim()
	volume := volumeFor(claim, testClass(), "", "node-1")
	retain(volume)
	volume.Finalizers = append(volume.Finalizers, "kubernetes.io/pv-protection")
	volume.DeletionTimestamp = new(metav1.Now())
	volume.Status.Phase = corev1.VolumeReleased
	volume.Spec.Local.Path = filepath.Join(t.TempDir(), "pvc-u1")
	if err := os.Mkdir(volume.Spec.Local.Path, 0o755); err != nil {
		t.Fatal(err)
	}
	client, _, _ := run(t, testClass(), volume)
	eventually(t, "our finalizer off", func() error {
		v, err := client.CoreV1().PersistentVolumes().Get(t.Context(), volume.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(v.Finalizers) != 1 {
			return errors.New(strings.Join(v.Finalizers, " "))
		}
		return nil
	})
	if _, err := os.Stat(volume.Spec.Local.Path); err != nil {
		t.Errorf("its directory: %v", err)
	}
}

func TestServeNamesABrokenKubeconfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := Serve(t.Context(), file, t.TempDir(), "node-1", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error = %v", err)
	}
}
