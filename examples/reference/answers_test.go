// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headroom-project/headroom/examples/reference/faults"
)

// A remedy applies the number in a recommendation, and returns the rate of requests per
// second at which the shop is measured afterwards. It returns false if the number cannot
// be applied, because it is below what is used.
type remedy func(t *testing.T, s *shop, number float64) (rate float64, ok bool)

// usualRate is the rate of requests of a healthy shop.
const usualRate = 40

// level sets the level of a fault to the number.
func level(fault string) remedy {
	return func(t *testing.T, s *shop, number float64) (float64, bool) {
		out, err := exec.Command(s.program, "fault", fault, strconv.FormatFloat(number, 'f', -1, 64)).CombinedOutput()
		if err != nil {
			t.Logf("shop fault %s %g: %s", fault, number, out)
		}
		return usualRate, err == nil
	}
}

// more adds the number to a setting of the shop.
func more(name string, before float64) remedy {
	return func(t *testing.T, _ *shop, number float64) (float64, bool) {
		out, err := exec.Command("redis-cli", "-p", redisPort, "HSET", "shop:settings", name, fmt.Sprint(before+number)).CombinedOutput()
		if err != nil {
			t.Fatalf("redis-cli: %v\n%s", err, out)
		}
		return usualRate, true
	}
}

// redisPort is the port of the shop's Redis.
const redisPort = "18088"

// nodes divides the requests among the shop and as many further ones.
func nodes(_ *testing.T, _ *shop, number float64) (float64, bool) {
	return usualRate / (1 + number), true
}

// An answer is how the number in the first recommendation for a fault is applied; nil if
// the recommendation has none, or is about the code of the shop.
type answer struct {
	fault string
	// also is another finding that is right, with the same advice.
	also  string
	apply remedy
	// step is the difference between two numbers that can be set: processes are whole.
	step float64
	// known says why the number is not right yet, and unstable why the first finding is
	// not; that is then not an error.
	known, unstable string
}

// answers holds ten faults. The first finding must be that of faults.Fault.Names.
var answers = []answer{
	{fault: "sync-crypto"},
	{fault: "sync-child"},
	{fault: "blocking-client"},
	{fault: "fd-leak"},
	{fault: "short-ticks", apply: more("api.workers", 1), step: 1, known: "on two cores, which the database and the queue use too, the p99 was 130 ms once both processes were warm"},
	// An invoice also has 15 times the pages: its render time does not recover.
	{fault: "thread-herd", unstable: "in most windows there is no finding about the threads"},
	{fault: "host-full", also: "event-loop-blocked/on-cpu", apply: nodes, step: 1, known: "a page of 60 ms delays others on any number of nodes"},
	{fault: "cpu-quota", apply: level("cpu-quota"), known: "0.3 cores are at the edge: p99 of 32 to 101 ms"},
	{fault: "memory-limit", apply: level("memory-limit"), known: "measured in a recording, and not with this test"},
	{fault: "small-backlog", apply: level("small-backlog"), step: 1, known: "those that try again at the same moment are counted with the others: 33 at once, where 20 were new"},
}

// tooMuch is the maximum ratio of a recommended number to what suffices.
const tooMuch = 1.3

// TestAnswers checks, for ten faults, that the first finding of a diagnosis is the fault,
// and that the number in its first recommendation is enough when it is applied, and not
// more than 1.3 times what suffices. REFERENCE_ANSWERS is the path of headroom.
// REFERENCE_FAULTS lists faults, all by default, REFERENCE_KEEP is a folder for recordings.
// Each fault takes about a minute.
func TestAnswers(t *testing.T) {
	program := os.Getenv("REFERENCE_ANSWERS")
	if program == "" {
		t.Skip("REFERENCE_ANSWERS is not set: make check-reference")
	}
	chosen := os.Getenv("REFERENCE_FAULTS")
	for _, a := range answers {
		if chosen != "" && chosen != "all" && !strings.Contains(","+chosen+",", ","+a.fault+",") {
			continue
		}
		t.Run(a.fault, func(t *testing.T) { a.check(t, program) })
	}
}

