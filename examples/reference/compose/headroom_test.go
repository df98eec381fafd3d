// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

type gap struct{ Source, Reason string }

// TestCapabilities checks that headroom observes the same with the capabilities, the
// mounts and the read-only root of compose.yaml as with all privileges of root.
func TestCapabilities(t *testing.T) {
	s := readProject(t).Services["headroom"]
	if !slices.Equal(s.CapDrop, []string{"ALL"}) {
		t.Errorf("headroom drops %v, want ALL", s.CapDrop)
	}
	// Processes of other users need the most privileges.
	other := exec.Command("/usr/bin/node", "--eval", "setInterval(() => {}, 100)")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()         //nolint:errcheck // it was killed
	defer other.Process.Kill() //nolint:errcheck // it may have exited
	all := s
	all.CapAdd = nil
	few, want := gapsOf(t, s), gapsOf(t, all)
	for _, g := range few {
		if !slices.Contains(want, g) {
			t.Errorf("with %v headroom lacks %s: %s", s.CapAdd, g.Source, g.Reason)
		}
	}
	// And each capability is needed.
	for _, without := range s.CapAdd {
		fewer := s
		fewer.CapAdd = slices.DeleteFunc(slices.Clone(s.CapAdd), func(c string) bool { return c == without })
		if got := gapsOf(t, fewer); len(got) <= len(few) {
			t.Errorf("without %s headroom has the gaps %v, and with it %v: is it needed?", without, got, few)
		}
	}
}

// gapsOf returns the blind spots of headroom in a container of that service.
func gapsOf(t *testing.T, s service) []gap {
	t.Helper()
	c := &container{service: s, name: "headroom-" + strings.Join(s.CapAdd, "-"), log: work(t) + "/capabilities.log"}
	if _, err := c.prepare(work(t)); err != nil {
		t.Fatal(err)
	}
	defer c.root.unmount()
	cmd, err := c.program([]string{"/headroom", "diagnose", "--duration", "2s", "--output", "json"})
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd.Stdout = &output
	runErr := cmd.Run() // its exit status depends on the findings
	var answer struct{ Gaps []gap }
	if err := json.Unmarshal(output.Bytes(), &answer); err != nil {
		t.Fatalf("headroom diagnose: %v, %v\n%s", runErr, err, tail(c.log))
	}
	// The gap of garbage collection comes with a finding about an event loop of the
	// host, not with a lack of privileges.
	return slices.DeleteFunc(answer.Gaps, func(g gap) bool { return g.Source == "gc" })
}

// TestDaemonSet checks that headroom has the same capabilities on Kubernetes.
func TestDaemonSet(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`add: \[(.*)\]`).FindSubmatch(text)
	if found == nil {
		t.Fatal("the DaemonSet adds no capabilities")
	}
	got, want := strings.Split(string(found[1]), ", "), readProject(t).Services["headroom"].CapAdd
	if !slices.Equal(got, want) {
		t.Errorf("the DaemonSet adds %v, compose.yaml %v", got, want)
	}
}
