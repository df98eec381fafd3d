// SPDX-License-Identifier: Apache-2.0

// Package live has the scenarios that headroom must diagnose correctly on a real
// kernel: real servers with real faults, similar conditions without a fault that must
// have no finding, and hosts with fewer privileges. Each scenario starts its servers
// on loopback, checks that the fault really occurs, runs the built command to observe
// the whole host for ten seconds, and reads its JSON as an external tool would.
// Scenarios that use little CPU time share a window (meeting).
//
// Steal time delays both servers and load, so a scenario can fail because of it. make
// live repeats once the scenarios that failed while steal time was 3 % or more.
//
// It only signals, stops or removes what it started itself.
//
//	go test -C lab ./live -run TestLive -count=1 -v
//	go test -C lab ./live -run TestLive/js-burn -count=1 -v
//
// HEADROOM_BIN names a binary to test instead of building one. HEADROOM_LIVE_KEEP
// names a folder for the recording of each scenario, SCENARIO.hr; test cases of
// analyzers are extracted from these. HEADROOM_HEALTHY_RUNS is how often to observe
// the healthy scenarios; the default is 1.
package live
