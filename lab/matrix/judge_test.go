// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/headroom-project/headroom/lab/contract"
)

// serverPID is the process that the reports below are about.
const serverPID = 4242

func isServer(s contract.Subject) bool { return s.PID == serverPID }

func found(severity, id, cause, verb string, pid int) contract.Finding {
	f := contract.Finding{ID: id, Cause: cause, Severity: severity, Subject: contract.Subject{Kind: "process", PID: pid}}
	if verb != "" {
		f.Recommendations = []contract.Recommendation{{Verb: verb}}
	}
	return f
}

func TestJudge(t *testing.T) {
	burn := answer{id: blockedLoop, causes: []string{"on-cpu"}, verbs: cpuVerbs, severity: "warning"}
	hang := burn
	hang.severity = "critical"
	const move = "move-to-worker-threads"
	folded := found("warning", blockedLoop, "on-cpu", move, serverPID)
	folded.SymptomOf = &contract.Reference{ID: runQueue, Cause: "noisy-neighbour"}

	for _, test := range []struct {
		name     string
		want     answer
		findings []contract.Finding
		gap      string
		stolen   float64
		others   float64
		outcome  outcome
		wrong    int // false warnings
	}{
		{name: "right", want: burn, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", move, serverPID)}, outcome: right},
		{name: "wrong fix", want: burn, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", "add-nodes", serverPID)}, outcome: wrongFix},
		{name: "no fix", want: burn, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", "", serverPID)}, outcome: wrongFix},
		{name: "wrong cause", want: burn, findings: []contract.Finding{found("warning", blockedLoop, "page-fault", move, serverPID)}, outcome: wrongCause},
		{name: "folded under another finding", want: burn, findings: []contract.Finding{folded}, outcome: wrongCause},
		{name: "info", want: burn, findings: []contract.Finding{found("info", blockedLoop, "on-cpu", move, serverPID)}, outcome: tooMild},
		{name: "warning of a hang", want: hang, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", move, serverPID)}, outcome: tooMild},
		{name: "about another process", want: burn, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", move, 1)}, outcome: missing, wrong: 1},
		{name: "nothing", want: burn, outcome: missing},
		{name: "a gap names it", want: burn, gap: "the loop of node (pid 4242) uses io_uring", outcome: named},
		{name: "a gap names another", want: burn, gap: "the loop of node (pid 424) uses io_uring", outcome: missing},
		{name: "quiet", want: answer{}, outcome: right},
		{name: "an info about a healthy server", want: answer{}, findings: []contract.Finding{found("info", blockedLoop, "on-cpu", "", serverPID)}, outcome: right},
		{name: "false warning", want: answer{}, findings: []contract.Finding{found("warning", blockedLoop, "on-cpu", "", serverPID)}, outcome: falseAlarm, wrong: 1},
		{name: "steal time", want: answer{}, stolen: 0.05, findings: []contract.Finding{found("warning", runQueue, "host-full", "", serverPID)}, outcome: right},
		{name: "another program of a busy host", want: answer{}, others: 0.5, findings: []contract.Finding{found("warning", throttled, "limit-too-low", "", 1)}, outcome: right},
		{name: "another program of a quiet host", want: answer{}, others: 0.02, findings: []contract.Finding{found("warning", throttled, "limit-too-low", "", 1)}, outcome: falseAlarm, wrong: 1},
		{name: "the server on a busy host", want: answer{}, others: 0.5, findings: []contract.Finding{found("warning", throttled, "limit-too-low", "", serverPID)}, outcome: falseAlarm, wrong: 1},
		{name: "what a service suffers beside a build", want: suffers, findings: []contract.Finding{found("warning", runQueue, "noisy-neighbour", "", serverPID)}, outcome: right},
		{name: "a builder", want: suffers, findings: []contract.Finding{found("warning", runQueue, "noisy-neighbour", "", 1)}, outcome: falseAlarm, wrong: 1},
		{name: "a pool whose clients wait", want: waiting, findings: []contract.Finding{found("warning", "worker-count-mismatch", "too-few-workers", "", serverPID)}, outcome: right},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &contract.Report{Findings: test.findings}
			if test.gap != "" {
				r.Gaps = []contract.Gap{{Source: "loop", Reason: test.gap}}
			}
			v := judge(r, test.want, isServer, isServer, use{stolen: test.stolen, others: test.others})
			if v.Outcome != test.outcome || len(v.False) != test.wrong {
				t.Errorf("judged %q (%s) with false warnings %v, want %q with %d", v.Outcome, v.Why, v.False, test.outcome, test.wrong)
			}
		})
	}
}
