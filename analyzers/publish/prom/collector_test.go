// SPDX-License-Identifier: Apache-2.0

package prom

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
)

func registry(t *testing.T, r *report.Report) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(NewCollector(func() *report.Report { return r }))
	return reg
}

func finding(t *testing.T, pod string, pid, seconds int) *report.Finding {
	t.Helper()
	at := report.Forecast{What: "file descriptors"}
	if err := json.Unmarshal(fmt.Appendf(nil, `{"at_seconds": %d}`, seconds), &at); err != nil {
		t.Fatal(err)
	}
	return &report.Finding{
		ID: "fd-exhaustion", Category: "connections", Cause: "leak", Severity: report.Severity(analysis.Warning), State: "firing", Impact: 0.4, Confidence: 0.9, Forecast: &at,
		Subject: report.Subject{Kind: "process", PID: pid, Name: "node", Namespace: "shop", Pod: pod, Container: "api"},
	}
}

func TestAlikeFindingsAreOneSeries(t *testing.T) {
	r := &report.Report{
		Findings: []*report.Finding{finding(t, "a", 1, 90), finding(t, "a", 2, 30), finding(t, "b", 3, 60)},
		Checked:  []report.Checked{{ID: "fd-exhaustion", Subjects: 7}},
		Skipped:  []report.Skip{{ID: "disk-saturated", Reason: "one"}, {ID: "disk-saturated", Reason: "two"}},
		Gaps:     []observe.Gap{{Source: "psi", Reason: "one"}, {Source: "psi", Reason: "two"}},
	}
	const of = `{category="connections",cause="leak",container_name="api",id="fd-exhaustion",k8s_namespace_name="shop",k8s_pod_name="%s",service_name="",severity="warning",state="firing",subject="node",subject_kind="process",symptom=""%s} %s` + "\n"
	want := "# HELP headroom_findings Number of findings with these labels. The label symptom has the id of the finding that explains them, if there is one.\n# TYPE headroom_findings gauge\n" +
		"headroom_findings" + fmt.Sprintf(of, "a", "", "2") + "headroom_findings" + fmt.Sprintf(of, "b", "", "1") +
		"# HELP headroom_finding_forecast_seconds Seconds until the resource in the label what runs out; the minimum of the findings with these labels. Absent if it has run out already or there is no forecast.\n# TYPE headroom_finding_forecast_seconds gauge\n" +
		"headroom_finding_forecast_seconds" + fmt.Sprintf(of, "a", `,what="file descriptors"`, "30") + "headroom_finding_forecast_seconds" + fmt.Sprintf(of, "b", `,what="file descriptors"`, "60") +
		"# HELP headroom_analyzer_skipped 1 if the analyzer in the label id could not evaluate all or some subjects.\n# TYPE headroom_analyzer_skipped gauge\n" +
		"headroom_analyzer_skipped{id=\"disk-saturated\"} 1\n" +
		"# HELP headroom_gaps Number of blind spots of the source. The report names the fix.\n# TYPE headroom_gaps gauge\n" +
		"headroom_gaps{source=\"psi\"} 2\n"
	if err := testutil.GatherAndCompare(registry(t, r), strings.NewReader(want), Findings, Forecast, Skipped, Gaps); err != nil {
		t.Error(err)
	}
}

