// SPDX-License-Identifier: Apache-2.0

package rightsize

import (
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysistest"
)

// asDay lets a recording of 50 seconds count as 25 hours.
const asDay = 1800

func TestRecorded(t *testing.T) { analysistest.RunSlower(t, Analyzer, asDay) }
