// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/headroom-project/headroom/analyzers/publish/web"
	"github.com/headroom-project/headroom/analyzers/state"
)

// TestServeTape serves the page of a watcher that replays a recorded case, for
// lab/pages to test in a browser. It tests nothing itself. It reads commands from
// standard input, and answers each line when the command is done:
//
//	until cpu-throttled firing 120      done KEY, the key of that finding
//	play 30                             done
//	insert cputhrottled/silent-enough   done
func TestServeTape(t *testing.T) {
	recording := os.Getenv("HEADROOM_SERVE_CASE")
	if recording == "" {
		return
	}
	p := newTape(t, recording, os.Getenv("HEADROOM_SERVE_CONFIG"))
	server := httptest.NewServer(web.Handler(p, http.NotFoundHandler()))
	defer server.Close()
	fmt.Println("done", server.URL)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("done", obey(p, lines.Text()))
	}
}

// obey runs the command in a line, and returns the answer.
func obey(p *tape, line string) string {
	p.t.Helper()
	var id, wanted, recording string
	var seconds float64
	if n, _ := fmt.Sscanf(line, "until %s %s %g", &id, &wanted, &seconds); n == 3 {
		p.until(id, state.State(wanted), seconds)
		return p.finding(id).Key
	}
	if n, _ := fmt.Sscanf(line, "play %g", &seconds); n == 1 {
		p.play(seconds)
		return ""
	}
	if n, _ := fmt.Sscanf(line, "insert %s", &recording); n == 1 {
		p.insert(recording)
		return ""
	}
	p.t.Fatalf("unknown command %q", line)
	return ""
}
