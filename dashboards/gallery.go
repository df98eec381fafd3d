// SPDX-License-Identifier: Apache-2.0

package dashboards

import (
	"fmt"
	"strings"
)

const galleryHead = generated + `# Dashboards

For Grafana 12 and later, in [dashboards](../dashboards): import the JSON files, or provision the folder. They ask for the
[series of the agent](prometheus.md) alone. Every query is run against a real Prometheus by a test, and every panel is drawn with data by
` + "`make screenshots`" + `, which fails when one is empty or a link leads nowhere. Pictures are of the [reference shop](../examples/reference) under
load, with one fault after another: no Kubernetes is there, so pods and containers go by the first digits of their IDs.

In a graph of programs or containers are the ` + lines + ` that reach highest in its time range; choose others above. A panel about a finding links
to what the finding means, and a finding to its panel.
`

// gallery is docs/dashboards.md.
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
