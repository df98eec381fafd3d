// SPDX-License-Identifier: Apache-2.0

// Package capacity is the arithmetic that analyzers share: waiting in line,
// lag of event loops, speed-up by cores, rounding of what is advised. It is
// pure, and every formula is tested against its closed form.
package capacity
