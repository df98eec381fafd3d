// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/headroom-project/headroom/internal/testutil/outside"
)

const (
	observeFor = 10 * time.Second
	// overhead is how much longer than its window a command may take: it loads the eBPF
	// programs and reads every process once, possibly on a busy machine.
	overhead = 20 * time.Second
)

// observe runs headroom to observe the whole host for ten seconds.
func (l *lab) observe(t *testing.T) *report {
	t.Helper()
	if l.seat != nil {
		return l.observeTogether(t)
	}
	return l.observeAs(t, "")
}

// observeAs is like observe, with a name for the second or third observation of a
// scenario.
func (l *lab) observeAs(t *testing.T, part string) *report {
	t.Helper()
	name := l.scenario
	if part != "" {
		name += "-" + part
	}
	file := l.recording(name)
	r := l.diagnose(t, nil, "--duration", observeFor.String(), "--save", file)
	if s := r.Window.Seconds; s < 0.9*observeFor.Seconds() || s > 1.2*observeFor.Seconds() {
		t.Errorf("the window is %.1f s, want %v", s, observeFor)
	}
	*l.observed = append(*l.observed, observation{name, file, r})
	return r
}

func (l *lab) recording(name string) string {
	if l.keep != "" {
		return filepath.Join(l.keep, name+".hr")
	}
	return filepath.Join(l.dir, name+".hr")
}

// diagnose runs headroom diagnose, which must succeed, and reads its report. A
// wrapper is a command that runs it with fewer privileges.
func (l *lab) diagnose(t *testing.T, wrapper []string, args ...string) *report {
	t.Helper()
	args = append([]string{l.headroom, "diagnose", "-o", "json"}, args...)
	began, busy, stolen := time.Now(), hostBusy(t), hostStolen(t)
	stdout, stderr, code := command(t, append(wrapper[:len(wrapper):len(wrapper)], args...)...)
	if code != 0 {
		t.Fatalf("%s: exit %d\n%s", strings.Join(args, " "), code, stderr)
	}
	r, err := parseReport(stdout)
	outside.Must(t, err)
	r.began, r.ended = began, time.Now()
	seconds := r.ended.Sub(began).Seconds()
	used := (hostBusy(t) - busy) / seconds
	r.stolen = stolenSince(t, stolen, began)
	t.Logf("verdict %s over %.1f s, %.2f cores busy, %.0f%% stolen\n%s", r.Verdict, r.Window.Seconds, used, 100*r.stolen, r)
	return r
}

// command runs a program to its end and returns its output and its exit status.
func command(t *testing.T, args ...string) (stdout, stderr []byte, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), observeFor+overhead)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s did not end within %v\n%s", strings.Join(args, " "), observeFor+overhead, &errs)
	}
	code = exitCode(err)
	if code < 0 {
		t.Fatal(fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, &errs))
	}
	return out.Bytes(), errs.Bytes(), code
}