// check starts a shop, so that no fault has an effect on the next one.
func (a answer) check(t *testing.T, program string) {
	f, ok := faults.Find(a.fault)
	want, listed := moves[a.fault]
	if !ok || !listed {
		t.Fatalf("no fault or no indicator: %s", a.fault)
	}
	s := newShop(t)
	s.mustRun(t, "up", "-source", ".")
	s.measureAt(t, usualRate, 4*time.Second) // until the code is compiled and caches are warm
	healthy := s.measureAt(t, usualRate, 6*time.Second)[want.indicator]
	s.mustRun(t, "fault", f.Name, f.Level)
	time.Sleep(want.after + 2*time.Second)
	said := diagnose(t, program)
	broken := s.measureAt(t, usualRate, 11*time.Second)[want.indicator]
	r := <-said
	first := r.first()
	row := fmt.Sprintf("| `%s` | %s | %s", f.Name, first.Summary, first.name())
	right := first.name() == f.Names || first.name() == a.also
	if !right {
		wrong(t, a.unstable, "the first finding is %s, want %s; all are: %v", first.name(), f.Names, r.Findings)
	}
	number, action := first.number()
	row += fmt.Sprintf(" | %s |", action)
	t.Log(row)
	if a.apply != nil && right {
		row += a.judge(t, s, want, number, healthy, broken)
	}
	t.Log(row)
	s.mustRun(t, "down")
}

// wrong reports a wrong answer, which is no error if it is known why.
func wrong(t *testing.T, known, format string, args ...any) {
	t.Helper()
	if known == "" {
		t.Errorf(format, args...)
		return
	}
	t.Logf("known, because "+known+": "+format, args...)
}

// judge applies the number, and then what would be too little if the number were no more
// than 1.3 times what suffices.
func (a answer) judge(t *testing.T, s *shop, want move, number, healthy, broken float64) string {
	if number == 0 {
		t.Error("the first recommendation has no number")
		return ""
	}
	recovers := func(number float64) (float64, bool) {
		rate, ok := a.apply(t, s, number)
		if !ok {
			return broken, false
		}
		s.measureAt(t, rate, 3*time.Second) // until the queues of before are empty
		now := s.measureAt(t, rate, 7*time.Second)[want.indicator]
		return now, now < max(healthy, want.floor)*want.times && now <= healthy+max(want.floor, (broken-healthy)/4)
	}
	now, enough := recovers(number)
	if !enough {
		wrong(t, a.known, "%s = %.3g with %g, which is not enough: it was %.3g, and %.3g in a healthy shop", want.indicator, now, number, broken, healthy)
	}
	less := number / tooMuch
	if a.step > 0 {
		less = math.Ceil(less/a.step)*a.step - a.step
	}
	if less <= 0 {
		return fmt.Sprintf(" %g is enough: %t, the least that can be set |", number, enough)
	}
	then, enoughToo := recovers(less)
	if enoughToo {
		wrong(t, a.known, "%s = %.3g with %g: %g is more than %g times what suffices", want.indicator, then, less, number, tooMuch)
	}
	return fmt.Sprintf(" %g: %s, %.3g: %s |", number, show(want.indicator, now), less, show(want.indicator, then))
}

// A diagnosis is the part of a report that answers are checked by.
type diagnosis struct {
	Findings []found
}

type found struct {
	ID, Cause, Summary string
	SymptomOf          *struct{} `json:"symptom_of"`
	Recommendations    []struct {
		Quantity float64
		Action   string
	}
}

func (f found) name() string { return f.ID + "/" + f.Cause }

// number returns the number and the text of the first recommendation.
func (f found) number() (float64, string) {
	if len(f.Recommendations) == 0 {
		return 0, ""
	}
	return f.Recommendations[0].Quantity, f.Recommendations[0].Action
}

// first returns the finding in the first lines of the report.
func (d diagnosis) first() found {
	for _, f := range d.Findings {
		if f.SymptomOf == nil {
			return f
		}
	}
	return found{ID: "nothing", Summary: "healthy"}
}

// diagnose runs headroom in the background.
func diagnose(t *testing.T, program string) <-chan diagnosis {
	said := make(chan diagnosis, 1)
	args := []string{"diagnose", "--duration", "10s", "-o", "json"}
	if keep := os.Getenv("REFERENCE_KEEP"); keep != "" {
		args = append(args, "--save", filepath.Join(keep, filepath.Base(t.Name())+".hr"))
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, program, args...).Output()
		if err != nil {
			t.Logf("headroom: %v", err)
		}
		var d diagnosis
		if err := json.Unmarshal(out, &d); err != nil {
			t.Logf("headroom: %v", err)
		}
		said <- d
	}()
	return said
}
