// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"
)

const galleryHead = generated + `# Dashboards

The dashboards in [dashboards](../dashboards) are for Grafana 12 and later. Import the JSON files, or provision the folder. They query only the
[series of the agent](prometheus.md). A test runs every query against a real Prometheus, and ` + "`make screenshots`" + ` renders every panel with
data and fails if a panel is empty or a link is broken. The screenshots show the [reference shop](../examples/reference) under load, with one
fault after another. It runs without Kubernetes, so pods and containers have the first digits of their IDs as names.

A graph of programs or containers shows the ` + lines + ` with the highest values in the time range; use the variables at the top to select others.
A panel about a finding links to its runbook, and a finding links to its panel.
`

// gallery returns docs/dashboards.md.
func gallery() string {
	var b strings.Builder
	b.WriteString(galleryHead)
	ds := all()
	for i := range ds {
		d := ds[(i+len(ds)-1)%len(ds)] // Overview first
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n![%s](screenshots/%s.png)\n", strings.TrimPrefix(d.Title, "headroom / "), d.Description, d.Title, d.UID)
	}
	return b.String()
}
