// SPDX-License-Identifier: Apache-2.0

package web

import (
	_ "embed"
	"strings"

	"github.com/headroom-project/headroom/analyzers/report/render"
)

// The parts of the page. They contain no findings: the script fetches these as JSON.
var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string
)

// wholePage returns the page with its style and script inlined, and a content security
// policy that allows only these two and connections to the agent.
func wholePage() (page, policy string) {
	page = strings.NewReplacer("/*style*/", pageStyle, "/*script*/", pageScript).Replace(pageHTML)
	policy = "default-src 'none'; style-src " + render.PolicyHash(pageStyle) + "; script-src " + render.PolicyHash(pageScript) +
		"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return page, policy
}
