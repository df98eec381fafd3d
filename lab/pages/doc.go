// SPDX-License-Identifier: Apache-2.0

// Package pages tests headroom's HTML pages in Chromium: the report of diagnose and
// the page of the agent.
//
//	go test -C lab ./pages
//
// Reports come from the built program. For states of the agent that take minutes to
// reach, or that only code can create, a test binary of the product serves the page:
// see TestServeTape of cmd/headroom/internal/daemon.
package pages
