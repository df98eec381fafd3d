// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/headroom-project/headroom/agent/export/services"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/report"
	"github.com/headroom-project/headroom/analyzers/state"
)

// states and severities are the valid values of these parameters.
var (
	states     = []string{string(state.Pending), string(state.Firing), string(state.Cleared)}
	severities = []string{analysis.Info.String(), analysis.Warning.String(), analysis.Critical.String()}
)

// findings serves the report of the last evaluation, with the findings that match the
// query. All other parts of the report are about the whole host.
func findings(w http.ResponseWriter, r *http.Request, s Source) {
	q, err := query(r, map[string][]string{"state": states, "severity": severities, "service": nil})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rep := s.Report()
	if rep == nil {
		http.Error(w, notReady, http.StatusServiceUnavailable)
		return
	}
	some := *rep
	some.Findings = slices.DeleteFunc(slices.Clone(rep.Findings), func(f *report.Finding) bool {
		return !among(q["state"], f.State) || !among(q["severity"], f.Severity.String()) || !among(q["service"], homes(f.Subject)...)
	})
	var text bytes.Buffer
	if err := some.JSON(&text); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, text.Bytes())
}

// listServices serves the list of services, or of those with a name.
func listServices(w http.ResponseWriter, r *http.Request, s Source) {
	q, err := query(r, map[string][]string{"service": nil})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	some := *s.Services()
	some.Services = slices.DeleteFunc(slices.Clone(some.Services), func(s *services.Service) bool {
		return !among(q["service"], s.Name, s.Service, s.Container, s.Pod)
	})
	text, err := json.Marshal(some)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, append(text, '\n'))
}

func answer(w http.ResponseWriter, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the client may have disconnected
}

// query reads the known parameters. Those with a list accept only its values. It rejects
// misspelt ones, because ignoring them would return everything.
func query(r *http.Request, known map[string][]string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("reading the query: %w", err)
	}
	for name, values := range q {
		allowed, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("unknown parameter %q (known: %s)", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		for _, v := range values {
			if allowed != nil && !slices.Contains(allowed, v) {
				return nil, fmt.Errorf("unknown %s %q (known: %s)", name, v, strings.Join(allowed, ", "))
			}
		}
	}
	return q, nil
}

// among reports whether one of the names is wanted; an empty list means all.
func among(wanted []string, names ...string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(names, func(n string) bool { return n != "" && slices.Contains(wanted, n) })
}

// homes returns the names by which users can select a subject's service.
func homes(s report.Subject) []string {
	return []string{s.Service, s.Container, s.Pod, s.Name, s.Command, s.Program}
}
