// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart with the real helm: make chart-check. The first
// run builds helm, which takes a minute and a half.
package chart
