// SPDX-License-Identifier: Apache-2.0

// Package capacity has the calculations that analyzers share: queueing, event loop lag,
// speed-up by cores, trends, and the rounding of recommended numbers. It is pure, and
// every formula is tested against its closed form.
package capacity
