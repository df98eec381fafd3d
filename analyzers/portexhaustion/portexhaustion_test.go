// SPDX-License-Identifier: Apache-2.0

package portexhaustion

import (
	"strings"
	"testing"

	"github.com/headroom-project/headroom/agent/catalog"
	"github.com/headroom-project/headroom/agent/observe"
	"github.com/headroom-project/headroom/analyzers/analysis"
	"github.com/headroom-project/headroom/analyzers/analysistest/handmade"
)

func ask(t *testing.T, used, waiting float64, attrs ...string) *analysis.Finding {
	t.Helper()
	h := handmade.New(t, 10, 2)
	client := h.Process("42", "node", "node client.js", observe.None)
	u := h.Add(observe.Upstream, "10.0.0.2 to 10.0.0.9:80", client, append([]string{
		catalog.AttrSource, "10.0.0.2", catalog.AttrDestination, "10.0.0.9", catalog.AttrDestPort, "80"}, attrs...)...)
	h.Set(catalog.UpstreamPorts, u, used)
	h.Set(catalog.UpstreamTimeWait, u, waiting)
	h.Set(catalog.UpstreamPortLimit, u, 1000)
	return h.One(Analyzer)
}

func TestShares(t *testing.T) {
	for _, c := range []struct {
		used, waiting float64
		attr          string
		want          analysis.Severity
		cause         string
		verb          analysis.Verb
		quantity      float64
	}{
		{599, 599, "", analysis.Healthy, "", "", 0},
		{600, 590, "", analysis.Warning, noKeepAlive, analysis.ReuseConnections, 13},
		{850, 850, "", analysis.Critical, noKeepAlive, analysis.ReuseConnections, 2},
		{700, 350, "", analysis.Warning, oneTuple, analysis.AddAddresses, 1},
		{1000, 0, "", analysis.Critical, oneTuple, analysis.AddAddresses, 1},
		{1000, 990, catalog.AttrTimeWaitReused, analysis.Healthy, "", "", 0},
		{1000, 100, catalog.AttrTimeWaitReused, analysis.Critical, oneTuple, analysis.AddAddresses, 1},
	} {
		f := ask(t, c.used, c.waiting, c.attr, "true")
		if f == nil {
			if c.want != analysis.Healthy {
				t.Errorf("%v of 1000, %v in TIME_WAIT %s: nothing, want %s", c.used, c.waiting, c.attr, c.want)
			}
			continue
		}
		r := f.Recommendations[0]
		if f.Severity != c.want || f.Cause != c.cause || r.Verb != c.verb || r.Quantity.Value != c.quantity {
			t.Errorf("%v of 1000, %v in TIME_WAIT %s: %s %s, %s %v, want %+v", c.used, c.waiting, c.attr, f.Severity, f.Cause, r.Verb, r.Quantity.Value, c)
		}
		t.Logf("%s\n-> %s", f.Summary, r.Action)
	}
}

func TestWhoAndWhere(t *testing.T) {
	f := ask(t, 900, 890)
	for _, part := range []string{"node client.js (pid 42)", "10.0.0.9:80 from 10.0.0.2", "15 new ones per second"} {
		if !strings.Contains(f.Summary, part) {
			t.Errorf("%q does not say %q", f.Summary, part)
		}
	}
	if f.Forecast != nil {
		t.Errorf("forecast = %+v of a level that stays", f.Forecast)
	}
	if f = ask(t, 900, 890, catalog.AttrPortsAssumed, "true"); f.Confidence > 0.7 {
		t.Errorf("confidence = %v with an assumed range", f.Confidence)
	}
}
