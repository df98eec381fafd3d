// SPDX-License-Identifier: Apache-2.0

package cacheablereads

import (
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysistest"
)

func TestRecorded(t *testing.T) { analysistest.Run(t, Analyzer) }
