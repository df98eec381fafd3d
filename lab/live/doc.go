// SPDX-License-Identifier: Apache-2.0

// Package live has the scenarios that headroom must diagnose correctly on a real
// kernel: real servers with real faults, look-alikes that must stay silent, and
// hosts with fewer privileges. Each scenario starts its servers on loopback, checks
// that the fault really occurs, runs the built command to observe the whole host
// for ten seconds, and reads its JSON as an external tool would. Scenarios that use
// little CPU share a window (meeting).
//
// A hypervisor that takes CPU time delays servers and load alike, so that a scenario
// may not hold. make live repeats, once, those that failed while it took 3 % or more.
//
// It only signals, stops or removes what it started itself.
//
//	go test -C lab ./live -run TestLive -count=1 -v
//	go test -C lab ./live -run TestLive/js-burn -count=1 -v
//
// HEADROOM_BIN names a binary to test instead of building one.
// HEADROOM_LIVE_KEEP names a folder for the recording of each scenario, SCENARIO.hr;
// test cases of analyzers are cut from these.
// HEADROOM_HEALTHY_RUNS is how often to observe the healthy scenarios; the default
// is 1.
package live
