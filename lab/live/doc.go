// SPDX-License-Identifier: Apache-2.0

// Package live holds the scenarios that headroom must get right on a real
// kernel: real servers with real faults, look-alikes that must stay silent,
// and hosts that allow less. Each scenario starts its servers on loopback,
// makes sure that they really do what it says, lets the built command observe
// the whole host for ten seconds, and reads the JSON as an outside tool would.
// Scenarios that leave the CPUs alone share a window (meeting).
//
// It never signals, stops or removes anything but what it started itself.
//
//	go test ./lab/live -run TestLive -count=1 -v
//	go test ./lab/live -run TestLive/js-burn -count=1 -v
//
// HEADROOM_BIN names a binary to test instead of building one.
// HEADROOM_LIVE_KEEP names a folder that keeps each scenario's recording, as
// SCENARIO.hr; test cases of analyzers are cut from these.
// HEADROOM_HEALTHY_RUNS is how often the healthy scenarios are observed: 1.
package live
