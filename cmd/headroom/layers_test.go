// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/headroom-project/headroom/"

// A layer lists what one kind of package may import. Patterns are for path.Match on the
// part of the path after the module; a third-party import matches by prefix. The first
// layer that matches a package applies.
type layer struct {
	packages   string
	ours       []string
	thirdParty []string
}

// layers is the import table of docs/architecture.md. It defines the architecture:
// adding an import is a design decision.
var layers = []layer{
	{"agent/observe", nil, nil},
	{"agent/catalog", []string{"agent/observe"}, nil},
	{"agent/cgroupwalk", nil, []string{"golang.org/x/sys"}},
	{"agent/printable", nil, nil},
	{"agent/missratio", []string{"agent/observe"}, nil},
	{"agent/patience", []string{"agent/observe"}, []string{"golang.org/x/sys"}},
	{"agent/refusal", nil, []string{"golang.org/x/sys"}},
	{"agent/procread", nil, []string{"github.com/elastic/go-seccomp-bpf/arch", "github.com/prometheus/procfs"}},
	{"agent/symbols/*", []string{"agent/symbols/dynamic"}, []string{"github.com/prometheus/procfs"}},
	{"agent/sampler", []string{"agent/observe", "agent/patience", "agent/refusal"}, []string{"golang.org/x/sys"}},
	{"agent/sampler/all", []string{"agent/sampler", "agent/sampler/*"}, nil},
	{"agent/sampler/queue", []string{"agent/observe", "agent/catalog", "agent/place", "agent/procread", "agent/sampler", "agent/sampler/queue/*"}, []string{"github.com/vishvananda/netlink", "golang.org/x/sys"}},
	{"agent/sampler/redis", []string{"agent/observe", "agent/catalog", "agent/place", "agent/sampler"}, []string{"github.com/prometheus/procfs"}},
	{"agent/sampler/*", []string{"agent/observe", "agent/catalog", "agent/cgroupwalk", "agent/missratio", "agent/patience", "agent/procread", "agent/refusal", "agent/sampler", "agent/symbols/*", "bpf/*"},
		[]string{"github.com/prometheus/procfs", "github.com/vishvananda/netlink", "golang.org/x/sys"}},
	{"agent/sampler/queue/broker", []string{"agent/place", "agent/sampler"}, nil},
	{"agent/sampler/queue/*", []string{"agent/place", "agent/sampler", "agent/sampler/queue/broker"},
		[]string{"github.com/prometheus/client_model", "github.com/prometheus/common/expfmt", "github.com/prometheus/common/model", "github.com/redis/go-redis"}},
	{"agent/place", []string{"agent/procread", "agent/sampler"}, nil},
	{"agent/view", []string{"agent/observe", "agent/refusal", "bpf/self"}, []string{"golang.org/x/sys", "github.com/prometheus/procfs"}},
	{"agent/cmdline", []string{"agent/observe", "agent/printable"}, []string{"golang.org/x/sys"}},
	{"agent/identity", []string{"agent/observe", "agent/catalog", "agent/cgroupwalk", "agent/cmdline", "agent/patience", "agent/printable", "agent/sampler"}, []string{"golang.org/x/sys", "github.com/prometheus/procfs"}},
	{"agent/archive", []string{"agent/observe", "agent/catalog"}, []string{"github.com/klauspost/compress"}},
	{"agent/history", []string{"agent/observe", "agent/catalog"}, []string{"github.com/prometheus/prometheus/tsdb/chunkenc"}},
	{"agent/files", nil, []string{"golang.org/x/sys"}},
	{"agent/store", []string{"agent/files"}, []string{"golang.org/x/sys"}},
	{"agent/kube", []string{"agent/catalog", "agent/sampler"}, []string{"k8s.io/client-go", "k8s.io/apimachinery", "github.com/go-logr/logr"}},
	{"agent/otlp", []string{"agent/files"}, []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/sdk/resource", "go.opentelemetry.io/otel/semconv", "github.com/google/uuid"}},
	{"agent/budget", nil, nil},
	{"agent/config", []string{"agent/files"}, []string{"go.yaml.in/yaml/v3", "golang.org/x/net/http/httpguts"}},
	{"agent/run", []string{"agent/observe", "agent/sampler"}, []string{"golang.org/x/sys"}},
	{"bpf/support", []string{"agent/refusal"}, []string{"github.com/cilium/ebpf", "golang.org/x/sys"}},
	{"bpf/*", []string{"bpf/support"}, []string{"github.com/cilium/ebpf", "golang.org/x/sys"}},
	{"agent/ledger", []string{"agent/observe", "agent/catalog"}, nil},
	{"agent/serve", nil, []string{"golang.org/x/sys", "golang.org/x/time/rate"}},
	{"agent/export/self", []string{"agent/run", "agent/serve"}, []string{"github.com/prometheus"}},
	{"agent/export/prom", []string{"agent/observe", "agent/catalog", "agent/ledger"}, []string{"github.com/prometheus"}},
	{"agent/export/services", []string{"agent/observe", "agent/catalog", "agent/ledger"}, nil},
	{"agent/export/otlp", []string{"agent/observe", "agent/ledger", "agent/otlp"}, []string{"github.com/prometheus/client_golang/prometheus", "go.opentelemetry.io/contrib/bridges/prometheus", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters/otlp/otlpmetric"}},
	{"analyzers/capacity", nil, []string{"gonum.org/v1/gonum"}},
	{"analyzers/analysis", []string{"agent/observe", "agent/catalog"}, nil},
	{"analyzers/facts", []string{"agent/observe", "agent/catalog", "analyzers/analysis", "analyzers/capacity"}, []string{"gonum.org/v1/gonum"}},
	{"analyzers/analysistest", []string{"agent/observe", "agent/catalog", "agent/archive", "agent/history", "analyzers/analysis"}, []string{"github.com/google/go-cmp", "golang.org/x/tools/txtar"}},
	{"analyzers/analysistest/*", []string{"agent/observe", "agent/catalog", "agent/archive", "analyzers/analysis", "analyzers/analysistest", "analyzers/suite"}, []string{"golang.org/x/tools/txtar"}},
	{"analyzers/suite", []string{"analyzers/*"}, nil},
	{"analyzers/state", []string{"agent/observe", "analyzers/analysis"}, nil},
	{"analyzers/publish", []string{"analyzers/report", "analyzers/state"}, nil},
	{"analyzers/publish/past", []string{"analyzers/publish", "analyzers/report", "analyzers/state"}, nil},
	{"analyzers/publish/web", []string{"agent/export/services", "analyzers/analysis", "analyzers/publish/past", "analyzers/report", "analyzers/report/render", "analyzers/state"}, nil},
	{"analyzers/publish/otlp", []string{"agent/catalog", "agent/otlp", "analyzers/analysis", "analyzers/publish", "analyzers/report", "analyzers/state"}, []string{"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/semconv", "go.opentelemetry.io/otel/exporters/otlp/otlplog"}},
	{"analyzers/publish/kube", []string{"agent/catalog", "agent/printable", "analyzers/analysis", "analyzers/publish", "analyzers/report", "analyzers/state"}, []string{"k8s.io/client-go/rest", "k8s.io/apimachinery", "golang.org/x/time/rate"}},
	{"analyzers/report/chart", []string{"agent/observe"}, nil},
	{"analyzers/report/schema", nil, nil},
	{"analyzers/report", []string{"agent/observe", "agent/catalog", "analyzers/analysis"}, nil},
	{"analyzers/report/render", []string{"agent/observe", "agent/catalog", "agent/printable", "analyzers/analysis", "analyzers/report", "analyzers/report/chart"}, nil},
	{"analyzers/report/reporttest", []string{"agent/observe", "agent/catalog", "analyzers/analysis"}, []string{"github.com/google/go-cmp"}},
	{"analyzers/publish/prom", []string{"agent/catalog", "analyzers/report", "analyzers/state"}, []string{"github.com/prometheus/client_golang"}},
	{"analyzers/*", []string{"agent/observe", "agent/catalog", "analyzers/analysis", "analyzers/capacity", "analyzers/facts"}, []string{"gonum.org/v1/gonum"}},
	{"deploy", nil, nil}, // only tests
	{"scripts/notices", nil, nil},
	{"deploy/image", nil, []string{"github.com/google/go-containerregistry", "golang.org/x/crypto/x509roots/fallback"}},
	{"dashboards", []string{"agent/observe", "agent/catalog", "agent/ledger", "agent/export/prom", "agent/export/self", "analyzers/analysis", "analyzers/publish/prom", "analyzers/suite"}, nil},
	{"dashboards/generate", []string{"dashboards"}, nil},
	{"cmd/headroom/internal/host", []string{"agent/observe", "agent/sampler", "agent/sampler/all", "agent/identity", "agent/patience", "agent/refusal", "agent/view", "bpf/*"}, []string{"github.com/cilium/ebpf/btf", "github.com/prometheus/procfs", "golang.org/x/sys"}},
	{"cmd/headroom/internal/lookup", []string{"agent/observe", "analyzers/analysis", "analyzers/suite"}, nil},
	{"cmd/headroom/internal/scope", []string{"agent/observe", "agent/catalog", "analyzers/analysis", "cmd/headroom/internal/host"}, []string{"github.com/prometheus/procfs"}},
	{"cmd/headroom/internal/diagnosis", []string{"agent/observe", "agent/archive", "agent/identity", "agent/run", "agent/sampler", "analyzers/analysis", "analyzers/suite", "cmd/headroom/internal/host", "cmd/headroom/internal/scope"}, nil},
	{"cmd/headroom/internal/docs", []string{"agent/observe", "agent/catalog", "analyzers/analysis", "analyzers/report/render", "analyzers/report/schema", "analyzers/suite", "cmd/headroom/internal/host", "cmd/headroom/internal/lookup"}, []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}},
	{"cmd/headroom/internal/recording", []string{"agent/observe", "agent/archive", "agent/files", "cmd/headroom/internal/host"}, nil},
	{"cmd/headroom/internal/checkup", []string{"agent/observe", "agent/run", "agent/sampler", "analyzers/analysis", "analyzers/suite", "cmd/headroom/internal/host", "cmd/headroom/internal/lookup"}, nil},
	{"cmd/headroom/internal/rules", []string{"agent/observe", "agent/catalog", "agent/config", "agent/otlp", "agent/sampler", "analyzers/analysis", "analyzers/report", "analyzers/suite", "cmd/headroom/internal/host", "cmd/headroom/internal/lookup"}, nil},
	{"cmd/headroom/internal/keeper", []string{"agent/export/self", "agent/files", "agent/history", "agent/observe", "agent/store", "analyzers/publish/past", "analyzers/report", "analyzers/state"}, []string{"github.com/prometheus/client_golang/prometheus"}},
	{"cmd/headroom/internal/membudget", []string{"agent/budget", "agent/export/self", "agent/history", "agent/observe", "agent/sampler"}, []string{"github.com/KimMachineGun/automemlimit/memlimit"}},
	{"cmd/headroom/internal/cluster", []string{"agent/export/self", "agent/kube", "agent/sampler", "analyzers/publish", "analyzers/publish/kube"}, []string{"github.com/prometheus/client_golang/prometheus", "k8s.io/client-go/rest"}},
	{"cmd/headroom/internal/otlpexport", []string{"agent/config", "agent/export/otlp", "agent/export/self", "agent/ledger", "agent/otlp", "analyzers/publish", "analyzers/publish/otlp"}, []string{"github.com/prometheus/client_golang/prometheus", "go.opentelemetry.io/otel", "github.com/go-logr/logr"}},
	{"cmd/headroom/internal/daemon", []string{"agent/catalog", "agent/export/*", "agent/files", "agent/history", "agent/ledger", "agent/observe", "agent/run", "agent/sampler", "agent/serve", "bpf/support", "analyzers/*", "analyzers/publish/*", "cmd/headroom/internal/*"}, []string{"github.com/prometheus/client_golang", "github.com/prometheus/common/expfmt", "github.com/prometheus/exporter-toolkit", "github.com/prometheus/procfs", "github.com/coreos/go-systemd/v22", "golang.org/x/sys"}},
	{"cmd/*", []string{"agent/observe", "agent/catalog", "analyzers/analysis", "analyzers/report", "analyzers/report/render", "analyzers/suite", "cmd/headroom/internal/*"}, []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term"}},
	{"examples/*", nil, nil}, // only tests
	{"examples/*/*", []string{"examples/*/*"}, []string{"golang.org/x/sys"}},
	{"internal/testutil/*", []string{"agent/observe", "agent/catalog", "internal/testutil/*"}, []string{"github.com/containerd/cgroups/v3", "github.com/opencontainers/runtime-spec/specs-go", "golang.org/x/sys"}},
	{"lab/*", []string{"*", "*/*", "*/*/*"}, []string{""}},
}

// testsMayImport lists third-party packages that only the product's tests import. All
// of them are in the product's go.mod. Large dependencies, such as a browser driver,
// belong in the lab's module.
var testsMayImport = []string{
	"github.com/containerd/cgroups/v3", "github.com/elastic/go-seccomp-bpf", "github.com/opencontainers/runtime-spec/specs-go",
	"github.com/google/go-cmp", "github.com/rogpeppe/go-internal/testscript", "github.com/santhosh-tekuri/jsonschema/v6",
	"github.com/prometheus/prometheus/promql/parser", "go.opentelemetry.io/proto/otlp", "golang.org/x/net/http2",
	"golang.org/x/tools/txtar", "google.golang.org/protobuf", "pgregory.net/rapid",
}

// otherModules lists the directories whose packages are not in the product's go.mod.
var otherModules = []string{"lab/", "deploy/image"}

type goPackage struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
}

// TestImportTable checks every import of every package, as listed by go list, against
// the table. Tests may import more, because they are not part of the product.
func TestImportTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		seen[name] = true
		l, ok := layerOf(name)
		if !ok {
			t.Errorf("%s is in no layer: add a row to the table and say why in docs/architecture.md", name)
			continue
		}
		for _, imported := range p.Imports {
			if !l.allows(imported) {
				t.Errorf("%s may not import %s", name, imported)
			}
		}
	}
	for _, name := range []string{"cmd/headroom", "deploy/image", "lab/live"} {
		if !seen[name] {
			t.Errorf("go list does not name %s: it did not look at all modules", name)
		}
	}
}

