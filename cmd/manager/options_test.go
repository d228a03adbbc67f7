package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"vesperdb.io/vesper/controllers"
	"vesperdb.io/vesper/internal/version"
)

func TestWithoutFlagsEverythingHasADefaultThatWorks(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.nodeImage != "vesper/node:"+version.Version || o.brokerImage != controllers.DefaultBrokerImage {
		t.Errorf("images %s and %s", o.nodeImage, o.brokerImage)
	}
	if o.namespaceList() != nil || o.leaderElect {
		t.Errorf("namespaces %v, leader election %v; want all and none", o.namespaceList(), o.leaderElect)
	}
}

func TestNamespacesAreTakenApart(t *testing.T) {
	o, err := parse([]string{"--namespaces= shop,lab ,,"}, io.Discard)
	if err != nil || !slices.Equal(o.namespaceList(), []string{"shop", "lab"}) {
		t.Errorf("namespaces %v (%v), want shop and lab", o.namespaceList(), err)
	}
}

func TestWrongFlagsAreRefusedByName(t *testing.T) {
	cases := map[string]struct {
		args []string
		says []string
	}{
		"unknown flag":         {[]string{"--leader-elct"}, []string{"leader-elct"}},
		"an argument":          {[]string{"run"}, []string{`"run"`, "--"}},
		"namespace":            {[]string{"--namespaces=Shop"}, []string{"--namespaces", `"Shop"`}},
		"identity of all":      {[]string{"--leader-election-identity=$(POD_UID)"}, []string{"--leader-election-identity", "metadata.uid"}},
		"concurrency":          {[]string{"--concurrency=0"}, []string{"--concurrency", "1 and 64"}},
		"concurrency as text":  {[]string{"--concurrency=many"}, []string{"concurrency"}},
		"node image":           {[]string{"--default-node-image="}, []string{"--default-node-image"}},
		"broker image":         {[]string{"--default-broker-image=a b"}, []string{"--default-broker-image", `"a b"`}},
		"metrics address":      {[]string{"--metrics-bind-address=8080"}, []string{"--metrics-bind-address", ":8080"}},
		"probe address":        {[]string{"--health-probe-bind-address=x"}, []string{"--health-probe-bind-address"}},
		"lease below deadline": {[]string{"--leader-election-lease-duration=5s"}, []string{"--leader-election-lease-duration", "10s"}},
		"no retry":             {[]string{"--leader-election-retry-period=0s"}, []string{"retry"}},
		"no time to shut down": {[]string{"--shutdown-timeout=0s"}, []string{"--shutdown-timeout"}},
		"log level":            {[]string{"--log-level=loud"}, []string{"--log-level", "loud", "debug, info, warn or error"}},
		"log format":           {[]string{"--log-format=xml"}, []string{"--log-format", "json or text"}},
		"two at once":          {[]string{"--concurrency=99", "--log-format=xml"}, []string{"--concurrency", "--log-format"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse(c.args, io.Discard)
			if err == nil {
				t.Fatalf("%v was accepted", c.args)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: %q does not say %q", c.args, err, part)
				}
			}
		})
	}
}

// asProgram makes the test binary be the program itself.
const asProgram = "VESPER_MANAGER_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Each case is a process of its own: the program sets the loggers of the
// libraries, which other tests' goroutines use.
func TestExitCodes(t *testing.T) {
	cases := map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"version":    {[]string{"--version"}, exitOK, version.Version + "\n", ""},
		"help":       {[]string{"--help"}, exitOK, "", "-leader-elect"},
		"wrong flag": {[]string{"--nope"}, exitUsage, "", "vesper-manager: flag provided but not defined: -nope"},
		"wrong file": {[]string{"--kubeconfig=/does/not/exist", "--log-format=text"}, exitFailed, "", "/does/not/exist"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			program := exec.CommandContext(t.Context(), os.Args[0], c.args...)
			program.Env = append(os.Environ(), asProgram+"=1")
			program.Stdout, program.Stderr = &stdout, &stderr
			if err := program.Run(); program.ProcessState == nil {
				t.Fatalf("running the program: %v", err)
			}
			if code := program.ProcessState.ExitCode(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if c.stdout != stdout.String() || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("wrote %q and %q, want %q and %q in it", stdout.String(), stderr.String(), c.stdout, c.stderr)
			}
		})
	}
}

func TestHelpIsNotAnError(t *testing.T) {
	if _, err := parse([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("parse(-h) = %v, want flag.ErrHelp", err)
	}
}

func TestTheInstalledDeploymentsFlagsAreUnderstood(t *testing.T) {
	text, err := os.ReadFile("../../config/manager/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Args []string
						Env  []struct{ Name string }
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &deployment); err != nil {
		t.Fatal(err)
	}
	manager := deployment.Spec.Template.Spec.Containers[0]
	args := manager.Args
	for i := range args {
		for _, variable := range manager.Env { // as a kubelet does
			args[i] = strings.ReplaceAll(args[i], "$("+variable.Name+")", "value")
		}
	}
	o, err := parse(args, io.Discard)
	if err != nil || !o.leaderElect {
		t.Errorf("args %v: leader election %v, %v", args, o, err)
	}
}

func TestLevelsAndFormatsOfTheLog(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		logger, err := newLogger(&out, "warn", format)
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("Quiet")
		logger.Warn("Loud", "key", "value")
		if text := out.String(); strings.Contains(text, "Quiet") || !strings.Contains(text, "Loud") || strings.HasPrefix(text, "{") != (format == "json") {
			t.Errorf("%s wrote %q", format, text)
		}
	}
}
