// SPDX-License-Identifier: Apache-2.0

package nplusone

import (
	"testing"

	"github.com/headroom-project/headroom/analyzers/analysistest"
)

func TestRecorded(t *testing.T) { analysistest.Run(t, Analyzer) }
