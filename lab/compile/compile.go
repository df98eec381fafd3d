// SPDX-License-Identifier: Apache-2.0

// Package compile builds what tests of the lab run. Each program is built in its
// own module, so that it is linked with the versions of that go.mod.
package compile

import (
	"os"
	"os/exec"
	"testing"
)

// Modules, as seen from the folder of a package of the lab.
const (
	Product = "../.."
	Lab     = ".."
)

// Program builds a command, such as ./cmd/headroom of Product, statically as it
// ships. The path of out is absolute.
func Program(t testing.TB, module, pkg, out string) {
	t.Helper()
	compile(t, "build", "-C", module, "-trimpath", "-o", out, pkg)
}

// Tests builds the test binary of a package of the product.
func Tests(t testing.TB, pkg, out string) {
	t.Helper()
	compile(t, "test", "-C", Product, "-c", "-o", out, pkg)
}

func compile(t testing.TB, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, output)
	}
}
