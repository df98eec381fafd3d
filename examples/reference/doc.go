// SPDX-License-Identifier: Apache-2.0

// Package reference tests the reference shop as a whole; README.md describes
// the shop.
package reference
