// SPDX-License-Identifier: Apache-2.0

package live

import (
	"testing"
)

// Scenarios with fewer privileges: there are fewer findings, and each blind spot is
// listed with its fix.

// nobody is the unprivileged user that every Linux has.
const nobody = "65534"

func unprivileged(t *testing.T, l *lab) {
	setpriv := need(t, "setpriv")
	app := l.node(t, nil)
	httpLoad(t, app.url("/burn?ms=200"), faultyRate).waitAnswers(t, 2)
	r := l.diagnose(t, []string{setpriv, "--reuid", nobody, "--regid", nobody, "--clear-groups", "--"},
		"--duration", observeFor.String())
	r.curedGaps(t)
	r.skips(t, blockedLoop)
	r.checks(t, "host-saturated")
	r.nothingElse(t)
}

// bpfDenied drops the capabilities for eBPF and keeps all others: a throttled
// container and a listener that drops connections must still be found.
func bpfDenied(t *testing.T, l *lab) {
	setpriv := need(t, "setpriv")
	c := l.runNode(t, tightLimit)
	httpLoad(t, c.url("/burn?ms=30"), 8).waitAnswers(t, 3)
	app := l.burstsInto(t)
	without := "-bpf,-perfmon,-sys_admin"
	r := l.diagnose(t, []string{setpriv, "--bounding-set=" + without, "--inh-caps=" + without, "--"},
		"--duration", observeFor.String(), "--save", l.recording(l.scenario))
	r.curedGaps(t)
	r.skips(t, blockedLoop)
	r.find(t, throttledContainer, "limit-too-low", inContainer(c.id)).recommends(t, "raise-cpu-limit")
	r.find(t, acceptQueue, "backlog-too-small", pid(app.pid)).recommends(t, "raise-backlog").quantity(t, 6, 400)
	r.nothingElse(t, about(throttledContainer, inContainer(c.id)), about(acceptQueue, pid(app.pid)))
}

// curedGaps checks that blind spots are listed, each with a fix.
func (r *report) curedGaps(t *testing.T) {
	t.Helper()
	if len(r.Gaps) == 0 {
		t.Error("no gap is listed")
	}
	for _, g := range r.Gaps {
		if g.Source == "" || g.Reason == "" || g.Cure == "" {
			t.Errorf("a gap lacks its source, reason or fix: %+v", g)
		}
	}
}

// skips fails the test unless an analyzer is listed as skipped.
func (r *report) skips(t *testing.T, id string) {
	t.Helper()
	for _, s := range r.Skipped {
		if s.ID == id {
			if s.Reason == "" {
				t.Errorf("%s is skipped without a reason", id)
			}
			return
		}
	}
	t.Errorf("%s is not among what was skipped: %+v", id, r.Skipped)
}

// checks fails the test unless an analyzer is listed as run.
func (r *report) checks(t *testing.T, id string) {
	t.Helper()
	for _, c := range r.Checked {
		if c.ID == id {
			return
		}
	}
	t.Errorf("%s is not among what was checked: %+v", id, r.Checked)
}
