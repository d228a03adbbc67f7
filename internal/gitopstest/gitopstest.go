// Package gitopstest judges objects as Argo CD, Flux and Helm do: with the health
// script of config/argocd, and with kstatus.
package gitopstest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// Argo returns the health that Argo CD shows, and its message.
func Argo(t testing.TB, object any) (health, message string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	script, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "config", "argocd", "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	return ArgoScript(t, string(script), object)
}

// ArgoScript is Argo with a script of its own. It runs as Argo CD runs it: with
// obj, and none of Lua's libraries that reach outside.
func ArgoScript(t testing.TB, script string, object any) (health, message string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatalf("opening Lua's library %s: %v", name, err)
		}
	}
	state.SetGlobal("obj", toLua(state, plain(t, object)))
	if err := state.DoString(script); err != nil {
		t.Fatalf("running the health script: %v", err)
	}
	answer, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the health script returned %s", state.Get(-1))
	}
	return lua.LVAsString(answer.RawGetString("status")), lua.LVAsString(answer.RawGetString("message"))
}

// Flux returns the status that Flux, Helm and kubectl's kin compute.
func Flux(t testing.TB, object any) string {
	t.Helper()
	result, err := status.Compute(&unstructured.Unstructured{Object: plain(t, object)})
	if err != nil {
		t.Fatalf("computing the status: %v", err)
	}
	return string(result.Status)
}

// plain is an object as the API server sends it.
func plain(t testing.TB, object any) map[string]any {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if out["kind"] != nil {
		if err := u.UnmarshalJSON(text); err != nil {
			t.Fatal(err)
		}
		return u.Object
	}
	return out
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case string:
		return lua.LString(value)
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	}
	return lua.LNil
}
