// SPDX-License-Identifier: Apache-2.0

package kubenode

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// run returns the output of a command, or an error with its error output.
func run(name string, args ...string) (string, error) { return runWith("", name, args...) }

func runWith(input, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// until waits until a condition holds, and returns how long that took.
func until(t *testing.T, what string, patience time.Duration, so func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > patience {
			t.Fatalf("after %v this still does not hold: %s", patience, what)
		}
		time.Sleep(500 * time.Millisecond)
	}
	took := time.Since(began).Round(100 * time.Millisecond)
	t.Logf("%s: after %v", what, took)
	return took
}
