// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headroom-project/headroom/internal/testutil/hungfs"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(asksMarked); address != "" {
		askForMarked(address)
		return
	}
	if os.Getenv(holdsFiles) != "" {
		holdFiles()
		return
	}
	hungfs.Main()
	testscript.Main(m, map[string]func(){"headroom": main, "filtered": filtered})
}

// TestScripts runs the command line as a user does. The scripts that observe this host
// work with whatever it allows.
func TestScripts(t *testing.T) {
	recorded, err := os.ReadFile(filepath.Join("testdata", "burn.hr"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "lines": lines},
		Setup: func(env *testscript.Env) error {
			return os.WriteFile(env.Cd+"/burn.hr", recorded, 0o644)
		},
	})
}

// status runs a command and compares its exit status: status 2 headroom …
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	got := 0
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

// lines counts the lines of stdout or stderr: lines stderr 1.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if got := strconv.Itoa(strings.Count(ts.ReadFile(args[0]), "\n")); got != args[1] {
		ts.Fatalf("%s has %s lines, want %s", args[0], got, args[1])
	}
}