// TestTestsAreLight checks that tests of the product import only what packages of the
// product may import, and testsMayImport.
func TestTestsAreLight(t *testing.T) {
	allowed := layer{thirdParty: testsMayImport}
	for _, l := range layers {
		if !inOtherModule(l.packages) {
			allowed.thirdParty = append(allowed.thirdParty, l.thirdParty...)
		}
	}
	for _, p := range listPackages(t) {
		if name := strings.TrimPrefix(p.ImportPath, module); inOtherModule(name) {
			continue
		}
		for _, imported := range append(p.TestImports, p.XTestImports...) {
			if !strings.HasPrefix(imported, module) && !allowed.allows(imported) {
				t.Errorf("tests of %s import %s, which testsMayImport does not have", p.ImportPath, imported)
			}
		}
	}
}

func inOtherModule(name string) bool {
	return slices.ContainsFunc(otherModules, func(folder string) bool { return strings.HasPrefix(name, folder) })
}

// TestAnalyzersArePure checks that analyzers have no clock, no files, no network and no
// logger, on any path of their own imports.
func TestAnalyzersArePure(t *testing.T) {
	forbidden := []string{"os", "os/exec", "net", "net/http", "log", "log/slog", "time", "math/rand", "math/rand/v2", "syscall"}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		l, ok := layerOf(name)
		if !ok || l.packages != "analyzers/*" {
			continue
		}
		for _, imported := range p.Imports {
			for _, f := range forbidden {
				if imported == f {
					t.Errorf("%s imports %s: an analyzer is a function of its Pass", name, imported)
				}
			}
		}
	}
}

func layerOf(name string) (layer, bool) {
	for _, l := range layers {
		if ok, _ := path.Match(l.packages, name); ok {
			return l, true
		}
	}
	return layer{}, false
}

func (l layer) allows(imported string) bool {
	if ours, ok := strings.CutPrefix(imported, module); ok {
		for _, pattern := range l.ours {
			if ok, _ := path.Match(pattern, ours); ok {
				return true
			}
		}
		return false
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return true // standard library
	}
	for _, prefix := range l.thirdParty {
		if strings.HasPrefix(imported, prefix) {
			return true
		}
	}
	return false
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(goList(t))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// goList returns the packages of all modules in the repository. Dependencies of the
// other modules may be absent and are not downloaded: tests of the product do not need
// them.
func goList(t *testing.T) []byte {
	t.Helper()
	list := exec.Command("../../scripts/modules.sh", "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Standard", "./...")
	list.Env = append(os.Environ(), "GOPROXY=off")
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	return out
}