// TestSubjectsAreCalledByTheirProgram checks that findings of two servers of one
// interpreter are two series, and those of the processes of one server one. In a container there are no names of scripts.
func TestSubjectsAreCalledByTheirProgram(t *testing.T) {
	of := func(kind, command, program string) *report.Finding {
		return &report.Finding{ID: "x", Subject: report.Subject{Kind: kind, Name: "own", Command: command, Program: program}}
	}
	r := &report.Report{Findings: []*report.Finding{
		of("process", "node a/server.js", ""), of("loop", "node b/server.js", ""), of("process", "nginx: worker process", "nginx"),
		of("process", "nginx: master process", "nginx"), of("thread", "node a/server.js", ""),
	}}
	inside := of("process", "node a/server.js", "")
	inside.Subject.Container = "api"
	r.Findings = append(r.Findings, inside)
	var got []string
	for _, s := range alike(r.Findings) {
		got = append(got, fmt.Sprintf("%s %s %d", s.labels[aboutFinding], s.labels[aboutFinding+1], s.count))
	}
	want := []string{"process node a/server.js 1", "loop node b/server.js 1", "process nginx 2", "thread own 1", "process own 1"}
	if !slices.Equal(got, want) {
		t.Errorf("subjects = %q, want %q", got, want)
	}
}

func TestFindingsBeyondTheBoundLoseTheirSubject(t *testing.T) {
	r := &report.Report{}
	const more = 20
	for i := range MaxFindings + more {
		r.Findings = append(r.Findings, finding(t, fmt.Sprint("pod-", i), i, 10))
	}
	sets := alike(r.Findings)
	if len(sets) != MaxFindings+1 {
		t.Fatalf("%d label sets, want %d", len(sets), MaxFindings+1)
	}
	if last := sets[MaxFindings]; last.count != more || last.labels[0] != "fd-exhaustion" || strings.Join(last.labels[aboutFinding:], "") != "" {
		t.Errorf("the last set is %v of %d findings, want fd-exhaustion without a subject, %d", last.labels, last.count, more)
	}
}

// TestNoCommands checks that metrics contain neither commands nor texts of findings:
// more people can read metrics than the API.
func TestNoCommands(t *testing.T) {
	const secret = "of-the-api"
	f := finding(t, "a", 1, 10)
	f.Summary, f.Key, f.Subject.Command, f.Subject.Cgroup = secret, secret, "node "+secret+".js", "/"+secret
	f.Recommendations = []report.Recommendation{{Action: secret}}
	families, err := registry(t, &report.Report{Findings: []*report.Finding{f}}).Gather()
	if err != nil || len(families) == 0 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	for _, family := range families {
		if text := family.String(); strings.Contains(text, secret) {
			t.Errorf("in a metric: %s", text)
		}
	}
}

// TestMutedIsAStateOfItsOwn checks that a rule for firing findings does not match a
// muted one. A cleared finding has the state cleared, muted or not.
func TestMutedIsAStateOfItsOwn(t *testing.T) {
	for in, want := range map[string]string{"pending": "muted", "firing": "muted", "cleared": "cleared"} {
		f := finding(t, "a", 1, 90)
		f.State, f.Muted = in, true
		if got := labelsOf(f)[slices.Index(labels, "state")]; got != want {
			t.Errorf("a muted finding that is %s has the state %s, want %s", in, got, want)
		}
		f.Muted = false
		if got := labelsOf(f)[slices.Index(labels, "state")]; got != in {
			t.Errorf("a finding that is %s has the state %s", in, got)
		}
	}
}

func TestNoReportNoSeries(t *testing.T) {
	if n, err := testutil.GatherAndCount(registry(t, nil)); n != 0 || err != nil {
		t.Errorf("%d series, %v; want none", n, err)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(registry(t, &report.Report{
		Findings: []*report.Finding{finding(t, "a", 1, 9)}, Checked: []report.Checked{{ID: "x"}}, Skipped: []report.Skip{{ID: "x"}}, Gaps: []observe.Gap{{Source: "x"}},
	}))
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestContainerWithoutANameIsCalledAsInTheLedger(t *testing.T) {
	f := finding(t, "a", 1, 9)
	for id, want := range map[string]string{strings.Repeat("6fc9062ba52f8519", 4): "6fc9062ba52f", "api": "api"} {
		f.Subject.Container = id
		if got := labelsOf(f)[slices.Index(labels, "container_name")]; got != want {
			t.Errorf("container %s is %s in the labels, want %s", id, got, want)
		}
	}
}
