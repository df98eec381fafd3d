// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart with the real helm, which builds for a
// minute and a half the first time: make chart-check.
package chart
